"""A net as an ONNX file, for runtimes without Python."""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from sk_prunefair.protocol import CoreNet


def to_onnx(source: nn.Module | CoreNet, path: str | Path, example: Any = None) -> None:
    """Write a net as ONNX, with any number of samples to a batch.

    The file has one input, ``X``, and one output, ``scores``: what the module returns, of a tuple
    the first. Removed weights stand in it as zeros. The net is in evaluation mode; it is not
    changed.

    Parameters
    ----------
    source : torch.nn.Module or FairPrunedClassifier
        The net; of a classifier, the pruned one.
    path : str or pathlib.Path
        Where to write.
    example : array-like of shape (n_samples, ...), default=None
        A few samples of the features. A fitted classifier knows their shape without.

    Raises
    ------
    ImportError
        If the packages onnx and onnxscript are not there, the extra ``onnx``.
    ValueError
        If there is no example for a module, or for a classifier that was not fitted to an array.
    sklearn.exceptions.NotFittedError
        If the classifier has no net yet.

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
    if isinstance(source, nn.Module):
        module = source
    else:
        source.check_is_fitted()
        module = source.module_
        shape = getattr(source, "input_shape_", None)
        if example is None and shape is not None:
            example = np.zeros((2, *shape), dtype=np.float32)
    if example is None:
        raise ValueError("example must hold a few samples where the shape of X is not known")
    module = copy.deepcopy(module).cpu().eval()
    X = torch.as_tensor(np.asarray(example))
    # A batch of one would be taken for a constant.
    X = torch.cat([X, X])[: max(2, len(X))]
    if X.is_floating_point():
        X = X.to(next(module.parameters()).dtype)
    with _quiet():
        program = torch.onnx.export(
            _Scores(module),
            (X,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("n_samples")},),
            input_names=["X"],
            output_names=["scores"],
            verbose=False,
        )
    assert program is not None
    program.save(str(path), external_data=False)


class _Scores(nn.Module):
    """The net with its first output alone."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        output = self.module(X)
        return output[0] if isinstance(output, tuple) else output


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # The exporter speaks of torchvision, which is not asked for, and of its own deprecations.
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
