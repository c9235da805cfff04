"""The group and the control level of each sample as codes, and means over them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.data.groups import encode_groups


class Cells:
    """Samples by group and, if there are control features, by their level.

    Parameters
    ----------
    groups : pandas.DataFrame of shape (n_samples, n_columns)
        Sensitive features, as `sk_prunefair.data.groups.as_group_frame` returns them.
    levels : pandas.DataFrame of shape (n_samples, n_controls), default=None
        Control features.
    weights : ndarray of shape (n_samples,), dtype int64, default=None
        Number of samples that each row represents; None means one.

    Attributes
    ----------
    codes : ndarray of shape (n_samples,), dtype int64
        The cell of each sample.
    frame : pandas.DataFrame of shape (n_cells, n_controls + n_columns)
        Levels and groups of each cell that has samples, sorted.
    index : pandas.Index of shape (n_cells,)
        The same as an index, as in a MetricFrame: plain for one column, else a MultiIndex.
    counts : ndarray of shape (n_cells,), dtype int64
        Number of samples of each cell.
    starts : ndarray of shape (n_levels,), dtype int64
        The first cell of each level; only 0 without control features.

    Examples
    --------
    >>> cells = Cells(pd.DataFrame({"sex": ["m", "f", "m", "m"]}))
    >>> cells.index.tolist(), cells.counts, cells.means([1.0, 2.0, 3.0, 5.0])
    (['f', 'm'], array([1, 3]), array([2., 3.]))
    """

    def __init__(
        self,
        groups: pd.DataFrame,
        levels: pd.DataFrame | None = None,
        weights: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self.weights = weights
        codes, names = encode_groups(groups)
        columns, self.starts = names.to_frame(index=False), np.zeros(1, dtype=np.int64)
        if levels is not None:
            outer, level_names = encode_groups(levels)
            codes = outer * len(names) + codes
            [found] = np.nonzero(np.bincount(codes))
            place = np.zeros(len(names) * len(level_names), dtype=np.int64)
            place[found] = np.arange(len(found))
            codes = place[codes]
            level_of, group_of = np.divmod(found, len(names))
            of_levels = level_names.to_frame(index=False).iloc[level_of].reset_index(drop=True)
            columns = pd.concat([of_levels, columns.iloc[group_of].reset_index(drop=True)], axis=1)
            self.starts = np.searchsorted(level_of, np.arange(len(level_names)))
        self.codes, self.frame = codes, columns
        self.controls = [] if levels is None else [*levels.columns]
        self.counts = np.bincount(codes, weights).astype(np.int64, copy=False)
        self.index = (
            pd.Index(columns.iloc[:, 0])
            if columns.shape[1] == 1
            else pd.MultiIndex.from_frame(columns)
        )

    @property
    def group(self) -> pd.Index:
        """The name of each sample's group, a tuple for several columns."""
        return _flat(self.frame.drop(columns=self.controls))[self.codes]

    @property
    def level(self) -> pd.Index | None:
        """The name of each sample's control level, None without control features."""
        return _flat(self.frame[self.controls])[self.codes] if self.controls else None

    def sums(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the sum of a per-sample value over each cell."""
        each = np.asarray(values, dtype=float)
        each = each if self.weights is None else each * self.weights
        return np.bincount(self.codes, each, len(self.counts)).astype(float, copy=False)

    def means(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the mean of a per-sample value over each cell."""
        return self.sums(values) / self.counts

    def features(self) -> dict[str, Any]:
        """Return the cells in a MetricFrame's form of features, one row per cell."""
        found = {"sensitive_features": self.frame.drop(columns=self.controls)}
        return found | ({"control_features": self.frame[self.controls]} if self.controls else {})


def _flat(columns: pd.DataFrame) -> pd.Index:
    """Return one name per row, a tuple for several columns."""
    if columns.shape[1] == 1:
        return pd.Index(columns.iloc[:, 0])
    return pd.MultiIndex.from_frame(columns).to_flat_index()
