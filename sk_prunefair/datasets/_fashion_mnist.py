"""Fashion-MNIST: small grey images of clothes, with the class as the group."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.datasets import fetch_openml
from sklearn.utils import Bunch

from sk_prunefair.checks import check_choice, check_number
from sk_prunefair.datasets._files import download, find_file, locate_rows, search_folders
from sk_prunefair.datasets._idx import read_idx
from sk_prunefair.datasets._long_tail import select_long_tail

_NAMES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]
_PREFIXES = {"train": "train", "test": "t10k"}
# Rows of each subset and the checksum of its labels, which locates the subsets in the joined table.
_PUBLISHED = {
    "train": (60_000, "e3245b63f7c40d1c8b652835f19744d970c1613b40ddac6bcfc87b9c46e16a0b"),
    "test": (10_000, "d51d859896c55775b9e9e219b77ff03bcec1b6ac322f313544dc3f9e7bc94fae"),
}
_ADVICE = "The files are at https://github.com/zalandoresearch/fashion-mnist."
_DESCR = (
    "Fashion-MNIST: 28×28 grey photographs of clothes from a shop's catalogue, ten classes "
    "(H. Xiao, K. Rasul and R. Vollgraf, Zalando Research, 2017; MIT licence). "
    "The class is the group. "
)


def load_fashion_mnist(
    *,
    data_home: str | os.PathLike[str] | None = None,
    subset: str = "train",
    long_tail: float | None = None,
    random_state: int | np.random.RandomState | None = None,
    download_if_missing: bool = True,
) -> Bunch:
    """Load Fashion-MNIST, with the class of clothes as the group.

    The images need 3 kB each: 180 MiB for all 60,000 of the training subset.

    Parameters
    ----------
    data_home : path-like or None, default=None
        Folder with the publisher's four IDX files, packed (``.gz``) or plain, or with a folder
        ``fashion_mnist`` or ``FashionMNIST/raw`` that holds them. None takes the environment
        variable ``SK_PRUNEFAIR_DATA``, else ``~/sk_prunefair_data``.
    subset : {"train", "test"}, default="train"
        One of the publisher's two parts.
    long_tail : float or None, default=None
        Number of images of class 0 over that of class 9, up to rounding; sizes in between
        decay exponentially. None keeps all images.
    random_state : int, RandomState or None, default=None
        Seed of the choice of images for a long tail.
    download_if_missing : bool, default=True
        If a file is missing, download the data from OpenML ("Fashion-MNIST", version 1) into
        `data_home` with :func:`sklearn.datasets.fetch_openml`. The download joins both parts,
        which are then told apart by checksum.

    Returns
    -------
    sklearn.utils.Bunch
        - ``data`` : float32 array of shape (n_samples, 1, 28, 28), values in [0, 1]
        - ``target`` : int64 array of shape (n_samples,), 0 to 9
        - ``sensitive_features`` : DataFrame with the string column "class", the name of the class
        - ``target_names`` : list of the ten names
        - ``DESCR`` : str

        n_samples is 60,000 for "train" and 10,000 for "test", before a long tail.

    Raises
    ------
    ValueError
        If subset is unknown, long_tail is below 1 or leaves class 9 empty, or a file is
        damaged.
    FileNotFoundError
        If a file is missing and not downloaded.

    See Also
    --------
    long_tailed : The choice of rows, for any labels.

    Examples
    --------
    >>> from sk_prunefair.datasets import load_fashion_mnist
    >>> clothes = load_fashion_mnist(long_tail=20, random_state=0)  # doctest: +SKIP
    >>> clothes.sensitive_features["class"].value_counts()["Ankle boot"]  # doctest: +SKIP
    300
    """
    check_choice("subset", subset, list(_PREFIXES))
    if long_tail is not None:
        check_number("long_tail", long_tail, least=1)
    pixels, labels = _load(data_home, subset, download_if_missing)
    rows = np.arange(len(labels))
    if long_tail is not None:
        rows = select_long_tail(labels, long_tail, random_state, name="long_tail")
    target = labels[rows].astype(np.int64)
    return Bunch(
        data=np.divide(pixels[rows, np.newaxis], np.float32(255), dtype=np.float32),
        target=target,
        sensitive_features=pd.DataFrame({"class": np.array(_NAMES, dtype=object)[target]}),
        target_names=list(_NAMES),
        DESCR=_DESCR + f"{len(labels) - len(rows)} of {len(labels)} images were dropped.",
    )


def _load(
    data_home: str | os.PathLike[str] | None, subset: str, allowed: bool
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return images and labels of a subset as bytes, from files or from OpenML."""
    folders = search_folders(data_home, ["fashion_mnist", "FashionMNIST/raw"])
    names = [f"{_PREFIXES[subset]}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1")]
    images, labels = (find_file(folders, [f"{name}.gz", name]) for name in names)
    if images is not None and labels is not None:
        return _read(images, labels)
    bunch = download(
        lambda: fetch_openml("Fashion-MNIST", version=1, data_home=str(folders[0]), as_frame=False),
        folders,
        " or ".join(f"{name}[.gz]" for name in names),
        _ADVICE,
        allowed,
    )
    return _split(bunch, subset)


def _read(images: Path, labels: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return the contents of two IDX files, or raise ValueError if they do not match."""
    pixels, codes = read_idx(images, n_dims=3), read_idx(labels, n_dims=1)
    if pixels.shape[1:] != (28, 28):
        raise ValueError(f"{images} must hold images of 28×28, got {pixels.shape[1:]}")
    if len(pixels) != len(codes):
        raise ValueError(f"{images} holds {len(pixels)} images, but {labels} {len(codes)} labels")
    if codes.size and codes.max() >= len(_NAMES):
        raise ValueError(f"{labels} must hold labels from 0 to 9, got {codes.max()}")
    return pixels, codes


def _split(bunch: Any, subset: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return images and labels of a subset from OpenML's joined table."""
    labels = np.asarray(bunch.target).astype(np.uint8)
    rows = locate_rows(labels, *_PUBLISHED[subset], subset)
    pixels = np.asarray(bunch.data)[rows].astype(np.uint8)
    return pixels.reshape(-1, 28, 28), labels[rows]
