"""Files of UTKFace: locate them, parse their names, and find duplicates."""

from __future__ import annotations

import os
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

from tqdm import tqdm

from sk_prunefair.datasets._files import data_folder, not_found, search_folders

_SUBFOLDERS = ["utkface", "utkface48", "UTKFace", "utkface/UTKFace"]
_ARCHIVE = "UTKFace*.tar*"
_ADVICE = (
    "Ask for the aligned and cropped faces on the project page, "
    "https://susanqq.github.io/UTKFace/; they are for non-commercial research only."
)
# Only the beginning is parsed: some official names lack digits or the dot of the extension.
_NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_\d+")
_Item = TypeVar("_Item")


class Labels(NamedTuple):
    """The labels in a file name, as numbers."""

    age: int
    gender: int
    race: int


def read_images(data_home: str | os.PathLike[str] | None, verbose: int) -> dict[str, bytes]:
    """Return the undecoded images of a folder or a tar archive, sorted by name."""
    source = _find_source(data_home)
    pairs = _from_folder(source) if source.is_dir() else _from_archive(source)
    images = dict(progress(pairs, verbose, "Reading"))
    if not images:
        raise ValueError(f"data_home: {source} holds no .jpg files")
    return dict(sorted(images.items()))


def parse_names(names: Iterable[str]) -> dict[str, Labels]:
    """Return the labels of each file whose name has age, gender, race and date."""
    matches = {name: _NAME.match(PurePosixPath(name).name) for name in names}
    return {
        name: Labels(*(int(field) for field in match.groups()))
        for name, match in matches.items()
        if match is not None
    }


def split_copies(
    images: Mapping[str, bytes], labels: Mapping[str, Labels]
) -> tuple[list[str], int, int]:
    """Choose one file of each image, and none if its copies have different labels.

    Returns
    -------
    kept : list of str
        Names, in the order of `labels`.
    n_copies : int
        Files left out because the same image with the same labels is kept.
    n_conflicting : int
        Files left out because byte-identical files have other labels, of which at most one is
        correct.
    """
    names_of: dict[bytes, list[str]] = {}
    for name in labels:
        names_of.setdefault(images[name], []).append(name)
    kept, n_copies, n_conflicting = [], 0, 0
    for names in names_of.values():
        if len({labels[name] for name in names}) > 1:
            n_conflicting += len(names)
        else:
            kept.append(names[0])
            n_copies += len(names) - 1
    return kept, n_copies, n_conflicting


def progress(
    items: Iterable[_Item], verbose: int, label: str, total: int | None = None
) -> Iterator[_Item]:
    """Yield the items, with a bar on a terminal unless verbose is 0."""
    # None makes tqdm show the bar only on a terminal.
    yield from tqdm(items, desc=label, total=total, disable=None if verbose else True)


def _find_source(data_home: str | os.PathLike[str] | None) -> Path:
    """Return the folder of images or the archive for `data_home`."""
    home = data_folder(data_home)
    if home.is_file():
        return home
    folders = search_folders(home, _SUBFOLDERS)
    for folder in folders:
        if next(folder.glob("*.jpg"), None) is not None:
            return folder
        archives = sorted(folder.glob(_ARCHIVE))
        if archives:
            return archives[0]
    wanted = f"UTKFace (a folder of .jpg files or an archive {_ARCHIVE})"
    raise not_found(folders, wanted, _ADVICE)


def _from_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of each image of a folder."""
    for path in folder.glob("*.jpg"):
        yield path.name, path.read_bytes()


def _from_archive(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of each image of a tar archive; nothing is unpacked to disk."""
    try:
        # "r|*" reads in one pass, as seeking in a compressed archive is slow.
        with tarfile.open(archive, "r|*") as members:
            for member in members:
                file = members.extractfile(member) if member.name.endswith(".jpg") else None
                if file is not None:
                    yield member.name, file.read()
    except (tarfile.TarError, LZMAError, EOFError, zlib.error) as error:
        raise ValueError(f"data_home: {archive} is not a readable tar archive: {error}") from error
