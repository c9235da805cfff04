"""The report of an audit: on a saved net, on two models, or on tables of predictions."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sk_prunefair.checks import check_count
from sk_prunefair.classifier import FairPrunedClassifier
from sk_prunefair.cli import unlabelled
from sk_prunefair.cli.chunks import report_of_models, report_of_tables
from sk_prunefair.cli.data import Columns, Part, joined, read_parts
from sk_prunefair.cli.labels import labels_like, match_labels, matched_labels
from sk_prunefair.cli.objects import named_estimator, named_model, named_step
from sk_prunefair.cli.tables import columns_of, label_of, read_predictions
from sk_prunefair.compare.models import as_model, predict_in_batches
from sk_prunefair.compare.sizes import stored_sizes
from sk_prunefair.compare.timing import costs_of
from sk_prunefair.export.compact import holds_dense, load_compact
from sk_prunefair.latency import latency_options
from sk_prunefair.latency.compare import OPTIONS
from sk_prunefair.onnx_model import OnnxModel
from sk_prunefair.report import FairnessReport
from sk_prunefair.report.predictions import Prediction, as_prediction
from sk_prunefair.selection import pruning_curve

BATCH = 256
WITHOUT_LABEL = "Rows without label"
"""The fact that says what became of --unlabelled."""
_PREDICTED = ("pred", "scores")


class Audit(NamedTuple):
    """The results of an audit.

    Parameters
    ----------
    report : FairnessReport
        Report on both models.
    curve : DataFrame or None
        Curve over other rates.
    facts : dict of str to str
        Facts about data and models, for the page.
    unlabelled : tuple or None
        Predictions of both models for rows without labels, and the groups of these rows.
    """

    report: FairnessReport
    curve: pd.DataFrame | None
    facts: dict[str, str]
    unlabelled: tuple[Any, Any, pd.DataFrame] | None = None


def make_report(args: argparse.Namespace) -> Audit:
    """Return the report that the options request.

    Raises
    ------
    ValueError, TypeError, OSError, ImportError
        If options cannot be combined, or a file or object is not as described.
    """
    kinds = {
        "--net": args.net is not None,
        "--dense and --compressed": args.dense is not None or args.compressed is not None,
        "--predictions": args.predictions is not None,
    }
    if sum(kinds.values()) != 1:
        raise ValueError(
            f"one of {', '.join(kinds)} must be given: the models or predictions to compare"
        )
    if args.chunk_rows is not None:
        check_count("--chunk-rows", args.chunk_rows)
        if args.unlabelled:
            raise ValueError("--unlabelled cannot be combined with --chunk-rows")
        if args.net is not None:
            raise ValueError(
                "--chunk-rows needs models or predictions and cannot be combined with --net"
            )
    labelled = {path.resolve() for path in (*(args.data or ()), *(args.predictions or ()))}
    for path in args.unlabelled or ():
        if path.resolve() in labelled:
            raise ValueError(
                f"--unlabelled {path} is among the labelled rows, which would count twice"
            )
    if args.curve and args.net is None:
        raise ValueError("--curve prunes a saved net and needs --net")
    if args.predictions is not None:
        audit = _of_predictions(args)
    elif not args.data:
        raise ValueError("--data must be given: the file of the rows to compare the models on")
    else:
        scores = [f"{name}_{kind}" for name in ("dense", "compressed") for kind in _PREDICTED]
        _refuse(args, scores, "models, which predict the labels")
        audit = _of_net(args) if args.net is not None else _of_models(args)
    if audit.unlabelled is None:
        return audit
    n = len(audit.unlabelled[2])
    said = f"{n:,} of {_named(args.unlabelled)}, which count for the promise alone"
    return audit._replace(facts=audit.facts | {WITHOUT_LABEL: said})


def _refuse(args: argparse.Namespace, options: Sequence[str], what: str) -> None:
    """Raise ValueError if options are given that would have no effect."""
    for option in options:
        if getattr(args, option):
            raise ValueError(f"--{option.replace('_', '-')} cannot be combined with {what}")


def _columns(args: argparse.Namespace, names: Sequence[str] | None) -> Columns:
    return Columns(
        args.label,
        args.groups or (),
        args.features,
        args.drop or (),
        names,
        None if args.preprocess is None else named_step(args.preprocess),
    )


def _named(paths: Sequence[Path]) -> str:
    return ", ".join(path.name for path in paths)


def _of_net(args: argparse.Namespace) -> Audit:
    if args.estimator is None:
        raise ValueError(
            "--estimator must be given: it makes the classifier that --net is loaded into"
        )
    if not holds_dense(args.net):
        raise ValueError(
            f"--net {args.net} holds only the pruned net, so there is no dense net to compare it "
            "with; save it by save_compact(clf, path, dense=True)"
        )
    clf = load_compact(args.net, named_estimator(args.estimator))
    names = getattr(clf, "feature_names_in_", None)
    columns = _columns(args, None if names is None else [str(name) for name in names])
    data = joined(list(read_parts(args.data, columns)))
    y = match_labels(data.y, clf.classes_)
    report = clf.fairness_report(data.X, y, sensitive_features=data.groups, latency=_latency(args))
    facts = {"Data": _named(args.data), "Model": args.net.name}
    curve, how = _curve(args, clf, columns, data._replace(y=y))
    return Audit(report, curve, facts | how, unlabelled.of_net(args.unlabelled, clf, columns))


def _curve(
    args: argparse.Namespace, clf: FairPrunedClassifier, columns: Columns, data: Part
) -> tuple[pd.DataFrame | None, dict[str, str]]:
    """Return the curve over other rates, and a description of its fine-tuning."""
    if not args.curve:
        return None, {}
    training: dict[str, Any] = {}
    how = "pruned at once, without fine-tuning"
    if args.train:
        part = joined(list(read_parts(args.train, columns)))
        epochs = clf.finetune_epochs
        training = {
            "X_train": part.X,
            "y_train": match_labels(part.y, clf.classes_, "--train"),
            "sensitive_features_train": part.groups,
            "finetune_epochs": epochs,
        }
        how = f"each rate fine-tuned for {epochs} epochs, as --estimator says"
    elif clf.finetune_epochs:
        how += (
            f" (--estimator has finetune_epochs={clf.finetune_epochs}; --train names data for it)"
        )
    curve = pruning_curve(
        clf,
        data.X,
        data.y,
        sensitive_features=data.groups,
        rates=args.curve,
        verbose=0,
        **training,
    )
    return curve, {"Other pruning rates": how}


def _of_models(args: argparse.Namespace) -> Audit:
    given = {"dense": args.dense, "compressed": args.compressed}
    for name, value in given.items():
        if value is None:
            raise ValueError(f"--{name} must be given, as two models are compared")
    sources = {name: named_model(value, f"--{name}") for name, value in given.items()}
    models = [as_model(source, name, BATCH) for name, source in sources.items()]
    names = next((each for each in map(_feature_names, sources.values()) if each), None)
    columns = _columns(args, names)
    y, groups = [], []
    first: list[Any] = []

    def inputs() -> Iterator[Any]:
        for part in read_parts(args.data, columns):
            first[:] = first or [part.X]
            y.append(part.y)
            groups.append(part.groups)
            yield part.X

    timing = latency_options(_latency(args), OPTIONS)
    facts = {"Data": _named(args.data), **dict(zip(args.names, given.values(), strict=True))}
    told = match_labels(np.asarray(args.classes, dtype=object), None) if args.classes else None
    if args.chunk_rows is not None:
        if timing is not None:
            raise ValueError("--latency cannot be combined with --chunk-rows")
        options = {"names": args.names, "classes": told}
        options["compression"] = stored_sizes(*sources.values())
        report = report_of_models(models, args.data, columns, args.chunk_rows, **options)
        return Audit(report, None, facts)
    predictions = predict_in_batches(models, inputs())
    classes = next((each.classes for each in predictions if each.classes is not None), None)
    labels = [each.labels for each in predictions if each.labels is not None]
    truth = np.concatenate(y)
    if classes is None:
        classes = told
    report = FairnessReport.from_predictions(
        match_labels(truth, classes)
        if classes is not None or not labels
        else labels_like(truth, np.concatenate(labels)),
        *(each._replace(name=f"--{name}") for name, each in zip(given, predictions, strict=True)),
        sensitive_features=pd.concat(groups, ignore_index=True),
        classes=classes if args.classes else None,
        names=args.names,
        **costs_of(sources["dense"], sources["compressed"], first[0], args.names, BATCH, timing),
    )
    rows = unlabelled.of_models(args.unlabelled, models, columns, classes)
    return Audit(report, None, facts, rows)


def _latency(args: argparse.Namespace) -> bool | dict[str, Any]:
    return {"batch_sizes": args.latency} if args.latency else args.latency is not None


def _feature_names(model: Any) -> list[str] | None:
    if isinstance(model, Path) and model.suffix.lower() == ".onnx":
        return OnnxModel(model).features
    names = getattr(model, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]


def _of_predictions(args: argparse.Namespace) -> Audit:
    if args.data:
        raise ValueError(
            "--data cannot be combined with --predictions, whose file holds labels and groups"
        )
    _refuse(args, ("features", "drop", "preprocess", "train"), "--predictions")
    if args.latency is not None:
        raise ValueError("--latency times models and cannot be combined with --predictions")
    classes = None if args.classes is None else np.asarray(args.classes, dtype=object)
    facts = {"Predictions": _named(args.predictions)}
    if args.chunk_rows is not None:
        report = report_of_tables(
            args.predictions,
            args.chunk_rows,
            label=label_of(args),
            groups=args.groups,
            predicted=[columns_of(args, "dense"), columns_of(args, "compressed")],
            classes=classes,
            names=args.names,
        )
        return Audit(report, None, facts)
    y, *given, groups = read_predictions(args, args.predictions)
    y = match_labels(y, classes, "--predictions")
    found = zip(("dense", "compressed"), given, strict=True)
    both = [_matched(as_prediction(each, n)._replace(name=n), y, n) for n, each in found]
    report = FairnessReport.from_predictions(
        y,
        *both,
        sensitive_features=groups,
        classes=None if classes is None else classes.tolist(),
        names=args.names,
    )
    rows = None
    if args.unlabelled:
        _, *more, groups = read_predictions(args, args.unlabelled, "--unlabelled")
        rows = (*unlabelled.of_columns(more, report.labels, classes), groups)
    return Audit(report, None, facts, rows)


def _matched(prediction: Prediction, y: Any, name: str) -> Prediction:
    if prediction.labels is None:
        return prediction
    return prediction._replace(labels=matched_labels(prediction.labels, y, name))
