"""The evidence over the batches, in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

MOST = 512


class Trace:
    """Values of some batches: of every one, then of every second, every fourth and so on."""

    def __init__(self) -> None:
        self.step = 1
        self.rows: list[tuple[int, list[float]]] = []

    def add(self, batch: int, values: npt.NDArray[np.float64]) -> None:
        """Add the values of a batch, if it is one of those kept."""
        if batch % self.step:
            return
        self.rows.append((batch, values.tolist()))
        if len(self.rows) > MOST:
            self.step *= 2
            self.rows = [row for row in self.rows if row[0] % self.step == 0]

    def frame(self, groups: pd.Index | None) -> pd.DataFrame:
        """Return one row per batch and one column per group; NaN before a group's first row."""
        n = 0 if groups is None else len(groups)
        values = [row + [np.nan] * (n - len(row)) for _, row in self.rows]
        batches = pd.Index([batch for batch, _ in self.rows], name="batch", dtype=np.int64)
        columns = pd.Index([]) if groups is None else groups
        return pd.DataFrame(
            np.array(values).reshape(len(values), n), index=batches, columns=columns
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the state as plain values."""
        return {"step": self.step, "rows": [[batch, row] for batch, row in self.rows]}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Trace:
        """Return the trace from the result of `to_dict`."""
        trace = cls()
        trace.step = state["step"]
        trace.rows = [(batch, row) for batch, row in state["rows"]]
        return trace
