"""Audit files larger than memory, part by part, by `FairnessReport.from_parts`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.cli.data import Columns, check_columns, check_known, read_parts, read_tables
from sk_prunefair.cli.labels import labels_like, match_labels, matched_labels
from sk_prunefair.compare.models import Model
from sk_prunefair.report import FairnessReport
from sk_prunefair.report.parts import add_up


def report_of_tables(
    paths: Sequence[Path],
    rows: int,
    *,
    label: str,
    groups: Sequence[str],
    predicted: Sequence[list[str]],
    classes: npt.NDArray[Any] | None,
    names: Sequence[str],
) -> FairnessReport:
    """Return the report on tables of predictions.

    Parameters
    ----------
    paths : sequence of Path
        Files ending in .csv, .csv.gz or .parquet.
    rows : int
        Rows read at a time.
    label, groups : str, sequence of str
        Column of the labels, and columns that define the groups.
    predicted : pair of list of str
        For each model: the column of its labels, or one column of probabilities per class.
    classes : ndarray of shape (n_classes,), or None
        Labels of the columns of probabilities.
    names : pair of str
        Names of the two models.
    """
    labels = [each[0] for each in predicted if len(each) == 1]
    texts = [label, *groups, *labels]
    roles = ("dense", "compressed")

    def parts() -> Iterator[dict[str, Any]]:
        for frame in _tables(paths, texts, rows):
            check_columns(frame, [*texts, *predicted[0], *predicted[1]], "--predictions")
            check_known(frame, texts, "--predictions")
            part: dict[str, Any] = {
                "y_true": frame[label].to_numpy(),
                "sensitive_features": frame[list(groups)],
            }
            for role, columns in zip(roles, predicted, strict=True):
                found = frame[columns].to_numpy()
                part[f"{role}_pred"] = found[:, 0] if len(columns) == 1 else found
            yield part if len(labels) == 2 else _with_known_labels(part, classes)

    if len(labels) < 2:
        known = None if classes is None else classes.tolist()
        return FairnessReport.from_parts(parts(), classes=known, names=names)
    # Strings are converted to integers only if all of them are integers.
    given = add_up(parts()).arguments() | {"classes": None}
    given["y_true"] = match_labels(given["y_true"], classes, "--predictions")
    for role, name in zip(roles, ("dense_pred", "pruned_pred"), strict=True):
        given[name] = matched_labels(given[name], given["y_true"], role)
    return FairnessReport(**given, names=names)


def report_of_models(
    models: Sequence[Model],
    paths: Sequence[Path],
    columns: Columns,
    rows: int,
    *,
    classes: npt.NDArray[Any] | None,
    names: Sequence[str],
    **options: Any,
) -> FairnessReport:
    """Return the report on two models, which predict one part at a time.

    Parameters
    ----------
    models : pair of Model
        Models, as `sk_prunefair.compare.models.as_model` returns them.
    paths : sequence of Path
        Files, as of `read_parts`.
    columns : Columns
        The columns of the files.
    rows : int
        Rows read at a time.
    classes : ndarray of shape (n_classes,), or None
        Labels of the columns of probabilities, where the models have none.
    names : pair of str
        Names of the two models.
    **options : dict
        ``compression``.
    """

    def parts() -> Iterator[dict[str, Any]]:
        for part in read_parts(paths, columns, rows):
            predictions = [model(part.X) for model in models]
            known = next(
                (each.classes for each in predictions if each.classes is not None), classes
            )
            labels = [each.labels for each in predictions if each.labels is not None]
            is_matched = known is not None or not labels
            yield {
                "y_true": match_labels(part.y, known)
                if is_matched
                else labels_like(part.y, np.concatenate(labels)),
                "dense_pred": predictions[0],
                "compressed_pred": predictions[1],
                "sensitive_features": part.groups,
            }

    return FairnessReport.from_parts(parts(), classes=classes, names=names, **options)


def _tables(paths: Sequence[Path], texts: Sequence[str], rows: int) -> Iterator[pd.DataFrame]:
    for path in paths:
        if path.suffix.lower() == ".npz":
            raise ValueError(f"--chunk-rows reads .csv and .parquet files, got {path.name!r}")
        yield from read_tables(path, texts, rows)


def _with_known_labels(part: dict[str, Any], classes: npt.NDArray[Any] | None) -> dict[str, Any]:
    y = match_labels(part["y_true"], classes, "--predictions")
    found = {
        name: labels_like(each, y)
        for name, each in part.items()
        if name.endswith("_pred") and each.ndim == 1
    }
    return part | {"y_true": y} | found
