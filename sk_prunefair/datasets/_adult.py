"""Adult: incomes above 50,000 dollars a year in the 1994 census."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
from fairlearn.datasets import fetch_adult
from sklearn.utils import Bunch

from sk_prunefair.checks import check_choice
from sk_prunefair.datasets._files import download, find_file, locate_rows, search_folders
from sk_prunefair.datasets._tabular import (
    as_bunch,
    as_features,
    check_columns,
    check_values,
    read_table,
)

_FEATURES = [
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education-num",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital-gain",
    "capital-loss",
    "hours-per-week",
    "native-country",
]
_INTEGERS = dict.fromkeys(
    ["age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week"], "int64"
)
_LABELS = ["<=50K", ">50K"]
_FILES = {"train": "adult.data", "test": "adult.test"}
# Rows of each file, and the checksum of its column fnlwgt, which locates the files in the joined
# table.
_PUBLISHED = {
    "train": (32_561, "2dc9612aaf1b8695de03114885e43a1e4185b431ed50cf1e6ae2e8d447c42578"),
    "test": (16_281, "2c9b798cbda77e01e1f6692b75e10d81bfc90df336384f2060c3a88faa65c040"),
}
_ADVICE = "The files are at https://archive.ics.uci.edu/dataset/2/adult."
_DESCR = (
    "Adult: people of the 1994 United States census and whether they earned more than 50,000 "
    "dollars a year (B. Becker and R. Kohavi, UCI Machine Learning Repository, "
    "doi:10.24432/C5XW20; CC BY 4.0). No row and no column was dropped; unknown values are the "
    'category "Unknown", and the full stop after the labels of the test file was removed.'
)


def load_adult(
    *,
    data_home: str | os.PathLike[str] | None = None,
    subset: str = "train",
    download_if_missing: bool = True,
) -> Bunch:
    """Load the UCI Adult data; sensitive features are sex and race.

    The sensitive columns are also among the features, as published. To train without them:
    ``adult.data.drop(columns=["sex", "race"])``.

    Parameters
    ----------
    data_home : path-like or None, default=None
        Folder with ``adult.data`` and ``adult.test``, or with a folder ``adult`` that holds them.
        None takes the environment variable ``SK_PRUNEFAIR_DATA``, else ``~/sk_prunefair_data``.
    subset : {"train", "test", "all"}, default="train"
        Which of the publisher's two files; "all" puts the test rows after the training rows.
    download_if_missing : bool, default=True
        If a file is missing, download the data from OpenML into `data_home` with
        :func:`fairlearn.datasets.fetch_adult`. The download joins both files; "train" and "test"
        are found in it by checksum, and "all" keeps its order.

    Returns
    -------
    sklearn.utils.Bunch
        - ``data`` : DataFrame of shape (n_samples, 14) with the hyphenated UCI names; six int64
          columns, eight categories. Missing values are the category "Unknown", so that an
          encoder needs no imputer. Categories are those that occur in the subset.
        - ``target`` : array of shape (n_samples,) of the strings "<=50K" and ">50K"
        - ``sensitive_features`` : DataFrame with the string columns "sex" and "race"
        - ``feature_names``, ``target_names`` : lists of str
        - ``DESCR`` : str

        n_samples is 32,561 for "train", 16,281 for "test" and 48,842 for "all".

    Raises
    ------
    ValueError
        If subset is unknown, a file is damaged, or the subset's rows are not in the download.
    FileNotFoundError
        If a file is missing and not downloaded.

    Examples
    --------
    >>> from sk_prunefair.datasets import load_adult
    >>> adult = load_adult(subset="test")  # doctest: +SKIP
    >>> adult.sensitive_features["sex"].value_counts().to_dict()  # doctest: +SKIP
    {'Male': 10860, 'Female': 5421}
    """
    check_choice("subset", subset, [*_FILES, "all"])
    parts = list(_FILES) if subset == "all" else [subset]
    folders = search_folders(data_home, ["adult"])
    paths = [find_file(folders, [_FILES[part]]) for part in parts]
    found = [path for path in paths if path is not None]
    if len(found) == len(parts):
        frame = pd.concat([_read(path) for path in found], ignore_index=True)
    else:
        frame = _download(subset, folders, download_if_missing)
    return as_bunch(
        data=as_features(frame[_FEATURES], _INTEGERS, "Adult"),
        target=frame["class"].to_numpy(dtype=str),
        sensitive_features=frame[["sex", "race"]],
        target_names=_LABELS,
        descr=_DESCR,
    )


def _read(path: Path) -> pd.DataFrame:
    """Return one of the publisher's files as a frame."""
    frame = read_table(
        path,
        header=None,
        skipinitialspace=True,
        keep_default_na=False,
        # The first line of the test file is not a row: "|1x3 Cross validator".
        comment="|",
    )
    if frame.shape[1] != len(_FEATURES) + 1:
        raise ValueError(
            f"{path} must have {len(_FEATURES) + 1} values in a row, got {frame.shape[1]}"
        )
    frame.columns = pd.Index([*_FEATURES, "class"])
    frame["class"] = frame["class"].astype(str).str.rstrip(".")
    check_values(frame["class"], _LABELS, path)
    return frame.replace("?", "Unknown")


def _download(subset: str, folders: list[Path], allowed: bool) -> pd.DataFrame:
    """Return the rows of the subset from OpenML's table."""
    wanted = " or ".join(_FILES.values()) if subset == "all" else _FILES[subset]
    bunch = download(
        lambda: fetch_adult(data_home=str(folders[0]), as_frame=True),
        folders,
        wanted,
        _ADVICE,
        allowed,
    )
    frame = bunch.data.astype({name: object for name in bunch.data if name not in _INTEGERS})
    check_columns(frame, _FEATURES, "the download of Adult")
    frame = frame.fillna("Unknown").assign(**{"class": bunch.target.astype(str)})
    check_values(frame["class"], _LABELS, "the download of Adult")
    if subset == "all":
        return frame
    return frame[locate_rows(frame["fnlwgt"], *_PUBLISHED[subset], subset)]
