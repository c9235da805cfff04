"""Order of groups by harm, for tables and sentences."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

HARMS = ["accuracy_drop", "excessive_risk"]


def most_harmed_first(frame: pd.DataFrame) -> pd.DataFrame:
    """Return rows sorted by accuracy lost, then by excessive risk, both the largest first.

    If losses are not known, by accuracy lost only.

    >>> columns = {"accuracy_drop": [0.0, 0.2, 0.2], "excessive_risk": [0.9, 0.1, 0.3]}
    >>> most_harmed_first(pd.DataFrame(columns, index=["a", "b", "c"])).index.tolist()
    ['c', 'b', 'a']
    """
    # Means of the same numbers in another order may differ by rounding.
    harms = [name for name in HARMS if name in frame]
    keys = frame[harms].round(12).reset_index(drop=True)
    return frame.iloc[keys.sort_values(harms, ascending=False, kind="stable").index]


class ExtremeGroups(NamedTuple):
    """Rows of a report's frame that its sentences mention.

    Parameters
    ----------
    best_dense : int
        Row of the group with the highest accuracy of the dense net.
    worst_pruned : int
        Row of the group with the lowest accuracy of the pruned net.
    lost_most : int
        Row of the group that lost most accuracy.
    largest_risk : int
        Row of the group with the largest excessive risk; the one that lost most accuracy if
        losses are not known.
    """

    best_dense: int
    worst_pruned: int
    lost_most: int
    largest_risk: int

    @classmethod
    def find(cls, frame: pd.DataFrame) -> ExtremeGroups:
        """Find the rows in the frame ``by_group`` of a report; the first of equal ones."""
        return cls(
            int(frame["accuracy_dense"].argmax()),
            int(frame["accuracy_pruned"].argmin()),
            int(frame["accuracy_drop"].argmax()),
            int(frame["excessive_risk" if "excessive_risk" in frame else "accuracy_drop"].argmax()),
        )
