"""Prune a fitted net at many rates, and evaluate each on the held-out samples."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import indexable
from torch import nn

from sk_prunefair.checks import check_rate
from sk_prunefair.data.inputs import is_dataset
from sk_prunefair.data.sources import ItemSource, count_rows, take_rows
from sk_prunefair.fingerprint import fingerprint
from sk_prunefair.kept import KeptFolder
from sk_prunefair.outcome import Outcome
from sk_prunefair.resume import data_values, training_values, user_callback_values
from sk_prunefair.selection._parallel import Job, run_jobs

Data = tuple[Any, Any, Any]  # X, y, sensitive features

# torch's number of threads is one setting for all threads of a process, and another number
# would change the last bits of sums.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Trial:
    """A fitted classifier, its evaluation data, and its fine-tuning data, if any."""

    classifier: Any
    data: Any
    finetuning: dict[str, Any]

    def dense(self) -> Outcome:
        """Run the dense net once, before any rates."""
        return outcome_of(self.classifier, self.classifier.dense_module_, self.data)

    def known(self) -> list[Any]:
        """Return all values that determine a run besides its rate, for a fingerprint."""
        classifier = self.classifier
        return [
            training_values(classifier),
            user_callback_values(classifier),
            known_labels(classifier),
            data_values(self.data),
            self.finetuning,
        ]

    def pruned(self, rate: float, n_threads: int, keep_net: bool) -> Run:
        """Prune and run once; return the outcome and, if requested, a copy of the net."""
        with _with_caller_settings(n_threads):
            # Every pruning starts from the dense net, so rates do not affect each other.
            self.classifier.prune(rate, **self.finetuning)
            check_rate_of(self.classifier, rate)
            dense = None
            if isinstance(self.data.source, ItemSource):
                # Items may be augmented at random: both nets must get the same ones.
                dense, outcome = self.classifier.compared(self.data)
            else:
                outcome = outcome_of(self.classifier, self.classifier.module_, self.data)
            return Run(outcome, copy.deepcopy(self.classifier) if keep_net else None, dense)


class Run(NamedTuple):
    """Outcome of one rate; ``dense`` is the dense net's outcome if it was run again."""

    pruned: Outcome
    net: Any = None
    dense: Outcome | None = None


def outcome_of(classifier: Any, module: nn.Module, data: Any) -> Outcome:
    """Run one of a classifier's nets over its labelled data."""
    [outcome] = classifier.outcomes(data, module)
    return outcome


def run_rates(
    trials: list[Trial],
    rates: list[float],
    *,
    n_jobs: int | None,
    verbose: int,
    keep_nets: bool = False,
    folder: KeptFolder | None = None,
    names: Iterable[Mapping[str, Any]] = ({},),
) -> Generator[Run]:
    """Yield the results of `Trial.pruned` for all rates of the first trial, then of the next.

    The jobs run in joblib's current backend; errors contain the names of the trial.
    """
    n_threads = torch.get_num_threads()
    jobs = []
    for trial, called in zip(trials, names, strict=True):
        start = None if folder is None else fingerprint("rate", trial.known(), keep_nets)
        for rate in rates:
            key = start and fingerprint(start, rate)
            name = ", ".join(f"{k}={v}" for k, v in {"rate": rate, **called}.items())
            jobs.append(Job(name, trial, (rate, n_threads, keep_nets), key))
    return run_jobs(
        Trial.pruned, jobs, n_jobs=n_jobs, desc="pruning", verbose=verbose, folder=folder
    )


def fit_all(
    estimator: Any,
    fits: Iterable[tuple[Mapping[str, Any], Any]],
    *,
    n_jobs: int | None,
    verbose: int,
    folder: KeptFolder | None = None,
) -> list[Any]:
    """Return clones fitted, unpruned, on each data, with parameters for their classifiers.

    Parameters
    ----------
    estimator : FairPrunedClassifier or Pipeline that ends in one
        Estimator to clone.
    fits : list of (dict, data)
        Names of each, where ``random_state`` is also used as a parameter, and its training data.
    n_jobs, verbose, folder
        As for `run_jobs`.
    """
    n_threads = torch.get_num_threads()
    jobs = []
    for names, data in fits:
        params = {key: names[key] for key in names.keys() & {"random_state"}}
        name = ", ".join(f"{key}={value}" for key, value in names.items())
        key = None if folder is None else fingerprint("fit", clone(estimator), data, params)
        jobs.append(Job(f"the training {name}".strip(), data, (estimator, n_threads, params), key))
    done = run_jobs(fit_dense, jobs, n_jobs=n_jobs, desc="training", verbose=verbose, folder=folder)
    return list(done)


def split_steps(estimator: Any) -> tuple[Pipeline | None, Any]:
    """Return the steps before the classifier, None if there are none, and the classifier."""
    front, classifier = None, estimator
    if isinstance(estimator, Pipeline):
        front = estimator[:-1] if len(estimator.steps) > 1 else None
        classifier = estimator.steps[-1][1]
    if isinstance(classifier, FrozenEstimator):
        classifier = classifier.estimator
    if not hasattr(classifier, "prune"):
        raise TypeError(
            "estimator must be a FairPrunedClassifier or a Pipeline that ends in one, got "
            f"{type(classifier).__name__}"
        )
    return front, classifier


def fit_dense(data: Data, estimator: Any, n_threads: int, params: Mapping[str, Any]) -> Any:
    """Fit a clone, unpruned, with further parameters for its classifier."""
    X, y, groups = data
    front, classifier = split_steps(clone(estimator))
    if classifier is split_steps(estimator)[1]:  # a clone of a frozen one is itself
        raise TypeError("estimator is frozen and cannot be trained; pass the estimator inside it")
    # Copies, as of the estimator: training changes a user's callback.
    classifier.set_params(prune_rate=None, **{k: clone(v, safe=False) for k, v in params.items()})
    with _with_caller_settings(n_threads):
        if front is not None:
            X = front.fit_transform(X, y)
        classifier.fit(X, y, sensitive_features=groups)
    return with_classifier(estimator, front, classifier)


def with_classifier(estimator: Any, front: Pipeline | None, classifier: Any) -> Any:
    """Return the steps and the classifier as one estimator of the type of `estimator`."""
    if not isinstance(estimator, Pipeline):
        return classifier
    steps = [] if front is None else front.steps
    return Pipeline([*steps, (estimator.steps[-1][0], classifier)], memory=estimator.memory)


def make_trial(
    estimator: Any,
    X: Any,
    y: Any,
    train: Data | None = None,
    finetune_epochs: int | None = None,
) -> Trial:
    """Transform X by the steps before the classifier, once for all rates."""
    front, classifier = split_steps(estimator)
    classifier.check_is_fitted()

    def transformed(X: Any) -> Any:
        return X if front is None else front.transform(X)

    finetuning: dict[str, Any] = {"finetune_epochs": finetune_epochs}
    if train is not None:
        X_train, y_train, groups = train
        finetuning |= {"X": transformed(X_train), "y": y_train, "sensitive_features": groups}
    data = classifier.labelled_dataset(transformed(X), y)
    return Trial(copy.deepcopy(classifier), data, finetuning)


def splittable(X: Any) -> Any:
    """Return X, or row numbers if scikit-learn's splitters cannot count the rows of X."""
    return X if _is_counted(X) else np.arange(count_rows(X))


def sliceable(X: Any) -> Any:
    """Return X in a form that scikit-learn can slice; dicts and data sets are not changed."""
    return indexable(X)[0] if _is_counted(X) else X


def _is_counted(X: Any) -> bool:
    return not (is_dataset(X) or (isinstance(X, Mapping) and not issparse(X)))


def take_data(data: Data, indices: npt.NDArray[np.int64]) -> Data:
    """Return some rows of X, y and the frame of groups."""
    X, y, groups = (None if each is None else take_rows(each, indices) for each in data)
    return X, y, groups


def known_labels(classifier: Any) -> Any:
    """Return the labels of the codes in a classifier's outcomes."""
    return getattr(classifier, "classes_", range(2**31))


def check_rates(rates: Any) -> list[float]:
    """Return distinct rates, sorted, or raise ValueError."""
    if isinstance(rates, (str, Real)) or not isinstance(rates, Iterable):
        raise ValueError(f"rates must be a list of numbers in [0, 1), got {rates!r}")
    checked = sorted({check_rate(rate, "each of rates") for rate in rates})
    if not checked:
        raise ValueError("rates must hold at least one number in [0, 1), got none")
    return checked


def check_rate_of(classifier: Any, rate: float) -> None:
    """Raise RuntimeError unless a net is pruned at the given rate.

    Parameters
    ----------
    classifier : FairPrunedClassifier
        Fitted classifier.
    rate : float
        Expected ``prune_rate_``. ``sparsity_`` must be the share that the masks remove, and
        ``module_`` must hold only weights that the masks keep: zeros elsewhere, or fewer channels.
    """
    found = classifier.prune_rate_
    if found != rate:
        raise RuntimeError(f"pruning returned another net than rate={rate}: prune_rate_ is {found}")
    masks = classifier.masks_
    sizes = sum(mask.numel() for mask in masks.values())
    kept = sum(int(mask.sum()) for mask in masks.values())
    share = 1 - kept / sizes if sizes else 0.0
    if abs(classifier.sparsity_ - share) > 1e-9:
        raise RuntimeError(
            f"the net of rate={rate} is inconsistent: sparsity_ is {classifier.sparsity_}, but its "
            f"masks remove {share}"
        )
    for name, mask in masks.items():
        weight = classifier.module_.get_parameter(name).detach()
        if weight.shape == mask.shape:
            n_extra = int(weight[~mask].count_nonzero())
        else:  # with fewer channels the tensor itself is smaller
            n_extra = weight.numel() - int(mask.sum())
        if n_extra > 0:
            raise RuntimeError(
                f"the net of rate={rate} is not fully pruned: {n_extra} weights of {name} that the "
                "masks remove are still in the net"
            )


@contextlib.contextmanager
def _with_caller_settings(n_threads: int) -> Iterator[None]:
    """Train or evaluate with the caller's settings, for bitwise equal results."""
    with _ONE_AT_A_TIME:
        before = torch.get_num_threads()
        torch.set_num_threads(n_threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)
