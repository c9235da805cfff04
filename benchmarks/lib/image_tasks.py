"""Image data of the poster, at any size: faces by race, age or gender, and class-as-group images.

UTKFace and Fashion-MNIST come through the package's loaders. CIFAR-10 ("cifar10/", the binary
version) and SVHN ("svhn/", the 32×32 crops in MATLAB's format) are read where they are present in
the folder SK_PRUNEFAIR_DATA, and are asked for by name as the others are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
from scipy.io import loadmat

from benchmarks.lib.tasks import Split, data_folder, face_split
from sk_prunefair.datasets import load_digits, load_fashion_mnist, long_tailed

LONG_TAIL = 20
N_TEST = 4000


def _fashion(subset: str) -> Split:
    bunch = load_fashion_mnist(subset=subset)
    return Split(bunch.data, bunch.target, bunch.target)


def _digits(subset: str) -> Split:
    """scikit-learn's digits at 32×32; they need no download, for quick runs."""
    bunch = load_digits()
    images = np.kron(bunch.data.reshape(-1, 1, 8, 8), np.ones((4, 4))).astype(np.float32)
    whole = Split(images, bunch.target, bunch.target)
    return whole.take(np.arange(1200) if subset == "train" else np.arange(1200, 1797))


def _cifar10(subset: str) -> Split:
    """Read records of one byte of label and 3 × 32 × 32 bytes of image."""
    pattern = "data_batch_*.bin" if subset == "train" else "test_batch.bin"
    files = sorted(data_folder("cifar10").glob(f"**/{pattern}"))
    if not files:
        raise FileNotFoundError(f"no {pattern} of CIFAR-10's binary version in cifar10/")
    records = np.concatenate([np.fromfile(path, dtype=np.uint8) for path in files])
    records = records.reshape(-1, 1 + 3 * 32 * 32)
    labels = records[:, 0].astype(np.int64)
    return Split(records[:, 1:].reshape(-1, 3, 32, 32) / np.float32(255), labels, labels)


def _svhn(subset: str) -> Split:
    """Read images of shape (32, 32, 3, n) and labels from 1 to 10, where 10 is the digit 0."""
    path = data_folder("svhn") / f"{subset}_32x32.mat"
    if not path.exists():
        raise FileNotFoundError(f"no {path.name} of SVHN in svhn/")
    content = loadmat(path)
    labels = content["y"].ravel().astype(np.int64) % 10
    return Split(content["X"].transpose(3, 2, 0, 1) / np.float32(255), labels, labels)


@cache
def _class_images(read: Callable[[str], Split]) -> tuple[Split, Split]:
    return read("train"), read("test")


def class_as_group(
    seed: int, n_train: int, read: Callable[[str], Split], tail: float
) -> tuple[Split, Split]:
    """Draw training images, as many of each class or with a long tail, and test images."""
    train, test = _class_images(read)
    rows = np.random.default_rng(seed).permutation(len(train.y))
    # A long tail of this ratio leaves some third of a balanced pool.
    per_class = n_train // len(np.unique(train.y)) * (1 if tail == 1 else 3)
    pool = train.take(
        np.concatenate([rows[train.y[rows] == label][:per_class] for label in np.unique(train.y)])
    )
    if tail > 1:
        pool = pool.take(long_tailed(pool.y, tail, random_state=seed))
    return pool, _first(test, seed, n_train)


def faces(
    seed: int, n_train: int, target: str, group: str = "race", size: int = 32
) -> tuple[Split, Split]:
    """Draw training and test faces; copies of an image are in neither."""
    train, _, test = face_split(target, seed, group=group, size=size, n_train=n_train)
    return train, _first(test, seed, n_train)


def _first(test: Split, seed: int, n_train: int) -> Split:
    # More would cost more than the training.
    rows = np.random.default_rng(seed).permutation(len(test.y))[: min(n_train, N_TEST)]
    return test.take(rows)


# (seed, rows of training, …) → training and test rows. Faces take a size, too.
IMAGES: dict[str, Callable[..., tuple[Split, Split]]] = {
    "faces_race": partial(faces, target="race"),
    "faces_age": partial(faces, target="age", group="age"),
    "faces_gender": partial(faces, target="gender"),
    "fashion_tail": partial(class_as_group, read=_fashion, tail=LONG_TAIL),
    "fashion": partial(class_as_group, read=_fashion, tail=1),
    "digits_tail": partial(class_as_group, read=_digits, tail=LONG_TAIL),
    "cifar10_tail": partial(class_as_group, read=_cifar10, tail=LONG_TAIL),
    "cifar10": partial(class_as_group, read=_cifar10, tail=1),
    "svhn_tail": partial(class_as_group, read=_svhn, tail=LONG_TAIL),
    "svhn": partial(class_as_group, read=_svhn, tail=1),
}
# Names of the groups' codes, for tables and pictures; of other data, the codes are the names.
_RACES = ["Asian", "Black", "Indian", "Other", "White"]
_CLOTHES = (
    *("T-shirt", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Boot"),
)
GROUP_NAMES = {
    "faces_race": _RACES,
    "faces_gender": _RACES,
    "faces_age": ["0-14", "15-29", "30-44", "45-59", "60+"],
    "fashion": list(_CLOTHES),
    "fashion_tail": list(_CLOTHES),
}
