"""Export a net as an ONNX file, for runtimes without Python."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from scipy.sparse import issparse
from torch import nn

from sk_prunefair.data.inputs import InputSchema, is_dataset
from sk_prunefair.data.sources import as_source, as_tensor, count_rows, field_array, take_rows
from sk_prunefair.export._int8 import check_quantize, checked_calibration, write_int8
from sk_prunefair.export._steps import last_step
from sk_prunefair.losses import class_scores, takes_probabilities
from sk_prunefair.nested import concatenate, float_dtype, n_rows, run, take, to, without_cache
from sk_prunefair.ranks import writes_files

if TYPE_CHECKING:
    from sk_prunefair.protocol import CoreNet


def to_onnx(
    source: nn.Module | CoreNet,
    path: str | Path,
    example: Any = None,
    *,
    quantize: Literal["int8"] | None = None,
    calibration: Any = None,
) -> None:
    """Write a net as ONNX, with variable numbers of samples per batch, and of tokens per sample.

    The file has one input, ``X``, or one for each key if X is a dict, and one output,
    ``scores`` of shape (n_samples, n_classes): the output of the module, the first entry of a
    tuple, or the ``logits`` of a dict; one logit z for two classes becomes the scores 0 and z.
    Removed weights are zeros. The net is exported in evaluation mode and not changed. For a
    classifier the metadata of the file has, in JSON, its labels as ``classes`` and, if they have
    names, its columns as ``features``; and the kind of ``scores``, "logits" or "probabilities".

    Parameters
    ----------
    source : torch.nn.Module, FairPrunedClassifier or Pipeline that ends in one
        The net; for a classifier, the pruned one. For a pipeline the last step is written, with a
        warning.
    path : str or pathlib.Path
        File to write.
    example : array-like of shape (n_samples, ...) or dict of such, default=None
        A few samples of the features. Not needed for a fitted classifier.
    quantize : {"int8"}, default=None
        "int8" writes weights and activations as 8-bit integers, in about a quarter of the
        bytes: ONNX Runtime's static quantisation, weights channel by channel with zero as zero,
        activations by the ranges over the calibration rows. Inputs, outputs and metadata are
        those of the net in floats; integer inputs, such as tokens, are not changed, nor are
        operations that ONNX Runtime cannot quantise.
    calibration : array-like, DataFrame, dict of arrays or data set, default=None
        For ``quantize="int8"``: rows of X, at least ten and usually a few hundred, from the
        training data and not from the evaluation data. They are read batch by batch.

    Raises
    ------
    ImportError
        If the packages onnx and onnxscript are not installed, or onnxruntime for ``quantize``, all
        in the extra ``onnx``.
    ValueError
        If there is no example for a module, or for a classifier without known inputs; if
        calibration is missing, or has few rows, NaN or rows of another shape; or if ONNX Runtime
        cannot quantise the net.

    Warns
    -----
    UserWarning
        If the predicted labels of more than a fifth of the calibration rows differ between int8 and
        floats.
    sklearn.exceptions.NotFittedError
        If the classifier is not fitted.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "net.onnx"
    >>> to_onnx(torch.nn.Linear(4, 2), path, example=torch.zeros(1, 4))
    >>> path.exists()
    True
    """
    try:
        import onnxscript  # noqa: F401 (torch's exporter asks for it, late and less clearly)
    except ImportError as error:
        raise ImportError(
            "to_onnx needs onnx and onnxscript: install the extra, pip install 'sk-prunefair[onnx]'"
        ) from error
    check_quantize(quantize, calibration)
    source = last_step(source)
    if not writes_files(source):
        return
    if quantize is None:
        _write(source, path, example)
        return
    if not isinstance(source, nn.Module):
        source.check_is_fitted()
    rows = checked_calibration(source, calibration)
    if example is None and isinstance(source, nn.Module):
        example = _few(calibration)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.onnx"
        _write(source, whole, example)
        write_int8(source, whole, Path(path), rows)


def _few(X: Any) -> Any:
    """Return two rows of X as an example."""
    item = take_rows(X, np.arange(min(2, count_rows(X))))
    if is_dataset(item):
        return as_source(item).fetch(torch.arange(len(item))).X
    return item.toarray() if issparse(item) else item


def _write(source: nn.Module | CoreNet, path: str | Path, example: Any) -> None:
    """Write a net in floats."""
    from onnxscript import ir

    metadata: dict[str, str] = {}
    if isinstance(source, nn.Module):
        module = source
    else:
        source.check_is_fitted()
        module, metadata = source.module_, _metadata(source)
        inputs = source.schema_ and source.schema_.inputs
        example = blank_sample(inputs) if example is None and inputs else example
    if example is None:
        raise ValueError("example (a few samples) must be given, as the shape of X is not known")
    module = without_cache(copy.deepcopy(module).cpu().eval())
    X = _several(example, float_dtype(module))
    is_dict = isinstance(X, Mapping)
    given = dict(X) if is_dict else {"X": X}
    batch = torch.export.Dim("n_samples")
    with _without_warnings():
        program = torch.onnx.export(
            _Scores(module, list(given) if is_dict else None),
            tuple(given.values()),
            dynamo=True,
            dynamic_shapes=(tuple(_free_sizes(each, batch) for each in given.values()),),
            input_names=list(given),
            output_names=["scores"],
            verbose=False,
        )
    assert program is not None
    for node in ir.traversal.RecursiveGraphIterator(program.model.graph):
        node.metadata_props.clear()  # lines of the user's source, with paths of files
    program.model.metadata_props.update(metadata)
    program.save(str(path), external_data=False)


def blank_sample(inputs: InputSchema) -> Any:
    """Return one sample with the shape of a net's inputs, or None if the inputs are not known.

    Numbers are zeros; integers are ones, which are valid tokens of every vocabulary, and masks that
    hide nothing.
    """
    if inputs.fields is not None:
        return {
            name: _blank(shape, inputs.dtypes.get(name, "float32"))
            for name, shape in inputs.fields.items()
        }
    return None if inputs.shape is None else _blank(inputs.shape, inputs.dtype or "float32")


def _blank(shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    make = torch.ones if dtype in ("int64", "bool") else torch.zeros
    return make(1, *shape, dtype=getattr(torch, dtype))


def _metadata(clf: CoreNet) -> dict[str, str]:
    kind = "probabilities" if takes_probabilities(clf.criterion_) else "logits"
    told = {"classes": json.dumps(clf.classes_.tolist()), "scores": kind}
    names = getattr(clf, "feature_names_in_", None)
    return told if names is None else told | {"features": json.dumps(list(map(str, names)))}


def _several(example: Any, floats: torch.dtype | None) -> Any:
    """Return at least two samples, as the exporter would treat a batch of one as constant."""
    if isinstance(example, Mapping):
        X: Any = {name: as_tensor(field_array(each, name)) for name, each in example.items()}
    else:
        X = example if isinstance(example, torch.Tensor) else as_tensor(field_array(example, "X"))
    X = to(X, "cpu", floats)
    return take(concatenate([X, X]), slice(0, max(2, n_rows(X))))


def _free_sizes(tensor: torch.Tensor, batch: Any) -> dict[int, Any]:
    """Return which sizes may vary: the number of samples, and of tokens if the net allows it."""
    is_tokens = tensor.ndim == 2 and not tensor.is_floating_point()
    return {0: batch} | ({1: torch.export.Dim.AUTO} if is_tokens else {})


class _Scores(nn.Module):
    """The net with only its scores as output, and positional inputs."""

    def __init__(self, module: nn.Module, names: list[str] | None) -> None:
        super().__init__()
        self.module = module
        self.names = names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        X = inputs[0] if self.names is None else dict(zip(self.names, inputs, strict=True))
        return class_scores(run(self.module, X))


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    # The exporter warns of torchvision, which is not used, and of its own deprecations.
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
