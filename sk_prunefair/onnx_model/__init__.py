"""An ONNX file as a model: scores of rows, batch by batch."""

from sk_prunefair.onnx_model.model import OnnxModel
from sk_prunefair.onnx_model.scores import Scores

__all__ = ["OnnxModel", "Scores"]
