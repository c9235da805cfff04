"""Handwritten digits from scikit-learn: groups without a file."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.utils import Bunch

from sk_prunefair.datasets._long_tail import select_long_tail

_DESCR = (
    "Handwritten digits, 8×8 grey values: the test part of the UCI collection "
    '"Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak; CC BY 4.0), as '
    "scikit-learn carries it. The class is the group. "
)


def load_digits(
    *, long_tail: float | None = None, random_state: int | np.random.RandomState | None = None
) -> Bunch:
    """Load scikit-learn's digits as images, with the class as the group.

    Parameters
    ----------
    long_tail : float or None, default=None
        Number of images of digit 0 over that of digit 9, up to rounding; sizes in between
        decay exponentially. None keeps all 1,797 images.
    random_state : int, RandomState or None, default=None
        Seed of the choice of images for a long tail.

    Returns
    -------
    sklearn.utils.Bunch
        - ``data`` : float32 array of shape (n_samples, 1, 8, 8), values in [0, 1]
        - ``target`` : int64 array of shape (n_samples,), the digit
        - ``sensitive_features`` : DataFrame with the column "digit", "0" to "9"
        - ``target_names`` : list of the ten names
        - ``DESCR`` : str

    Raises
    ------
    ValueError
        If long_tail is below 1, or so large that digit 9 would have no image.

    See Also
    --------
    long_tailed : The choice of rows, for any labels.

    Examples
    --------
    >>> from sk_prunefair.datasets import load_digits
    >>> digits = load_digits(long_tail=20, random_state=0)
    >>> digits.data.shape
    (606, 1, 8, 8)
    >>> digits.sensitive_features["digit"].value_counts().loc[["0", "9"]].tolist()
    [178, 9]
    """
    source = datasets.load_digits()
    target = source.target.astype(np.int64)
    rows = np.arange(len(target))
    if long_tail is not None:
        rows = select_long_tail(target, long_tail, random_state, name="long_tail")
    images = source.images[rows, np.newaxis].astype(np.float32) / np.float32(16)
    return Bunch(
        data=images,
        target=target[rows],
        sensitive_features=pd.DataFrame({"digit": target[rows].astype(str)}),
        target_names=[str(digit) for digit in range(10)],
        DESCR=_DESCR + f"{len(target) - len(rows)} of {len(target)} images were dropped.",
    )
