"""UTKFace: faces with age, gender and race."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils import Bunch, check_random_state

from sk_prunefair.checks import check_choice, check_count
from sk_prunefair.datasets._utkface_files import (
    Labels,
    parse_names,
    progress,
    read_images,
    split_copies,
)

_GENDERS = ["Male", "Female"]
_RACES = ["White", "Black", "Asian", "Indian", "Other"]
_DESCR = (
    "UTKFace: aligned and cropped photographs of faces from the web, labelled with age, gender "
    "and race, mostly by an algorithm and checked by people (Z. Zhang, Y. Song and H. Qi, 2017). "
    "For non-commercial research only; the rights remain with the owners of the images, which "
    "must not be passed on. "
)


def load_utkface(
    *,
    data_home: str | os.PathLike[str] | None = None,
    target: str = "race",
    sensitive_features: str | Sequence[str] = ("race",),
    size: int = 48,
    n_samples: int | None = None,
    age_bins: Sequence[int] = (15, 30, 45, 60),
    keep_duplicates: bool = False,
    random_state: int | np.random.RandomState | None = None,
    verbose: int = 0,
) -> Bunch:
    """Load the UTKFace images, without duplicate files.

    Nothing is unpacked to disk, and only the images returned are decoded. The result takes
    12 · size² bytes an image: at a size of 48 that is 27 kB each and 608 MiB for all 23,056.
    While loading, the undecoded files are held as well (some 100 MB for the official crops).

    Needs Pillow: ``pip install "sk-prunefair[images]"``.

    Parameters
    ----------
    data_home : path-like or None, default=None
        Folder of images with their official names, ``age_gender_race_date.jpg.chip.jpg``; or an
        archive of them (tar, tar.gz, tar.xz); or a folder with an archive ``UTKFace*.tar*`` (the
        first by name); or a folder with one of these in ``utkface``, ``utkface48`` or
        ``UTKFace``. None takes the environment variable ``SK_PRUNEFAIR_DATA``, else
        ``~/sk_prunefair_data``.
    target : {"race", "gender", "age"}, default="race"
        What to predict.
    sensitive_features : str or sequence of str, default=("race",)
        One or more of "race", "gender" and "age".
    size : int, default=48
        Height and width of the returned images; those stored in another size are
        resized with Pillow's bicubic filter.
    n_samples : int or None, default=None
        Number of images, drawn at random after copies are dropped. None loads all.
    age_bins : sequence of int, default=(15, 30, 45, 60)
        First year of each age group except the youngest. The default gives "0-14", "15-29",
        "30-44", "45-59" and "60+".
    keep_duplicates : bool, default=False
        False keeps one of several byte-identical files whose labels agree and none of those
        whose labels contradict each other; otherwise copies end up on both sides of a split.
    random_state : int, RandomState or None, default=None
        Seed of the choice of `n_samples` images.
    verbose : int, default=0
        Above 0, progress bars are shown on a terminal.

    Returns
    -------
    sklearn.utils.Bunch
        - ``data`` : float32 array of shape (n_samples, 3, size, size), values in [0, 1], sorted
          by file name
        - ``target`` : int64 array of shape (n_samples,), position in ``target_names``
        - ``sensitive_features`` : DataFrame with a string column for each requested one
        - ``target_names`` : list of str
        - ``filenames`` : array of str of shape (n_samples,)
        - ``n_dropped`` : dict of int, files left out before `n_samples` are drawn: "unlabelled"
          (a field of the name is missing), "copies" and "conflicting"
        - ``DESCR`` : str

    Raises
    ------
    ImportError
        If Pillow is not installed.
    FileNotFoundError
        If there are no images. There is no download.
    ValueError
        If an argument is unknown or out of range, no file name has all labels, or the archive
        or an image is damaged.

    Examples
    --------
    >>> from sk_prunefair.datasets import load_utkface
    >>> faces = load_utkface(n_samples=500, random_state=0)  # doctest: +SKIP
    >>> faces.data.shape, faces.n_dropped  # doctest: +SKIP
    ((500, 3, 48, 48), {'unlabelled': 3, 'copies': 118, 'conflicting': 531})
    """
    names_of = {"race": _RACES, "gender": _GENDERS, "age": _age_names(age_bins)}
    check_choice("target", target, list(names_of))
    groups = _check_groups(sensitive_features, list(names_of))
    check_count("size", size)
    if n_samples is not None:
        check_count("n_samples", n_samples)
    _import_pillow()

    images = read_images(data_home, verbose)
    labels = parse_names(images)
    if not labels:
        raise ValueError(
            "data_home: no file name has the form age_gender_race_date.jpg, "
            f"for example {next(iter(images))!r}"
        )
    kept, n_dropped = list(labels), {"unlabelled": len(images) - len(labels)}
    if not keep_duplicates:
        kept, n_dropped["copies"], n_dropped["conflicting"] = split_copies(images, labels)
    kept = _draw(kept, n_samples, random_state)
    codes = _encode([labels[name] for name in kept], age_bins)
    return Bunch(
        data=_decode_all({name: images[name] for name in kept}, size, verbose),
        target=codes[target],
        sensitive_features=pd.DataFrame(
            {group: np.array(names_of[group], dtype=object)[codes[group]] for group in groups}
        ),
        target_names=list(names_of[target]),
        filenames=np.array([PurePosixPath(name).name for name in kept]),
        n_dropped=n_dropped,
        DESCR=_DESCR + _describe(n_dropped),
    )


def _age_names(age_bins: Sequence[int]) -> list[str]:
    """Return the names of the age groups, or raise ValueError."""
    try:
        for start in age_bins:
            check_count("age_bins", start)
        starts = [0, *map(int, age_bins)]
    except (TypeError, ValueError):
        starts = []
    if len(starts) < 2 or any(left >= right for left, right in pairwise(starts)):
        raise ValueError(f"age_bins must be ascending integers >= 1, got {age_bins!r}")
    closed = [f"{left}-{right - 1}" for left, right in pairwise(starts)]
    return [*closed, f"{starts[-1]}+"]


def _check_groups(sensitive_features: Any, choices: list[str]) -> list[str]:
    """Return the names of the sensitive features as a list, or raise ValueError."""
    if isinstance(sensitive_features, str):
        sensitive_features = [sensitive_features]
    groups = list(sensitive_features)
    for group in groups:
        check_choice("sensitive_features", group, choices)
    if not groups or len(set(groups)) < len(groups):
        raise ValueError(
            f"sensitive_features must be one or more of {choices}, each once, got {groups}"
        )
    return groups


def _import_pillow() -> Any:
    """Return Pillow's Image module, or raise an error with the command that installs it."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            'load_utkface needs Pillow, which is not installed: pip install "sk-prunefair[images]"'
        ) from error
    return Image


def _draw(
    names: list[str], n_samples: int | None, random_state: int | np.random.RandomState | None
) -> list[str]:
    """Return n_samples of the names, drawn at random, in their original order."""
    if n_samples is None:
        return names
    if n_samples > len(names):
        raise ValueError(
            f"n_samples must be at most {len(names)}, the number of images, got {n_samples}"
        )
    rows = check_random_state(random_state).choice(len(names), n_samples, replace=False)
    return [names[row] for row in np.sort(rows)]


def _encode(labels: Sequence[Labels], age_bins: Sequence[int]) -> dict[str, npt.NDArray[np.int64]]:
    """Return the code of each face for race, gender and age group."""
    ages, genders, races = np.array(labels, dtype=np.int64).T
    return {
        "race": races,
        "gender": genders,
        "age": np.searchsorted(list(age_bins), ages, side="right"),
    }


def _decode_all(images: Mapping[str, bytes], size: int, verbose: int) -> npt.NDArray[np.float32]:
    """Return the images as one array, into which each is decoded directly."""
    data = np.empty((len(images), 3, size, size), dtype=np.float32)
    bar = progress(images.items(), verbose, "Decoding", total=len(images))
    for row, (name, raw) in enumerate(bar):
        pixels = _decode(name, raw, size).transpose(2, 0, 1)
        np.divide(pixels, np.float32(255), out=data[row])
    return data


def _decode(name: str, raw: bytes, size: int) -> npt.NDArray[np.uint8]:
    """Return one image as an array of shape (size, size, 3), or raise ValueError."""
    try:
        image = _import_pillow().open(io.BytesIO(raw)).convert("RGB")
    except OSError as error:
        raise ValueError(f"data_home: {name} is not a readable image: {error}") from error
    if image.size != (size, size):
        image = image.resize((size, size))
    return np.asarray(image)


def _describe(n_dropped: Mapping[str, int]) -> str:
    """Return the sentence on the files that were left out."""
    text = f"Dropped: {n_dropped['unlabelled']} files whose name lacks a label"
    if "copies" not in n_dropped:
        return f"{text}; byte-identical files were kept."
    return (
        f"{text}, {n_dropped['copies']} byte-identical copies with equal labels, and "
        f"{n_dropped['conflicting']} byte-identical files with conflicting labels."
    )
