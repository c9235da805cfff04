"""The files of an audit: data that is read, tables that are written."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.report import FairnessReport


class Data(NamedTuple):
    """What a net is judged on."""

    X: pd.DataFrame | npt.NDArray[Any] | dict[str, npt.NDArray[Any]]
    y: npt.NDArray[Any]
    groups: pd.DataFrame


def read_data(
    path: Path,
    *,
    label: str | None,
    groups: Sequence[str] | None,
    features: Sequence[str] | None,
    names: Sequence[str] | None,
) -> Data:
    """Read features, labels and groups by the ending of the file's name.

    Parameters
    ----------
    path : Path
        File ending in .csv, .parquet or .npz; of the latter, the names of columns do not matter,
        and where it has no X, all arrays but y and groups go to the net by name.
    label : str or None
        Column of the labels.
    groups : sequence of str or None
        Columns that make the groups.
    features : sequence of str or None
        Columns of the features; None takes all others.
    names : sequence of str or None
        ``feature_names_in_`` of the net, if it has them: the features must be these, in any order.

    Returns
    -------
    Data
        Features in the order of the net's.

    Raises
    ------
    ValueError
        If the file, or what is said of its columns, is not as described.
    """
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _read_npz(path)
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".csv": pd.read_csv,
        ".parquet": _read_parquet,
    }
    if suffix not in readers:
        raise ValueError(f"--data must be a .csv, .parquet or .npz file, got {path.name!r}")
    frame = readers[suffix](path)
    if label is None or not groups:
        raise ValueError("--label and --groups must name columns of --data")
    taken = [label, *groups]
    columns = list(features or (str(column) for column in frame if column not in taken))
    missing = [column for column in [*taken, *columns] if column not in frame]
    if missing:
        raise ValueError(f"--data has no column {missing[0]!r}; there are {list(frame)[:20]}")
    if names is not None:
        if not features:  # what makes groups may be a feature, too
            columns += [column for column in groups if column in names]
        _check_names(columns, names)
        columns = list(names)
    for column in columns:
        if not pd.api.types.is_numeric_dtype(frame[column]):
            raise ValueError(
                f"--features must be numbers, as the net takes them, got {column!r} of dtype "
                f"{frame[column].dtype}"
            )
    X: Any = frame[columns]
    if names is None:
        X = X.to_numpy()
    return Data(X, frame[label].to_numpy(), frame[list(groups)])


def _check_names(columns: Sequence[str], names: Sequence[str]) -> None:
    """Raise ValueError unless the columns are the features of the net, in any order."""
    missing = [name for name in names if name not in columns]
    extra = [column for column in columns if column not in names]
    if missing or extra:
        raise ValueError(
            "the features of --data must be those that the net was fitted on, in any order: "
            f"{len(missing)} are missing {missing[:10]}, {len(extra)} are extra {extra[:10]}; "
            "--features names the columns to take"
        )


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except ImportError as error:
        raise ImportError(
            "--data: a .parquet file needs pyarrow, which is not installed: pip install "
            "'sk-prunefair[parquet]'"
        ) from error


def _read_npz(path: Path) -> Data:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            fields = [name for name in arrays if name not in Data._fields]
            is_dict = "X" not in arrays and bool(fields)
            missing = [name for name in Data._fields[is_dict:] if name not in arrays]
            if missing:
                raise ValueError(
                    f"--data must hold the arrays {list(Data._fields)}, {missing[0]!r} is missing"
                )
            X: Any = {name: arrays[name] for name in fields} if is_dict else arrays["X"]
            y, groups = arrays["y"], arrays["groups"]
    except zipfile.BadZipFile as error:
        raise ValueError(f"--data {path.name} is not a whole npz file: {error}") from error
    frame = pd.DataFrame(groups)
    # One column is a name, several are numbered.
    return Data(X, y, frame.set_axis([f"group {i}" for i in frame], axis=1))


def write_tables(
    folder: Path, report: FairnessReport, curve: pd.DataFrame | None, judged: pd.DataFrame | None
) -> None:
    """Write what an audit found as CSV files into a folder.

    Parameters
    ----------
    folder : Path
        Made where it is not there.
    report : FairnessReport
        To ``groups.csv`` and ``summary.csv``.
    curve, judged : pandas.DataFrame or None
        To ``curve.csv`` and ``promise.csv``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report.to_frame().to_csv(folder / "groups.csv")
    nets = {"dense": report.dense, "pruned": report.pruned}
    summary = {f"accuracy_{name}": net.overall["accuracy"] for name, net in nets.items()}
    summary |= {f"accuracy_gap_{name}": gap for name, gap in report.accuracy_gap.items()}
    summary["fairness_violation"] = report.fairness_violation
    table = pd.concat([pd.Series(summary), report.compression])
    table.rename("value").rename_axis("quantity").to_csv(folder / "summary.csv")
    for name, frame in (("curve", curve), ("promise", judged)):
        if frame is not None:
            frame.to_csv(folder / f"{name}.csv", index=False)
