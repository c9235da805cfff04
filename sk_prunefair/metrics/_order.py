"""The order of groups in tables and sentences: who was harmed most."""

from __future__ import annotations

import pandas as pd

HARMS = ["accuracy_drop", "excessive_risk"]


def most_harmed_first(frame: pd.DataFrame) -> pd.DataFrame:
    """Return rows sorted by accuracy lost, then by excessive risk, both the largest first.

    >>> columns = {"accuracy_drop": [0.0, 0.2, 0.2], "excessive_risk": [0.9, 0.1, 0.3]}
    >>> most_harmed_first(pd.DataFrame(columns, index=["a", "b", "c"])).index.tolist()
    ['c', 'b', 'a']
    """
    # Means of the same numbers in another order may differ in the last digits.
    keys = frame[HARMS].round(12).reset_index(drop=True)
    return frame.iloc[keys.sort_values(HARMS, ascending=False, kind="stable").index]
