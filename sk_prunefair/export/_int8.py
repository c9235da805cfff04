"""Static quantisation of ONNX files to 8-bit integers, by ONNX Runtime."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from sk_prunefair.data.sources import count_rows
from sk_prunefair.onnx_model import OnnxModel
from sk_prunefair.onnx_model.inputs import Arrays, Rows

if TYPE_CHECKING:
    from sk_prunefair.protocol import CoreNet

# With fewer rows, the ranges of activations do not represent the data.
_LEAST_ROWS = 10
# Share of rows with another predicted label above which an error is likely.
_WILD = 0.2
_BATCH = 64
Batches = Callable[[], Iterator[Arrays]]


def check_quantize(quantize: str | None, calibration: Any) -> None:
    """Raise an error if the arguments of `to_onnx` are inconsistent, or a package is missing."""
    if quantize is None:
        if calibration is not None:
            raise ValueError("calibration is for quantize='int8', got quantize=None")
        return
    if quantize != "int8":
        raise ValueError(f"quantize must be None or 'int8', got {quantize!r}")
    if calibration is None:
        raise ValueError(
            "quantize='int8' needs calibration: rows of X that resemble those to predict"
        )
    try:
        import onnx  # noqa: F401
        import onnxruntime.quantization  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "quantize='int8' needs onnx and onnxruntime: install the extra, pip install "
            "'sk-prunefair[onnx]'"
        ) from error


def checked_calibration(source: nn.Module | CoreNet, X: Any) -> Any:
    """Return calibration rows, encoded as for ``predict`` if the source is a classifier.

    Raises
    ------
    ValueError
        If X does not fit the classifier, or has fewer than ten rows.
    """
    rows = X if isinstance(source, nn.Module) else source.get_dataset(X)
    n = count_rows(rows)
    if n < _LEAST_ROWS:
        raise ValueError(f"calibration must hold at least {_LEAST_ROWS} rows, got {n}")
    return rows


def _batches(source: nn.Module | CoreNet, calibration: Any, model: OnnxModel) -> Batches:
    """Return a function that yields checked rows as the inputs of the model, batch by batch.

    Batches are those of a classifier's own iterator.
    """
    if isinstance(source, nn.Module):
        rows, size = Rows(calibration, model.inputs), model.batch_size
        return lambda: (
            _finite(rows.batch(start, start + size)) for start in range(0, len(rows), size)
        )

    def batches() -> Iterator[Arrays]:
        for inputs, _ in source.get_iterator(calibration, training=False):
            rows = Rows(inputs, model.inputs)
            yield _finite(rows.batch(0, len(rows)))

    return batches


def _finite(batch: Arrays) -> Arrays:
    for name, values in batch.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"calibration must be finite, got NaN or infinity in {name!r}")
    return batch


def write_int8(source: nn.Module | CoreNet, whole: Path, path: Path, calibration: Any) -> None:
    """Quantise an ONNX file: weights per channel, activations by their range.

    Weights are symmetric: zero stays zero. The scores are not rounded.

    Parameters
    ----------
    source : torch.nn.Module or FairPrunedClassifier
        Net of the file; a classifier checks the rows.
    whole : pathlib.Path
        The file in floating point.
    path : pathlib.Path
        File to write; an existing file is replaced once the new one is complete.
    calibration : object
        Rows as `checked_calibration` returns them.

    Raises
    ------
    ValueError
        If the rows do not fit, or ONNX Runtime cannot quantise the net.

    Warns
    -----
    UserWarning
        If the predicted label of more than a fifth of the rows differs from the net in floating
        point.
    """
    import onnx

    model = OnnxModel(whole, batch_size=_BATCH)
    batches = _batches(source, calibration, model)
    for _ in batches():  # all rows are checked before anything is computed from some
        pass
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "int8.onnx"
        try:
            _quantize(whole, draft, batches)
        except Exception as error:  # any error of the quantiser
            raise ValueError(f"ONNX Runtime cannot quantise this net: {error}") from error
        made = onnx.load(draft)
        if not any(node.op_type == "DequantizeLinear" for node in made.graph.node):
            raise ValueError("ONNX Runtime found nothing to quantise in this net")
        if not _ends_clipped(onnx.load(whole).graph):
            _keep_scores(made.graph)
        onnx.save(made, draft)
        _warn_of_others(model, OnnxModel(draft, batch_size=_BATCH), batches)
        content = draft.read_bytes()
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _quantize(whole: Path, draft: Path, batches: Batches) -> None:
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = batches()

        def get_next(self) -> Arrays | None:
            return next(self.batches, None)

    ready = draft.with_name("ready.onnx")
    quant_pre_process(str(whole), str(ready), skip_symbolic_shape=True)
    quantization.quantize_static(
        str(ready),
        str(draft),
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=quantization.QuantType.QInt8,
        weight_type=quantization.QuantType.QInt8,
        extra_options={"WeightSymmetric": True},
    )


def _keep_scores(graph: Any) -> None:
    """Remove the rounding of the scores, which would make losses coarse."""
    makers = {name: node for node in graph.node for name in node.output}
    [output] = graph.output
    last = makers[output.name]
    rounding = makers.get(last.input[0])
    if last.op_type != "DequantizeLinear" or rounding is None:
        return
    exact = rounding.input[0]
    uses = [node for node in graph.node if {rounding.output[0], output.name} & {*node.input}]
    if exact not in makers or uses != [last]:
        return
    for node in (last, rounding):
        graph.node.remove(node)
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [output.name if name == exact else name for name in names]
    used = {name for node in graph.node for name in node.input}
    for value in [each for each in graph.initializer if each.name not in used]:
        graph.initializer.remove(value)


def _ends_clipped(graph: Any) -> bool:
    """Tell whether a net ends in a ReLU, which the quantiser implements by rounding."""
    kinds = {name: node.op_type for node in graph.node for name in node.output}
    return kinds.get(graph.output[0].name) in ("Relu", "Clip")


def _warn_of_others(whole: OnnxModel, small: OnnxModel, batches: Batches) -> None:
    n_rows = n_other = 0
    for batch in batches():
        answers = [model.run_batch(batch)[0].argmax(axis=1) for model in (whole, small)]
        n_rows += len(answers[0])
        n_other += int((answers[0] != answers[1]).sum())
    if n_other > _WILD * n_rows:
        warnings.warn(
            f"quantize='int8' changes the predicted label of {n_other / n_rows:.0%} of the "
            f"{n_rows} calibration rows; compare the two files before you use this one",
            UserWarning,
            stacklevel=4,
        )
