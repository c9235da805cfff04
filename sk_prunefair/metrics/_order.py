"""Which groups were harmed most, for the order of tables and for sentences."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

HARMS = ["accuracy_drop", "excessive_risk"]


def most_harmed_first(frame: pd.DataFrame) -> pd.DataFrame:
    """Return rows sorted by accuracy lost, then by excessive risk, both the largest first.

    Where losses are not known, by accuracy lost alone.

    >>> columns = {"accuracy_drop": [0.0, 0.2, 0.2], "excessive_risk": [0.9, 0.1, 0.3]}
    >>> most_harmed_first(pd.DataFrame(columns, index=["a", "b", "c"])).index.tolist()
    ['c', 'b', 'a']
    """
    # Means of the same numbers in another order may differ in the last digits.
    harms = [name for name in HARMS if name in frame]
    keys = frame[harms].round(12).reset_index(drop=True)
    return frame.iloc[keys.sort_values(harms, ascending=False, kind="stable").index]


class ExtremeGroups(NamedTuple):
    """Rows of a report's frame that its sentences name.

    Parameters
    ----------
    best_dense : int
        Of the group that the dense net serves best.
    worst_pruned : int
        Of the group that the pruned net serves worst.
    lost_most : int
        Of the group that lost most accuracy.
    largest_risk : int
        Of the group with the largest excessive risk; the one that lost most accuracy, where
        losses are not known.
    """

    best_dense: int
    worst_pruned: int
    lost_most: int
    largest_risk: int

    @classmethod
    def find(cls, frame: pd.DataFrame) -> ExtremeGroups:
        """Find them in the frame ``by_group`` of a report; the first of equals."""
        return cls(
            int(frame["accuracy_dense"].argmax()),
            int(frame["accuracy_pruned"].argmin()),
            int(frame["accuracy_drop"].argmax()),
            int(frame["excessive_risk" if "excessive_risk" in frame else "accuracy_drop"].argmax()),
        )
