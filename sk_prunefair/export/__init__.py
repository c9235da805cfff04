"""Pruned nets as files: small and safe to load, or for other runtimes.

To load one into a plain module, ``load_compact`` imports torch and numpy, and nothing else.
"""

from typing import TYPE_CHECKING

from sk_prunefair._lazy import lazy

if TYPE_CHECKING:
    from sk_prunefair.export.compact import load_compact, save_compact
    from sk_prunefair.export.onnx_file import to_onnx
else:
    __getattr__, __dir__ = lazy(
        __name__, {"compact": ["load_compact", "save_compact"], "onnx_file": ["to_onnx"]}
    )

__all__ = ["load_compact", "save_compact", "to_onnx"]
