"""Write pruned nets to files, small and safe to load, or for other runtimes; make sparse modules.

To load a file into a plain module, ``load_compact`` imports only torch and numpy.
"""

from typing import TYPE_CHECKING

from sk_prunefair._lazy import lazy

if TYPE_CHECKING:
    from sk_prunefair.export.compact import load_compact, save_compact
    from sk_prunefair.export.onnx_file import to_onnx
    from sk_prunefair.export.onnx_module import OnnxModule
    from sk_prunefair.export.sparse import SparseModule, sparse_module
    from sk_prunefair.export.sparse_file import load_sparse
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "compact": ["load_compact", "save_compact"],
            "onnx_file": ["to_onnx"],
            "onnx_module": ["OnnxModule"],
            "sparse": ["SparseModule", "sparse_module"],
            "sparse_file": ["load_sparse"],
        },
    )

__all__ = [
    "OnnxModule",
    "SparseModule",
    "load_compact",
    "load_sparse",
    "save_compact",
    "sparse_module",
    "to_onnx",
]
