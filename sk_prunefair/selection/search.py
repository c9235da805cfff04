"""PruneRateSearchCV: the largest rate at which a promise to every group is kept."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable
from typing import Any

import numpy as np

from sk_prunefair.data.groups import encode_groups
from sk_prunefair.promise import NoRateError, Promise
from sk_prunefair.selection._nets import (
    check_rate_of,
    check_rates,
    known_labels,
    make_trial,
    run_rates,
    split_steps,
    with_classifier,
)
from sk_prunefair.selection._parallel import as_folder
from sk_prunefair.selection._search import PromiseSearch
from sk_prunefair.selection.sequence import Tested, fixed_sequence


class PruneRateSearchCV(PromiseSearch):
    """Select the largest pruning rate at which the loss of every group is limited.

    A net is trained on a part of the data, and pruned at each rate. On the other part, each is
    tested against the hypothesis that some group of the population loses more accuracy than
    `max_accuracy_drop`, and the pruned net must predict several labels, and each label of the dense
    net. ``best_rate_`` is the last rate, in increasing order, before the first that fails. If any
    rate breaks the promise, that rate or a larger one is selected with a probability of at most 1 −
    `confidence`, over the draw of the held-out data.

    Parameters
    ----------
    estimator : FairPrunedClassifier or Pipeline that ends in one
        Estimator that is cloned and fitted, or copied with ``cv="prefit"``.
    rates : iterable of float in [0, 1), default=(0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
        Rates to try. With 0.0 among them, the dense net is returned instead of an error if none
        passes.
    max_accuracy_drop : float in [0, 1), default=0.02
        Accepted loss of each group's accuracy from the dense to the pruned net.
    max_violation : float, default=None
        Accepted fairness violation ξ, of losses clipped to `loss_bound`; None sets no limit.
    loss_bound : float, default=5.0
        Bound at which losses are clipped, in nats for cross entropy, if `max_violation` is given:
        for an unbounded mean a sample proves nothing. Larger bounds need more samples.
    criteria : str, callable, iterable or mapping of them, default=None
        Further tested values, as in `sk_prunefair.promise.judge`. None tests the accuracy only.
    confidence : float in [0.5, 1), default=0.95
        Probability with which the promise is kept.
    cv : float, "prefit", splitter or iterable, default=0.3
        Source of the held-out data: a share of X, drawn within each group; "prefit" holds
        all of X out, which the estimator must not have been fitted on; or a splitter or an iterable
        with a single split, where no row is on both sides or held out twice, or a
        `TimeSeriesSplit`, whose last split is taken. Several folds are not accepted, as
        each trains another net: the promise would hold only for the average of the nets,
        not for one that can be used. The net is not refitted either.
    finetune_epochs : int, default=None
        Epochs at each rate. None takes the estimator's; "prefit" has no data for it.
    n_jobs, memory : int, str or path-like, default=None
        As in `pruning_curve`: number of parallel jobs, and a folder in which finished nets are
        stored.
    random_state : int, RandomState instance or None, default=None
        Seed of the split.
    verbose : int, default=0
        0 shows no progress bar.

    Attributes
    ----------
    best_rate_ : float
        The largest rate before the first that fails.
    best_estimator_ : FairPrunedClassifier or Pipeline
        The estimator pruned at that rate: the tested net itself.
    binding_group_ : str, int or tuple
        At the first rate that fails, the group with the largest bound on its drop; if none fails,
        the group nearest to failing at the last rate.
    results_ : pandas.DataFrame
        One row per rate above 0 and group, on the held-out data: ``rate``, ``group``, ``count``,
        ``n_lost`` and ``n_won`` (samples that only the dense or only the pruned net predicts
        correctly), ``accuracy_dense``, ``accuracy_pruned``, ``accuracy_drop``, ``drop_bound``
        (bound on the drop at the confidence), ``p_value``, ``samples_needed`` and
        ``samples_needed_most`` (approximate numbers, as in a `Verdict`), ``findings`` (labels that
        the net no longer predicts: such a net never passes), ``passed``; with `max_violation` also
        ``excessive_risk``, ``risk_lower``, ``risk_upper`` (bounds), ``fairness_violation``,
        ``violation_bound``, all of clipped losses; with `criteria` also ``criterion``, the one with
        the largest p-value, and ``criterion_p_value``. Rates after the first that fails are not
        tried.
    classes_, n_features_in_, feature_names_in_ : ndarray, int, ndarray of str
        As in `best_estimator_`.

    Notes
    -----
    *Pairs.* The test uses the samples that exactly one net predicts correctly; it is exact at any
    sample size, see `sk_prunefair.selection.drop_p_value`. *Groups.* Each is tested at the full
    level (intersection-union test). *Rates.* They are tested in order up to the first failure, a
    fixed sequence, which needs no correction either (Learn then Test, Angelopoulos et al. 2021).

    The promise concerns the populations that the held-out groups are drawn from, one sample
    independent of the other, and this net; it does not cover absent groups. Rows
    of one person are not independent, with or without `groups`: hold out one of each. Nor are
    copies of a row, such as those drawn by `sklearn.ensemble.BaggingClassifier`. A fit that fails
    leaves the search unfitted. At least
    about 3 / `max_accuracy_drop` samples per group are needed, see `sk_prunefair.required_samples`.

    Examples
    --------
    >>> import torch
    >>> from sk_prunefair import FairPrunedClassifier
    >>> from sk_prunefair.datasets import load_digits
    >>> from sk_prunefair.modules import MLP
    >>> digits = load_digits()
    >>> clf = FairPrunedClassifier(
    ...     MLP, criterion=torch.nn.CrossEntropyLoss, lr=0.5, verbose=0, random_state=0
    ... )
    >>> search = PruneRateSearchCV(
    ...     clf, rates=[0.2, 0.5, 0.9], max_accuracy_drop=0.05, cv=0.5, random_state=0
    ... )
    >>> search.fit(digits.data, digits.target, sensitive_features=digits.target < 5).best_rate_
    0.5
    """

    def __init__(
        self,
        estimator: Any,
        *,
        rates: Iterable[float] = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98),
        max_accuracy_drop: float = 0.02,
        max_violation: float | None = None,
        loss_bound: float = 5.0,
        criteria: Any = None,
        confidence: float = 0.95,
        cv: Any = 0.3,
        finetune_epochs: int | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        memory: Any = None,
    ) -> None:
        self.estimator = estimator
        self.rates = rates
        self.max_accuracy_drop = max_accuracy_drop
        self.max_violation = max_violation
        self.loss_bound = loss_bound
        self.criteria = criteria
        self.confidence = confidence
        self.cv = cv
        self.finetune_epochs = finetune_epochs
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self.memory = memory

    def fit(
        self, X: Any, y: Any = None, *, sensitive_features: Any = None, groups: Any = None
    ) -> PruneRateSearchCV:
        """Train, prune and test; select the net of the largest rate that passes.

        Parameters
        ----------
        X, y : array-like of shape (n_samples, ...) and (n_samples,)
            Data for training and hold-out; with ``cv="prefit"`` all of it is held out. X may be
            anything that the classifier's ``fit`` takes.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns), optional
            The group of each sample; columns intersect. None takes the groups in the items of X, or
            else puts all samples into one group.
        groups : array-like of shape (n_samples,), default=None
            Units whose rows are kept together by the hold-out: persons, households, days. A
            share ``cv`` of them is drawn, not within `sensitive_features`; a splitter gets them.

        Returns
        -------
        PruneRateSearchCV
            The fitted search.

        Warns
        -----
        UserWarning
            Before training, for groups with too few held-out samples for any proof.

        Raises
        ------
        NoRateError
            If not even the smallest rate passes, unless 0.0 is among the rates. The message has
            the binding group, and the number of samples that each failing group would need.
        NotFittedError
            If ``cv="prefit"`` and the estimator is not fitted.
        TypeError
            If the estimator cannot be pruned.
        RuntimeError
            If a net is not pruned at the requested rate.
        ValueError
            If an argument is malformed, or a group has no held-out sample.
        """
        rates = check_rates(self.rates)
        if rates[-1] == 0:
            raise ValueError(f"rates must hold at least one number above 0, got {self.rates!r}")
        promise, folder = self._promised(), as_folder(self.memory)
        fitted, test, train = self._fit_dense_part(
            promise, X, y, sensitive_features, groups, folder
        )
        codes, names = encode_groups(test[2])
        trial = make_trial(fitted, test[0], test[1], train, self.finetune_epochs)
        dense, labels = trial.dense(), known_labels(trial.classifier)
        dense_net = copy.deepcopy(trial.classifier).prune(0.0) if rates[0] == 0 else None
        rates = [rate for rate in rates if rate > 0]
        options: dict[str, Any] = {"n_jobs": self.n_jobs, "verbose": self.verbose, "folder": folder}
        with contextlib.closing(run_rates([trial], rates, keep_nets=True, **options)) as runs:
            tested = fixed_sequence(promise, rates, runs, dense, codes, names, labels)
        self._keep(promise, rates, tested, dense_net, fitted)
        return self

    def _keep(
        self, promise: Promise, rates: list[float], tested: Tested, dense_net: Any, fitted: Any
    ) -> None:
        rate, net = (0.0, dense_net) if tested.net is None else (tested.best, tested.net)
        results = tested.results("rate", rates)
        if net is None:
            raise NoRateError(
                f"no rate keeps the promise with confidence={self.confidence}; already at "
                f"{rates[0]:g}, {promise.why_not(tested.tables[0])}. Hold more data out, "
                "promise less, try smaller rates, or put 0.0 among the rates to get the dense net",
                results,
            )
        check_rate_of(net, rate)
        self.best_rate_, self.binding_group_, self.results_ = rate, tested.binding, results
        self._keep_estimator(with_classifier(fitted, split_steps(fitted)[0], net))
