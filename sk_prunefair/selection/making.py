"""Make candidates, and evaluate them on the held-out rows."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils import check_random_state
from torch import nn

from sk_prunefair.compare.any_model import ModelClassifier
from sk_prunefair.compare.models import as_model
from sk_prunefair.data.groups import encode_groups
from sk_prunefair.data.inputs import is_dataset
from sk_prunefair.data.sources import count_rows, take_rows
from sk_prunefair.export import OnnxModule, sparse_module, to_onnx
from sk_prunefair.latency.compare import first_rows
from sk_prunefair.losses import takes_one_logit
from sk_prunefair.outcome import Outcome
from sk_prunefair.report.predictions import answers
from sk_prunefair.selection._nets import (
    Data,
    Run,
    Trial,
    fit_dense,
    make_trial,
    outcome_of,
    split_steps,
    take_data,
    with_classifier,
)
from sk_prunefair.selection.candidates import Candidate
from sk_prunefair.selection.procedures import OrderRows

_CALIBRATION = 500  # rows
_BATCH = 256
_ORDER_ROWS = 5_000  # of a group


@dataclass
class Made:
    """A candidate and its model.

    Parameters
    ----------
    candidate : Candidate
        The candidate.
    model : object
        The model: a classifier or a Pipeline that ends in one, or the result of a user's
        function.
    run : Run
        Its outcome on the held-out rows.
    classifier : FairPrunedClassifier or None
        The pruned net in its masked form; None for a user's function.
    """

    candidate: Candidate
    model: Any
    run: Run
    classifier: Any = None

    @property
    def given(self) -> Any:
        """The model, as a user's function returned it."""
        return self.model.model if isinstance(self.model, ModelClassifier) else self.model

    @property
    def served(self) -> Any:
        """The classifier that predicts, without the steps before it."""
        return self.model if self.classifier is None else split_steps(self.model)[1]


@dataclass
class Maker:
    """Makes candidates from one fitted estimator.

    Parameters
    ----------
    fitted : FairPrunedClassifier or Pipeline that ends in one
        Unpruned estimator.
    test : tuple of X, y and a frame of groups
        Held-out rows.
    train : tuple of the same, or None
        Rows to train and fine-tune on.
    finetune_epochs : int or None
        Epochs of candidates that do not set it.
    calibration : object or None
        Rows of X that no test uses, for int8 calibration and the choice of sparse layers.
    n_at_once : int
        Number of rows per call, for that choice.
    """

    fitted: Any
    test: Data
    train: Data | None
    finetune_epochs: int | None
    calibration: Any
    n_at_once: int = 1
    trials: dict[Any, tuple[Any, Trial]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        trial = make_trial(self.fitted, *self.test[:2], self.train, self.finetune_epochs)
        self.trials[()] = self.fitted, trial
        self.dense = trial.dense()
        self.n_threads = torch.get_num_threads()

    @property
    def classifier(self) -> Any:
        """The fitted classifier."""
        return self.trials[()][1].classifier

    def make(self, candidate: Candidate) -> Made:
        """Train, prune and run a candidate; errors contain its name."""
        try:
            return self._own(candidate) if candidate.is_function else self._net(candidate)
        except Exception as error:
            error.add_note(f"candidate: {candidate.name}")
            raise

    def on_train(self, made: Sequence[Made], groups: pd.Index, random_state: Any) -> OrderRows:
        """Return the outcomes of all candidates on training rows, at most 5,000 per group."""
        assert self.train is not None
        rng = check_random_state(random_state)
        frame = self.train[2]  # None where no groups were given: all rows are of one
        n_rows = count_rows(self.train[0])
        codes = np.zeros(n_rows, int) if frame is None else encode_groups(frame, groups)[0]
        of_groups = [np.flatnonzero(codes == code) for code in range(len(groups))]
        rows = np.concatenate([rng.permutation(each)[:_ORDER_ROWS] for each in of_groups])
        X, y, _ = take_data(self.train, rows)
        dense = make_trial(self.fitted, X, y).dense()
        runs = [
            Run(self._outcome(each.given, each.candidate.name, X, dense.truth)) for each in made
        ]
        return OrderRows(dense, runs, codes[rows])

    def check_unchanged(self, made: Sequence[Made]) -> None:
        """Raise ValueError where a candidate no longer answers as it did when it was tested.

        So it is where a function changes what another one returned, or a cost what it is given.
        What draws its answers at random is let through, and so are items, which may be augmented at
        random.
        """
        X = self.test[0]
        for each in made if not is_dataset(X) else ():
            tested, name = each.run.pruned.labels, each.candidate.name
            asked = (each.given, name, X, self.dense.truth)
            now = self._outcome(*asked).labels
            if (now != tested).any() and (now == self._outcome(*asked).labels).all():
                raise ValueError(
                    f"the candidate {name!r} was changed after it was tested, and "
                    f"{(now != tested).sum()} of its {len(now)} answers with it; a function must "
                    "return an object of its own, a changed copy of what it is given, and a cost "
                    "must change nothing"
                )

    def _outcome(self, model: Any, name: str, X: Any, truth: Any) -> Outcome:
        """Run a model on rows of X; return its outcome in the codes of the classifier."""
        classes = np.asarray(self.classifier.classes_)
        prediction = as_model(model, name, _BATCH)(X)
        _, [found] = answers(classes[truth], {name: prediction}, classes)
        return Outcome(found.losses, _codes(classes, found.labels, name), truth)

    def _net(self, candidate: Candidate) -> Made:
        estimator, trial = self._trained(candidate.training)
        net = copy.deepcopy(trial.classifier).set_params(**copy.deepcopy(candidate.pruning))
        rate = float(candidate.params.get("prune_rate", 0.0))
        epochs = candidate.params.get("finetune_epochs")
        if epochs is None:  # the dense net as it is, where nothing is pruned
            epochs = trial.finetuning["finetune_epochs"] if rate else 0
        elif epochs and self.train is None:
            raise ValueError(
                f"finetune_epochs={epochs} needs data to train on, which cv='prefit' leaves none of"
            )
        trial = replace(
            trial, classifier=net, finetuning=trial.finetuning | {"finetune_epochs": epochs}
        )
        run = trial.pruned(rate, self.n_threads, keep_net=False)
        if candidate.training:  # a user's model is compared with the user's dense net
            run = run._replace(dense=None)
        form = candidate.params.get("form", "masked")
        front = split_steps(estimator)[0]
        served = net
        if form != "masked":
            module = self._module(net, front, form)
            served = net.with_module(module)
            run = Run(outcome_of(net, module, trial.data))
        return Made(candidate, with_classifier(estimator, front, served), run, net)

    def _trained(self, params: dict[str, Any]) -> tuple[Any, Trial]:
        """Return the estimator trained with these parameters, each combination once."""
        key = tuple(
            (name, value if isinstance(value, (str, Number, type(None))) else id(value))
            for name, value in sorted(params.items())
        )
        if key not in self.trials:
            if self.train is None:
                raise ValueError(
                    f"{sorted(params)} are parameters of the dense training, for which cv='prefit' "
                    "leaves no data"
                )
            fitted = fit_dense(self.train, self.fitted, self.n_threads, params)
            self.trials[key] = (
                fitted,
                make_trial(fitted, *self.test[:2], self.train, self.finetune_epochs),
            )
        return self.trials[key]

    def _module(self, net: Any, front: Any, form: str) -> nn.Module:
        """Return the net as a module of another form."""
        X = self.calibration
        if X is None:
            raise ValueError(
                f"form={form!r} needs rows of X that no test uses: with cv='prefit' pass "
                "procedure='pareto', which sets some aside"
            )
        X = take_rows(X, np.arange(min(count_rows(X), _CALIBRATION)))
        X = X if front is None else front.transform(X)
        if form == "sparse":
            first, _ = next(iter(net.get_iterator(net.get_dataset(X), training=False)))
            return sparse_module(net.module_, first_rows(first, self.n_at_once))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.onnx"
            options: dict[str, Any] = {"quantize": "int8", "calibration": X}
            to_onnx(net, path, **(options if form == "int8" else {}))
            return OnnxModule(path.read_bytes(), takes_one_logit(net.criterion_))

    def _own(self, candidate: Candidate) -> Made:
        """Call a user's function, and run both models on the same rows."""
        assert not isinstance(candidate.given, dict)
        X, truth = self.test[0], self.dense.truth
        model = candidate.given(copy.deepcopy(self.fitted))  # type: ignore[operator]
        before = self._outcome(self.fitted, "dense", X, truth)
        after = self._outcome(model, candidate.name, X, truth)
        if not hasattr(model, "predict"):
            has_scores = after.losses is not None
            model = ModelClassifier(model, self.classifier.classes_, has_scores)
        return Made(candidate, model, Run(after, None, before))


def _codes(classes: Any, labels: Any, name: str) -> Any:
    known = np.asarray(classes)
    unknown = np.setdiff1d(np.asarray(labels), known)
    if len(unknown):
        raise ValueError(
            f"{name} returned labels that are not classes of the classifier: "
            f"{unknown.tolist()[:10]}"
        )
    order = np.argsort(known)
    return order[np.searchsorted(known[order], np.asarray(labels))].astype(np.int64)
