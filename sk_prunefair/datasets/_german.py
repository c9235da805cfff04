"""German credit: good and bad risks among the customers of a bank."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import fetch_openml
from sklearn.utils import Bunch

from sk_prunefair.datasets._files import download, find_file, search_folders
from sk_prunefair.datasets._german_codes import CODES, COLUMNS, NUMBERS
from sk_prunefair.datasets._tabular import (
    as_bunch,
    as_features,
    check_columns,
    check_values,
    read_table,
)

_FILE = "german.data"
_LABELS = ["bad", "good"]
_ADVICE = "The file is at https://archive.ics.uci.edu/dataset/144/statlog+german+credit+data."
_DESCR = (
    "German credit: 1,000 bank customers of the 1970s and whether their credit was a good or a bad "
    "risk (H. Hofmann, UCI Machine Learning Repository, doi:10.24432/C5NC77; CC BY 4.0). No row "
    "and no column was dropped; codes were put into words. Sex is read off the personal status, "
    "and age is split at 25, as the fairness literature does."
)


def load_german(
    *, data_home: str | os.PathLike[str] | None = None, download_if_missing: bool = True
) -> Bunch:
    """Load the Statlog German credit data; sensitive features are sex and age.

    Sex is derived from the personal status, where one occurring value (code A92) means a woman.
    Age is "<=25" or ">25", the usual split in the fairness literature. Both are kept among the
    features as published; to train without: ``german.data.drop(columns=["personal_status",
    "age"])``.

    Parameters
    ----------
    data_home : path-like or None, default=None
        Folder with ``german.data``, or with a folder ``german`` that holds it. None takes the
        environment variable ``SK_PRUNEFAIR_DATA``, else ``~/sk_prunefair_data``.
    download_if_missing : bool, default=True
        If the file is missing, download the data from OpenML ("credit-g", version 1) into
        `data_home` with :func:`sklearn.datasets.fetch_openml`.

    Returns
    -------
    sklearn.utils.Bunch
        - ``data`` : DataFrame of shape (1000, 20); seven int64 columns, thirteen categories in
          OpenML's words rather than codes
        - ``target`` : array of shape (1000,) of the strings "good" and "bad"
        - ``sensitive_features`` : DataFrame with the string columns "sex" ("Female", "Male") and
          "age" ("<=25", ">25")
        - ``feature_names``, ``target_names`` : lists of str
        - ``DESCR`` : str

    Raises
    ------
    FileNotFoundError
        If the file is missing and not downloaded.
    ValueError
        If the file is damaged.

    Examples
    --------
    >>> from sk_prunefair.datasets import load_german
    >>> german = load_german()  # doctest: +SKIP
    >>> german.sensitive_features["sex"].value_counts().to_dict()  # doctest: +SKIP
    {'Male': 690, 'Female': 310}
    """
    folders = search_folders(data_home, ["german"])
    path = find_file(folders, [_FILE])
    frame = _download(folders, download_if_missing) if path is None else _read(path)
    source = path or "the download of credit-g"
    check_values(frame["class"], _LABELS, source)
    data = as_features(frame[COLUMNS], dict.fromkeys(NUMBERS, "int64"), source)
    return as_bunch(
        data=data,
        target=frame["class"].to_numpy(dtype=str),
        sensitive_features=_groups(data),
        target_names=_LABELS,
        descr=_DESCR,
    )


def _groups(data: pd.DataFrame) -> pd.DataFrame:
    """Return sex and age group of each row."""
    is_woman = data["personal_status"].astype(str).str.startswith("female")
    return pd.DataFrame(
        {
            "sex": np.where(is_woman, "Female", "Male"),
            "age": np.where(data["age"] <= 25, "<=25", ">25"),
        }
    )


def _read(path: Path) -> pd.DataFrame:
    """Return the publisher's file with words in place of codes."""
    frame = read_table(path, header=None, sep=r"\s+")
    if frame.shape[1] != len(COLUMNS) + 1:
        raise ValueError(
            f"{path} must have {len(COLUMNS) + 1} values in a row, got {frame.shape[1]}"
        )
    frame.columns = pd.Index([*COLUMNS, "class"])
    for column, words in CODES.items():
        check_values(frame[column], list(words), path)
        frame[column] = frame[column].map(words)
    check_values(frame["class"], [1, 2], path)
    return frame.assign(**{"class": frame["class"].map({1: "good", 2: "bad"})})


def _download(folders: list[Path], allowed: bool) -> pd.DataFrame:
    """Return OpenML's edition as a frame."""
    bunch = download(
        lambda: fetch_openml("credit-g", version=1, data_home=str(folders[0]), as_frame=True),
        folders,
        _FILE,
        _ADVICE,
        allowed,
    )
    check_columns(bunch.data, COLUMNS, "the download of credit-g")
    return bunch.data.assign(**{"class": bunch.target.astype(str)})
