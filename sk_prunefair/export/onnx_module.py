"""OnnxModule: an ONNX file as a torch module, so that a classifier can run it like its own net."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sk_prunefair.onnx_model import OnnxModel
from sk_prunefair.onnx_model.inputs import Rows


class OnnxModule(nn.Module):
    """A file of `sk_prunefair.export.to_onnx`, run in memory by ONNX Runtime on the CPU.

    It uses torch's number of threads. It is for evaluation, and can be pickled and copied.

    Parameters
    ----------
    content : bytes
        The file.
    is_one_logit : bool, default=False
        Whether to return one logit, from which the file makes the scores 0 and z.

    Examples
    --------
    >>> from sk_prunefair.export import to_onnx
    >>> path = Path(tempfile.mkdtemp()) / "net.onnx"
    >>> to_onnx(nn.Linear(4, 3), path, example=torch.zeros(1, 4))
    >>> OnnxModule(path.read_bytes())(torch.zeros(2, 4)).shape
    torch.Size([2, 3])
    """

    def __init__(self, content: bytes, is_one_logit: bool = False) -> None:
        super().__init__()
        self.content = content
        self.is_one_logit = is_one_logit
        self._model: OnnxModel | None = None
        self._threads = 0
        self.eval()

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the scores of a batch, as the exported net does."""
        model = self._opened(torch.get_num_threads())
        rows = Rows(kwargs or (args if len(args) > 1 else args[0]), model.inputs)
        scores = np.concatenate(
            [
                model.run_batch(rows.batch(start, start + model.batch_size))[0]
                for start in range(0, len(rows), model.batch_size)
            ]
        )
        found = torch.from_numpy(scores)
        return found[:, 1] - found[:, 0] if self.is_one_logit else found

    def save(self, path: str | Path) -> None:
        """Write the file."""
        Path(path).write_bytes(self.content)

    def _opened(self, threads: int) -> OnnxModel:
        if self._model is None or self._threads != threads:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "net.onnx"
                self.save(path)
                self._model, self._threads = OnnxModel(path, threads=threads), threads
        return self._model

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_model": None}
