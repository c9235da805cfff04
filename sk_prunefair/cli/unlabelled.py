"""Predictions of both models for the rows of --unlabelled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.classifier import FairPrunedClassifier
from sk_prunefair.cli.data import Columns, joined, read_parts
from sk_prunefair.cli.labels import labels_like
from sk_prunefair.compare.models import Model, predict_in_batches
from sk_prunefair.report.predictions import Prediction, as_prediction

Answers = tuple[Any, Any, pd.DataFrame]


def of_net(
    paths: Sequence[Path] | None, clf: FairPrunedClassifier, columns: Columns
) -> Answers | None:
    """Return predictions of a classifier's dense and pruned net, and groups; None without files."""
    if not paths:
        return None
    data = joined(list(read_parts(paths, replace(columns, is_labelled=False))))
    # A report holds the predictions of both nets; labels are not read.
    y = np.full(len(data.groups), clf.classes_[0])
    report = clf.fairness_report(data.X, y, sensitive_features=data.groups)
    dense, compressed = (report.labels[outcome.labels] for outcome in report.outcomes)
    return dense, compressed, data.groups


def of_models(
    paths: Sequence[Path] | None, models: Sequence[Model], columns: Columns, classes: Any
) -> Answers | None:
    """Return predictions of two models, read in parts, and groups; None without files."""
    if not paths:
        return None
    groups: list[pd.DataFrame] = []

    def inputs() -> Iterator[Any]:
        for part in read_parts(paths, replace(columns, is_labelled=False)):
            groups.append(part.groups)
            yield part.X

    found = predict_in_batches(models, inputs())
    dense, compressed = (
        each if each.scores is None or each.classes is not None else each._replace(classes=classes)
        for each in found
    )
    return dense, compressed, pd.concat(groups, ignore_index=True)


def of_columns(
    given: Sequence[npt.NDArray[Any]], labels: npt.NDArray[Any], classes: npt.NDArray[Any] | None
) -> tuple[Prediction, Prediction]:
    """Return predictions in a file, in the kind of the report's labels."""
    dense, compressed = (
        as_prediction(values, f"the {name} of --unlabelled", classes)
        for values, name in zip(given, ("dense", "compressed"), strict=True)
    )
    return _like(dense, labels), _like(compressed, labels)


def _like(prediction: Prediction, labels: npt.NDArray[Any]) -> Prediction:
    if prediction.labels is None:
        return prediction
    return prediction._replace(labels=labels_like(prediction.labels, labels))
