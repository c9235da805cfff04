"""One part of the data to train on, and one that no net has seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import check_cv, train_test_split

from sk_prunefair.data.groups import encode_groups
from sk_prunefair.selection._nets import Data, splittable, take_data


def hold_out(data: Data, cv: Any, random_state: Any) -> tuple[Data, Data]:
    """Return data to train on, and held-out data with samples of every group."""
    X, y, frame = data
    codes, groups = encode_groups(frame)
    fit_on, test_on = _split(X, y, codes, cv, random_state)
    absent = groups[np.setdiff1d(np.arange(len(groups)), codes[test_on])]
    if len(absent):
        raise ValueError(
            f"every group must have held-out samples, but {absent[:5].tolist()} have none; "
            "merge small groups, or hold more data out"
        )
    return take_data(data, fit_on), take_data(data, test_on)


def _split(
    X: Any, y: Any, codes: npt.NDArray[np.int64], cv: Any, random_state: Any
) -> tuple[Any, Any]:
    if isinstance(cv, float) and 0 < cv < 1:
        # By group alone: within a group the samples stay independent, which the test asks for.
        stratify = codes if np.bincount(codes).min() > 1 else None
        return train_test_split(
            np.arange(len(codes)), test_size=cv, random_state=random_state, stratify=stratify
        )
    accepted = "cv must be a share in (0, 1), 'prefit', or a splitter with a single split"
    if isinstance(cv, (int, float, str)) or cv is None:
        raise ValueError(f"{accepted}, got {cv!r}")
    splits = list(check_cv(cv, y, classifier=True).split(splittable(X), y))
    if len(splits) != 1:
        raise ValueError(
            f"{accepted}, got {len(splits)} splits, each with a net of its own: none of them "
            "would be the one that is returned"
        )
    return splits[0]
