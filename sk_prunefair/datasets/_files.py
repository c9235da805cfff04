"""Search the files of a data set, and report missing ones."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_VARIABLE = "SK_PRUNEFAIR_DATA"
_DEFAULT = "~/sk_prunefair_data"


def data_folder(data_home: str | os.PathLike[str] | None) -> Path:
    """Return the folder for `data_home`; None takes the environment variable or the home folder."""
    if data_home is None:
        data_home = os.environ.get(_VARIABLE) or _DEFAULT
    if not isinstance(data_home, str | os.PathLike):
        raise TypeError(f"data_home must be a path or None, got {data_home!r}")
    return Path(data_home).expanduser()


def search_folders(
    data_home: str | os.PathLike[str] | None, subfolders: Sequence[str]
) -> list[Path]:
    """Return the folders to search: the given one, then its subfolders."""
    home = data_folder(data_home)
    return [home, *(home / subfolder for subfolder in subfolders)]


def find_file(folders: Sequence[Path], names: Sequence[str]) -> Path | None:
    """Return the first of the names that is a file in one of the folders, or None."""
    paths = (folder / name for folder in folders for name in names)
    return next((path for path in paths if path.is_file()), None)


def not_found(folders: Sequence[Path], wanted: str, advice: str) -> FileNotFoundError:
    """Return the error for a missing file, with the searched folders and advice."""
    tried = ", ".join(str(folder) for folder in folders)
    return FileNotFoundError(
        f"{wanted} not found. Looked in: {tried}. Pass data_home=, the folder that holds it, "
        f"or set the environment variable {_VARIABLE}. {advice}"
    )


def download(
    fetch: Callable[[], Any], folders: Sequence[Path], wanted: str, advice: str, allowed: bool
) -> Any:
    """Return the result of `fetch`, or raise the error for a missing file."""
    if not allowed:
        raise not_found(folders, wanted, f"download_if_missing=True downloads it. {advice}")
    try:
        return fetch()
    except OSError as error:
        raise not_found(folders, wanted, f"The download failed: {error}. {advice}") from error


def locate_rows(column: npt.ArrayLike, n_rows: int, checksum: str, subset: str) -> slice:
    """Return the rows of a joined download that are a published subset, or raise ValueError.

    OpenML joins the training and the test rows in no guaranteed order: each end of the column is
    compared with the publisher's file, by checksum.
    """
    values = np.asarray(column).astype("<i8")
    for rows in (slice(0, n_rows), slice(max(len(values) - n_rows, 0), None)):
        if hashlib.sha256(values[rows].tobytes()).hexdigest() == checksum:
            return rows
    raise ValueError(
        f"subset={subset!r}: the download has {len(values)} rows, and neither its first nor its "
        f"last {n_rows} are the published {subset} rows; pass data_home= with the publisher's files"
    )
