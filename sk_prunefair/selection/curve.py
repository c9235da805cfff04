"""pruning_curve: the effect of each pruning rate on each group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import check_cv

from sk_prunefair.data.groups import as_group_frame, encode_groups
from sk_prunefair.data.sources import count_rows
from sk_prunefair.outcome import Outcome, lost_labels
from sk_prunefair.selection._nets import (
    Data,
    check_rates,
    fit_all,
    make_trial,
    run_rates,
    split_steps,
    splittable,
    take_data,
)
from sk_prunefair.selection._parallel import as_folder


def pruning_curve(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    sensitive_features: Any,
    rates: Iterable[float] = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98),
    X_train: Any = None,
    y_train: Any = None,
    sensitive_features_train: Any = None,
    finetune_epochs: int | None = None,
    random_states: Iterable[int] | None = None,
    cv: Any = None,
    n_jobs: int | None = None,
    verbose: int = 1,
    memory: Any = None,
) -> pd.DataFrame:
    """Prune a net at several rates, and evaluate it group by group.

    The numbers equal those of ``estimator.prune(rate, ...)`` and
    ``estimator.fairness_report(...)``, rate by rate, but the net is trained once, the dense net
    evaluated once, and the estimator is not changed.

    Parameters
    ----------
    estimator : FairPrunedClassifier or Pipeline that ends in one
        Fitted estimator or, with ``random_states`` or ``cv``, a template that is cloned and fitted.
    X, y : array-like of shape (n_samples, ...) and (n_samples,)
        Evaluation data, preferably held out from training. With ``cv``, all data.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample of X; columns intersect.
    rates : iterable of float in [0, 1)
        Shares of the weights to remove, in any order; the frame is sorted by them.
    X_train, y_train, sensitive_features_train : array-like, default=None
        Data to fine-tune on at each rate and, with ``random_states``, to train on.
    finetune_epochs : int, default=None
        Epochs of fine-tuning at each rate. None takes the estimator's if there is training data.
    random_states : iterable of int, default=None
        Repeat training and evaluation with each of these as the classifier's ``random_state``.
    cv : int, splitter or iterable, default=None
        Repeat over splits of X, as in `sklearn.model_selection.cross_validate`: a clone is trained
        on one part and evaluated on the other.
    n_jobs : int, default=None
        Number of parallel jobs, one rate each, by joblib:
        ``joblib.parallel_config(backend="dask")`` or ``"ray"`` distributes them over machines, and
        data is sent once, not once per rate. The frame is bitwise equal, given a ``random_state``.
        Each job uses ``torch.get_num_threads()`` threads: with several jobs on one machine, call
        ``torch.set_num_threads(1)`` before. Threads of one process (the "threading" backend) run
        one after the other, as they share torch's random generator.
    verbose : int, default=1
        0 shows no progress bar; none is shown either without a terminal.
    memory : str or path-like, default=None
        Folder in which every fitted net and every finished rate is stored at once. A
        curve that was killed continues from there when called again. A file is identified by all
        values that it was computed from, so that several curves can share one folder. On a cluster,
        all workers need access to the folder. Changes in the code of a class are not detected.
        Files are pickles: load only those that you trust.

    Returns
    -------
    pandas.DataFrame
        One row per repeat, rate and group, tidy:

        - ``repeat`` (int), and ``random_state`` and ``split`` (int) if requested;
        - ``rate``; ``group``, a tuple if sensitive features have several columns; ``count``;
        - for the pruned net on the group, ``accuracy``, ``loss``, ``accuracy_drop`` and
          ``excessive_risk`` R(a) (eq. 2);
        - for the pruned net on all samples, equal for each group of a rate,
          ``accuracy_overall``, ``loss_overall``, ``accuracy_gap``, ``fairness_violation`` ξ
          (eq. 3) and ``lost_labels``, the number of labels that only the dense net predicts.

        Rate 0, if requested, is the dense net.

    Raises
    ------
    NotFittedError
        If `estimator` is not fitted, and neither ``random_states`` nor ``cv`` is given.
    TypeError
        If `estimator` cannot be pruned.
    ValueError
        If an argument is malformed, or training data is missing or given twice.
    RuntimeError
        If the worker process of a job ended twice; the message has the rate and the
        repeat. After the first time the remaining jobs are run one at a time.

    Examples
    --------
    >>> import torch
    >>> from sk_prunefair import FairPrunedClassifier
    >>> from sk_prunefair.datasets import load_digits
    >>> from sk_prunefair.modules import MLP
    >>> digits = load_digits()
    >>> X, y = digits.data, digits.target
    >>> clf = FairPrunedClassifier(
    ...     MLP, criterion=torch.nn.CrossEntropyLoss, lr=0.5, verbose=0, random_state=0
    ... ).fit(X[:1000], y[:1000])
    >>> X, y = X[1000:], y[1000:]
    >>> curve = pruning_curve(clf, X, y, sensitive_features=y < 5, rates=[0.5, 0.9])
    >>> curve[["rate", "group", "count"]]
       rate  group  count
    0   0.5  False    399
    1   0.5   True    398
    2   0.9  False    399
    3   0.9   True    398
    """
    checked_rates = check_rates(rates)
    split_steps(estimator)
    groups = as_group_frame(sensitive_features, count_rows(X))
    train = None if X_train is None else (X_train, y_train, sensitive_features_train)
    _check_training_data(train, cv, random_states, finetune_epochs)
    repeats = list(_repeats((X, y, groups), train, cv, random_states))
    if not repeats:
        raise ValueError("random_states and cv must hold at least one repeat, got none")
    options: dict[str, Any] = {"n_jobs": n_jobs, "verbose": verbose, "folder": as_folder(memory)}
    fits = [estimator]
    if random_states is not None or cv is not None:
        fits = fit_all(estimator, [(names, fit_on) for names, fit_on, _ in repeats], **options)
    trials = [
        make_trial(fitted, test[0], test[1], fit_on, finetune_epochs)
        for fitted, (_, fit_on, test) in zip(fits, repeats, strict=True)
    ]
    dense = [trial.dense() for trial in trials]
    called = [names for names, _, _ in repeats]
    pruned = run_rates(trials, checked_rates, names=called, **options)
    rows: list[dict[str, Any]] = []
    for before, (names, _, test) in zip(dense, repeats, strict=True):
        codes, labels = encode_groups(test[2])
        members = {label: np.flatnonzero(codes == code) for code, label in enumerate(labels)}
        for rate in checked_rates:
            columns, run = names | {"rate": rate}, next(pruned)
            rows += _rows(columns, run.dense or before, run.pruned, members)
    return pd.DataFrame(rows)


def _check_training_data(
    train: Data | None, cv: Any, random_states: Any, finetune_epochs: int | None
) -> None:
    if train is not None and cv is not None:
        raise ValueError("X_train must be None with cv, which splits X; got both")
    if train is None and cv is None and random_states is not None:
        raise ValueError("random_states needs data to train on: pass X_train and y_train, or cv")
    if train is None and cv is None and finetune_epochs:
        raise ValueError(
            f"finetune_epochs={finetune_epochs} needs data to train on: pass X_train, y_train and "
            "sensitive_features_train, or cv"
        )


def _repeats(
    data: Data, train: Data | None, cv: Any, random_states: Iterable[int] | None
) -> Iterator[tuple[dict[str, int], Data | None, Data]]:
    """Yield names, training data and evaluation data of each training."""
    X, y, _ = data
    splits: list[tuple[dict[str, int], Data | None, Data]] = [({}, train, data)]
    if cv is not None:
        indices = check_cv(cv, y, classifier=True).split(splittable(X), y)
        splits = [
            ({"split": split}, take_data(data, fit_on), take_data(data, test_on))
            for split, (fit_on, test_on) in enumerate(indices)
        ]
    seeds = [{}] if random_states is None else [{"random_state": seed} for seed in random_states]
    is_repeated = cv is not None or random_states is not None
    pairs = [(split, seed) for split in splits for seed in seeds]
    for repeat, ((split_name, fit_on, test_on), seed) in enumerate(pairs):
        names = {"repeat": repeat} if is_repeated else {}
        yield names | seed | split_name, fit_on, test_on


def _rows(
    names: dict[str, Any],
    dense: Outcome,
    pruned: Outcome,
    members: dict[Any, npt.NDArray[np.int64]],
) -> list[dict[str, Any]]:
    """Return one row per group, with the numbers of a `FairnessReport`."""
    per_sample = {
        "accuracy": pruned.is_right,
        "loss": pruned.known_losses,
        "accuracy_drop": dense.is_right.astype(float) - pruned.is_right,
        "excessive_risk": pruned.known_losses - dense.known_losses,
    }
    means = {
        name: np.array([values[rows].mean() for rows in members.values()])
        for name, values in per_sample.items()
    }
    overall = {
        "accuracy_overall": pruned.is_right.mean(),
        "loss_overall": pruned.known_losses.mean(),
        "accuracy_gap": np.ptp(means["accuracy"]),
        "fairness_violation": np.ptp(means["excessive_risk"]),
        "lost_labels": len(lost_labels(dense, pruned)),
    }
    return [
        names
        | {"group": group, "count": len(rows)}
        | {name: values[position] for name, values in means.items()}
        | overall
        for position, (group, rows) in enumerate(members.items())
    ]
