"""Split the data into a part for training, and a held-out part."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import (
    GroupShuffleSplit,
    TimeSeriesSplit,
    check_cv,
    train_test_split,
)

from sk_prunefair.data.groups import as_group_frame, encode_groups
from sk_prunefair.data.inputs import is_dataset
from sk_prunefair.kept import KeptFolder
from sk_prunefair.selection._nets import (
    Data,
    fit_all,
    split_steps,
    splittable,
    take_data,
    with_classifier,
)


def fit_dense_part(
    estimator: Any,
    data: Data,
    cv: Any,
    *,
    has_groups: bool,
    finetune_epochs: int | None,
    random_state: Any,
    units: Any = None,
    check: Callable[[pd.DataFrame], Any],
    folder: KeptFolder | None = None,
) -> tuple[Any, Data, Data | None]:
    """Return a fitted estimator, its evaluation data, and its fine-tuning data, if any.

    Parameters
    ----------
    estimator : FairPrunedClassifier or Pipeline that ends in one
        Estimator that is cloned and fitted, unpruned, on one part of the data; copied with
        ``cv="prefit"``.
    data : tuple of X, y and a frame of groups
        With ``cv="prefit"`` all of it is held out.
    cv : float, "prefit", splitter or iterable
        As for `PruneRateSearchCV`.
    has_groups : bool
        Whether the user gave groups; otherwise ``fit`` gets none.
    finetune_epochs : int or None
        As for `PruneRateSearchCV`.
    random_state : int, RandomState instance or None
        Seed of the split.
    units : array-like of shape (n_samples,), default=None
        Units whose rows stay together: persons, households, days.
    check : callable
        Function called with the held-out frame of groups, before any training.
    folder : KeptFolder, default=None
        Folder in which the fitted net is stored.

    Raises
    ------
    ValueError
        If an argument is malformed, or a group has no held-out sample.
    """
    if isinstance(cv, str) and cv == "prefit":
        split_steps(estimator)[1].check_is_fitted()
        if finetune_epochs:
            raise ValueError(
                f"finetune_epochs={finetune_epochs} needs data to train on, but cv='prefit' holds "
                "out all data; got both"
            )
        check(data[2])
        # A copy, and its dense net: a function of the user's may change the one or the other.
        front, classifier = split_steps(copy.deepcopy(estimator))
        return with_classifier(estimator, front, classifier.prune(0.0)), data, None
    if data[1] is None and not is_dataset(data[0]):
        raise ValueError("the search requires y to be passed, but the target y is None")
    (X, y, groups), test = hold_out(data, cv, random_state, units)
    check(test[2])
    train = X, y, groups if has_groups else None
    [fitted] = fit_all(estimator, [({}, train)], n_jobs=1, verbose=0, folder=folder)
    return fitted, test, train


def hold_out(data: Data, cv: Any, random_state: Any, units: Any = None) -> tuple[Data, Data]:
    """Return training data, and held-out data with samples of every group."""
    X, y, frame = data
    codes, groups = encode_groups(frame)
    fit_on, test_on = _split(X, y, codes, cv, random_state, units)
    absent = groups[np.setdiff1d(np.arange(len(groups)), codes[test_on])]
    if len(absent):
        raise ValueError(
            f"every group must have held-out samples, but {absent[:5].tolist()} have none; "
            "merge small groups, or hold more data out"
        )
    return take_data(data, fit_on), take_data(data, test_on)


def _split(
    X: Any, y: Any, codes: npt.NDArray[np.int64], cv: Any, random_state: Any, units: Any
) -> tuple[Any, Any]:
    if units is not None:
        units = _check_units(units, len(codes))
    if isinstance(cv, float | np.floating) and 0 < cv < 1:
        cv = float(cv)
        rows = np.arange(len(codes))
        if units is not None:
            splitter = GroupShuffleSplit(1, test_size=cv, random_state=random_state)
            fit_on, test_on = next(splitter.split(rows, groups=units))
            return fit_on, test_on
        # By group only: within a group the samples stay independent, as the test requires.
        stratify = codes if np.bincount(codes).min() > 1 else None
        try:
            return train_test_split(
                rows, test_size=cv, random_state=random_state, stratify=stratify
            )
        except ValueError as error:
            raise ValueError(
                f"cv={cv:g} of {len(codes):,} rows cannot leave rows of each of "
                f"{codes.max() + 1:,} groups on both sides: merge small groups, or hold more or "
                f"less data out ({error})"
            ) from error
    accepted = "cv must be a share in (0, 1), 'prefit', or a splitter with a single split"
    if isinstance(cv, int | float | np.number | str) or cv is None:
        raise ValueError(f"{accepted}, got {cv!r}")
    splits = list(check_cv(cv, y, classifier=True).split(splittable(X), y, units))
    if isinstance(cv, TimeSeriesSplit):
        splits = splits[-1:]  # trained on all of the past, tested on the most recent part
    if len(splits) != 1:
        raise ValueError(
            f"{accepted}, got {len(splits)} splits, which would train as many nets where one is "
            "returned"
        )
    fit_on, test_on = (_as_rows(rows, len(codes)) for rows in splits[0])
    n_both, n_again = len(np.intersect1d(fit_on, test_on)), len(test_on) - len(np.unique(test_on))
    if n_both or n_again:
        raise ValueError(
            "cv must hold out rows that are not trained on, and each of them once, or no test of "
            f"them means what it says; got {n_both} rows on both sides, and {n_again} repeated ones"
        )
    if units is not None and np.isin(units[fit_on], units[test_on]).any():
        raise ValueError(
            "cv must keep rows with the same value of groups on one side of the split; use a "
            "splitter such as GroupShuffleSplit(1)"
        )
    return fit_on, test_on


def _as_rows(given: Any, n_samples: int) -> npt.NDArray[np.int64]:
    """Return rows as numbers from 0, be they given as such, as a mask or counted from the end."""
    rows = np.asarray(given)
    rows = rows if len(rows) else rows.astype(np.int64)
    try:
        return np.arange(n_samples, dtype=np.int64)[rows]
    except IndexError as error:
        raise ValueError(f"cv must yield rows of {n_samples}, or masks of them: {error}") from error


def _check_units(units: Any, n_samples: int) -> npt.NDArray[np.int64]:
    """Return the code of each row's unit."""
    frame = as_group_frame(units, n_samples, "groups")
    codes, names = encode_groups(frame)
    if len(names) < 2:
        raise ValueError("groups must hold at least two different values, got one")
    return codes
