"""Common parts of the loaders of tables: dtypes of the columns, and the returned Bunch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils import Bunch


def read_table(path: Path, **options: Any) -> pd.DataFrame:
    """Return a text file as a frame, or raise a ValueError with the name of the file."""
    try:
        return pd.read_csv(path, **options)
    except ValueError as error:
        raise ValueError(f"{path} is not a readable table: {error}") from error


def as_features(frame: pd.DataFrame, numeric: Mapping[str, str], source: object) -> pd.DataFrame:
    """Return a frame whose numeric columns have the given dtypes; all others become categories."""
    columns = {}
    for name, column in frame.items():
        # Via str, categories are the occurring values, sorted.
        steps: list[Any] = [numeric[str(name)]] if name in numeric else ["str", "category"]
        try:
            for dtype in steps:
                column = column.astype(dtype)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{source}: column {name!r} is not {steps[0]}: {error}") from error
        columns[name] = column
    return pd.DataFrame(columns).reset_index(drop=True)


def as_bunch(
    data: pd.DataFrame,
    target: npt.NDArray[np.generic],
    sensitive_features: pd.DataFrame,
    target_names: list[str],
    descr: str,
) -> Bunch:
    """Return the Bunch of a table; sensitive features become plain strings."""
    return Bunch(
        data=data,
        target=target,
        sensitive_features=sensitive_features.astype(str).reset_index(drop=True),
        feature_names=data.columns.tolist(),
        target_names=target_names,
        DESCR=descr,
    )


def check_columns(frame: pd.DataFrame, wanted: Sequence[str], source: object) -> None:
    """Raise ValueError unless the file has every required column."""
    missing = [column for column in wanted if column not in frame.columns]
    if missing:
        raise ValueError(f"{source} lacks the columns {missing}; it has {frame.columns.tolist()}")


def check_values(values: pd.Series, accepted: Sequence[object], source: object) -> None:
    """Raise ValueError if a column of a file holds values that are not accepted."""
    strangers = values[~values.isin(list(accepted))]
    if len(strangers):
        # Via a list, so that the message shows 3 instead of np.int64(3).
        first, row = strangers.tolist()[0], strangers.index[0]
        raise ValueError(
            f"{source}: column {values.name!r} must hold {list(accepted)}, "
            f"got {first!r} in row {row} ({len(strangers)} such rows)"
        )
