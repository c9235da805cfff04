"""Pruned nets as files: small and safe to load, or for other runtimes."""

from sk_prunefair.export.compact import load_compact, save_compact
from sk_prunefair.export.onnx_file import to_onnx

__all__ = ["load_compact", "save_compact", "to_onnx"]
