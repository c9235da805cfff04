"""CompressionSearchCV: the cheapest of several compressions that keeps a promise to every group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from sk_prunefair.checks import check_choice, check_number
from sk_prunefair.data.groups import encode_groups
from sk_prunefair.data.sources import take_rows
from sk_prunefair.promise import NoRateError, Promise
from sk_prunefair.selection._nets import known_labels, split_steps
from sk_prunefair.selection._search import PromiseSearch
from sk_prunefair.selection.candidates import Candidate, as_candidates, check_parameters_of
from sk_prunefair.selection.costs import check_cost, costs_of
from sk_prunefair.selection.making import Made, Maker
from sk_prunefair.selection.procedures import (
    PROCEDURES,
    Decision,
    HeldOut,
    Procedure,
    decide,
    split_rows,
)


class CompressionSearchCV(PromiseSearch):
    """Select the cheapest of several compressions whose loss in every group is limited.

    A dense net is trained on a part of the data, and all candidates are made from it there. On the
    other part, each is tested against the hypothesis that some group of the population loses more
    accuracy than `max_accuracy_drop` against the dense net. If any candidates break the promise,
    one of them is returned with a probability of at most 1 − `confidence`, over the draw of the
    held-out data.

    Parameters
    ----------
    estimator : FairPrunedClassifier or Pipeline that ends in one
        Cloned and fitted, or with ``cv="prefit"`` copied; its ``prune_rate`` is ignored.
    candidates : list, dict of lists, or None, default=None
        A list whose entries are each

        - a dict: ``prune_rate`` (default 0), ``pruner`` and ``finetune_epochs`` (default: the
          estimator's), ``form`` ("masked": the pruned net itself, with zeros or fewer channels;
          "sparse": `sk_prunefair.export.sparse_module`; "onnx", "int8":
          `sk_prunefair.export.to_onnx`), and further parameters of the classifier, such as
          ``pruner__min_kept`` or ``callbacks``. Parameters with an effect before pruning, such as
          ``callbacks``, need a separate dense training. ``{}`` is the dense net.
        - a function of a copy of the fitted dense estimator that returns a classifier, or anything
          else that `sk_prunefair.compare_models` takes, for the X of ``fit``; a new object for each
          candidate.

        A dict of lists is a grid, as for `sklearn.model_selection.ParameterGrid`. None: magnitude
        and FairGRAPE at five rates, with and without three epochs of fine-tuning, and, if the
        extras are installed, fewer channels and the dense net in int8. Default candidates that
        cannot be made are left out, see ``left_out_``.
    cost : {"latency", "bytes", "macs"} or callable, default="latency"
        The cost to minimise: seconds per call, measured alternately; bytes (see
        `FairnessReport`; for "onnx" and "int8" those of the file); multiply-accumulates, without
        those of removed weights; or a function of a model such as ``best_estimator_``.
    max_accuracy_drop, max_violation, loss_bound, criteria, confidence
        The promise, as for `PruneRateSearchCV`.
    procedure : {"pareto", "holm", "fixed_sequence"}, default="pareto"
        Procedure that tests several candidates at a joint error rate; see
        `sk_prunefair.selection.decide`.
    order_share : float in (0, 0.9] or None, default=None
        Share of each group's held-out rows that sets the order for "pareto", and is not used for
        tests. None takes rows of the training set for the order, so that all held-out rows are
        tested; with ``cv="prefit"``, where there are none, it is 0.15.
    cv : float, "prefit", splitter or iterable, default=0.3
        Source of the held-out data, as for `PruneRateSearchCV`.
    finetune_epochs : int, default=None
        Epochs of candidates that are pruned and do not set it. None takes the estimator's.
    latency : dict, default=None
        For ``cost="latency"``: ``batch_size`` (1 unless given), ``threads`` (1), ``n_rounds``
        (200 at most) and ``seconds`` (10).
    random_state : int, RandomState instance or None, default=None
        Seed of the splits.
    verbose : int, default=0
        0 shows no progress bar.

    Attributes
    ----------
    best_estimator_ : object
        The selected model: for a dict, a classifier, or a Pipeline that ends in one, whose
        ``module_`` is the net in its form; for a function, its result, or if that has no
        ``predict``, a `sk_prunefair.compare.ModelClassifier` of it. It is the tested model itself.
    best_candidate_ : dict or callable
        The selected candidate, as given.
    best_cost_ : float
        Its cost in seconds, bytes, multiply-accumulates or the user's unit.
    best_index_ : int
        Position of the candidate.
    binding_group_ : str, int or tuple
        The binding group of the first candidate that failed, or of the cheapest if none did.
    results_ : pandas.DataFrame
        One row per candidate and group: ``candidate`` (a name), ``cost``, ``order`` (the position
        in the sequence of tests, for "holm" that of the candidates, NaN if no test was needed or
        reached), ``kept`` (whether the
        candidate may be returned), and on the test rows what `PruneRateSearchCV` has, from
        ``group`` to ``passed``. For a candidate that was not tested ``passed`` is False, and its
        figures are for information.
    candidates_ : list of dict and callable
        The candidates that were made, in the order of ``results_``.
    left_out_ : dict of str to str
        Default candidates that could not be made, with the reasons.
    classes_, n_features_in_, feature_names_in_
        As for `PruneRateSearchCV`, if `best_estimator_` has them.

    Notes
    -----
    The cost must not depend on the labels of held-out rows. All procedures keep the error rate. Of
    the savings possible if the truth were known, "pareto" achieves 57 % in simulations with an
    order by training rows and 46 % with ``order_share=0.15``, "holm" 52 %, and "fixed_sequence"
    21 % (``benchmarks/studies/decide/page_procedures.md``). If the nets fit the training rows
    perfectly, these are hardly informative for the order, and "holm" may find more. With "holm" and
    "fixed_sequence", ``cv="prefit"`` leaves no rows for "sparse", "onnx" and "int8".
    `PruneRateSearchCV` tests only rates, in their order, and trains only those that it tests.

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
    >>> grid = {"prune_rate": [0.0, 0.3, 0.5, 0.9], "finetune_epochs": [0, 2]}
    >>> search = CompressionSearchCV(
    ...     clf, grid, cost="bytes", max_accuracy_drop=0.05, cv=0.5, random_state=0
    ... )
    >>> search = search.fit(digits.data, digits.target, sensitive_features=digits.target < 5)
    >>> search.best_candidate_
    {'finetune_epochs': 0, 'prune_rate': 0.5}
    """

    def __init__(
        self,
        estimator: Any,
        candidates: Iterable[Any] | Mapping[str, Any] | None = None,
        cost: str | Callable[[Any], float] = "latency",
        *,
        max_accuracy_drop: float = 0.02,
        max_violation: float | None = None,
        loss_bound: float = 5.0,
        criteria: Any = None,
        confidence: float = 0.95,
        procedure: Procedure = "pareto",
        order_share: float | None = None,
        cv: Any = 0.3,
        finetune_epochs: int | None = None,
        latency: Mapping[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.candidates = candidates
        self.cost = cost
        self.max_accuracy_drop = max_accuracy_drop
        self.max_violation = max_violation
        self.loss_bound = loss_bound
        self.criteria = criteria
        self.confidence = confidence
        self.procedure = procedure
        self.order_share = order_share
        self.cv = cv
        self.finetune_epochs = finetune_epochs
        self.latency = latency
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self, X: Any, y: Any = None, *, sensitive_features: Any = None, groups: Any = None
    ) -> CompressionSearchCV:
        """Train, make all candidates, and test; select the cheapest that passes.

        Parameters
        ----------
        X, y, sensitive_features, groups : array-like
            As for `PruneRateSearchCV`.

        Returns
        -------
        CompressionSearchCV
            The fitted search.

        Warns
        -----
        UserWarning
            Before training, for groups with too few held-out samples for any proof.

        Raises
        ------
        NoRateError
            If no candidate passes, unless the dense net, ``{}``, is among them.
        TypeError, ValueError
            If an argument is malformed, a candidate cannot be made, or a group has no held-out
            sample.
        """
        check_cost(self.cost, self.latency)
        check_choice("procedure", self.procedure, PROCEDURES)
        can_train = not (isinstance(self.cv, str) and self.cv == "prefit")
        share = self._share_aside(can_train)
        if groups is not None and share:
            raise ValueError(
                "groups: rows of one group would be used for the order and for the tests; "
                + ("pass order_share=None, or " if can_train else "with cv='prefit' pass ")
                + "procedure='holm' or 'fixed_sequence'"
            )
        candidates = as_candidates(self.candidates, self.cost, can_train)
        check_parameters_of(candidates, split_steps(self.estimator)[1])
        promise = self._promised()
        fitted, test, train = self._fit_dense_part(promise, X, y, sensitive_features, groups)
        codes, names = encode_groups(test[2])
        order, rows = split_rows(codes, share, self.random_state)
        unseen = test[0] if train is None else train[0]
        if train is None:
            unseen = take_rows(unseen, order) if len(order) else None
        n_at_once = dict(self.latency or {}).get("batch_size", 1)
        maker = Maker(fitted, test, train, self.finetune_epochs, unseen, n_at_once)
        made = self._make(maker, candidates)
        costs = costs_of(made, self.cost, test[0] if unseen is None else unseen, self.latency)
        safe = [i for i, each in enumerate(made) if each.candidate.is_dense]
        held_out = HeldOut(maker.dense, codes, names, known_labels(maker.classifier), order, rows)
        runs = [each.run for each in made]
        is_by_train = self.procedure == "pareto" and not share
        on_train = maker.on_train(made, names, self.random_state) if is_by_train else None
        is_own = callable(self.cost)
        maker.check_unchanged([each for each in made if is_own or each.candidate.is_function])
        decision = decide(self.procedure, promise, costs, runs, held_out, safe, on_train)
        level = 1 - self.confidence
        tables = [
            held_out.judge(replace(promise, confidence=1 - decision.levels.get(i, level)), run)
            for i, run in enumerate(runs)
        ]
        self._keep(promise, made, costs, decision, tables)
        return self

    def _share_aside(self, can_train: bool) -> float:
        """Return the share of held-out rows that set the order."""
        if self.order_share is not None:
            check_number("order_share", self.order_share, above=0, most=0.9)
        if self.procedure != "pareto" or (self.order_share is None and can_train):
            return 0.0
        return 0.15 if self.order_share is None else self.order_share

    def _make(self, maker: Maker, candidates: list[Candidate]) -> list[Made]:
        made, self.left_out_ = [], {}
        for each in tqdm(candidates, desc="candidates", disable=None if self.verbose else True):
            try:
                made.append(maker.make(each))
            except Exception as error:  # any error of default candidates, as nets differ
                if self.candidates is not None:
                    raise
                self.left_out_[each.name] = f"{type(error).__name__}: {error}"
        if not made:
            raise ValueError(f"none of the default candidates could be made: {self.left_out_}")
        return made

    def _keep(
        self,
        promise: Promise,
        made: list[Made],
        costs: list[float],
        decision: Decision,
        tables: list[pd.DataFrame],
    ) -> None:
        names = [each.candidate.name for each in made]
        results = decision.frame(names, costs, tables)
        failed = [i for i in decision.tested if i not in decision.passed]
        if decision.best is None:
            table = tables[failed[0]]
            raise NoRateError(
                f"no candidate keeps the promise with confidence={self.confidence}; already of "
                f"{names[failed[0]]!r}, {promise.why_not(table)}. Hold more data out, promise "
                "less, try other candidates, or put the dense net, {}, among them",
                results,
            )
        best = made[decision.best]
        self.results_, self.best_index_ = results, decision.best
        self.best_candidate_, self.best_cost_ = best.candidate.given, costs[decision.best]
        self.candidates_ = [each.candidate.given for each in made]
        binding = tables[failed[0] if failed else decision.best]
        self.binding_group_ = promise.binding_row(binding)["group"]
        self._keep_estimator(best.model)
