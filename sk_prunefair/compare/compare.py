"""compare_models: report the effect of a compression on each group, for any two classifiers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sk_prunefair.checks import check_count
from sk_prunefair.compare.models import Model, as_model, predict_in_batches
from sk_prunefair.compare.timing import costs_of
from sk_prunefair.data.inputs import is_dataset, refuse_streams
from sk_prunefair.data.items import split_item
from sk_prunefair.data.labels import quick_labels
from sk_prunefair.data.sources import as_source, is_arrow
from sk_prunefair.latency import latency_options
from sk_prunefair.latency.compare import OPTIONS
from sk_prunefair.report.predictions import Prediction
from sk_prunefair.report.report import FairnessReport


def compare_models(
    dense: Any,
    compressed: Any,
    X: Any,
    y: npt.ArrayLike | None = None,
    *,
    sensitive_features: Any = None,
    classes: npt.ArrayLike | None = None,
    names: Sequence[str] = ("dense", "compressed"),
    batch_size: int = 256,
    latency: bool | Mapping[str, Any] = False,
    **options: Any,
) -> FairnessReport:
    """Compare a classifier with its compressed form, group by group.

    Parameters
    ----------
    dense, compressed : object
        Each of them one of:

        - a fitted estimator: labels by its ``predict``, probabilities by its ``predict_proba``
          where it has that;
        - a `torch.nn.Module` of logits, shape (n_samples, n_classes), or one logit for two
          classes; quantised modules as well. It runs in evaluation mode, on its device. Rows that
          are already probabilities are used as they are;
        - a `torch.export.ExportedProgram`, or the path of its ``.pt2`` file;
        - the path of an ``.onnx`` file, which takes ONNX Runtime, the extra ``onnx``, or an
          `sk_prunefair.onnx_model.OnnxModel`, which takes further options;
        - a function from X to probabilities, shape (n_samples, n_classes), or labels.
    X : array-like, DataFrame, sparse matrix, dict of arrays or torch.utils.data.Dataset
        Input of both models, preferably held out from training. Estimators and functions get it as
        it is, modules and files in batches. Each item of a data set is read once, and all models
        get the same batches.
    y : array-like of shape (n_samples,), default=None
        Labels; None takes the labels in the items of a data set.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns), default=None
        The group of each sample; columns intersect. None takes the groups in the items.
    classes : array-like of shape (n_classes,), default=None
        Labels of the columns of scores, where a model has none. None: the integers from
        0 if labels are integers and fewer than the columns, else the sorted labels.
    names : pair of str, default=("dense", "compressed")
        Names of the two models, in columns and sentences.
    batch_size : int, default=256
        Rows per batch for modules, files and data sets.
    latency : bool or dict, default=False
        Whether to measure how long both take, alternately, from the first rows of X to their
        predictions: each model's preprocessing of X is included, so that a pipeline is slower than
        its last step. For an estimator ``predict`` is timed. A dict holds options, ``batch_sizes``,
        ``threads``, ``n_rounds`` and ``seconds``, as `sk_prunefair.latency.compare_latency` takes
        them.
    **options : dict
        ``control_features``, ``metrics``, ``n_boot``, ``ci_quantiles``, ``random_state`` and the
        like, as `FairnessReport` takes them.

    Returns
    -------
    FairnessReport
        Losses, and results that need them, are included if both models give probabilities: the loss
        is the cross entropy. ``compression`` has the bytes of modules and files, and the seconds
        for one row if `latency` is set; ``latency`` has all measurements.

    Raises
    ------
    TypeError, ValueError
        If a model is none of these, or returns neither probabilities nor labels.
    FileNotFoundError, ImportError
        If a file or an extra is missing.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> size = np.where(X[:, 0] > 14, "large", "small")
    >>> dense = LogisticRegression(max_iter=5000).fit(X[::2], y[::2])
    >>> few = lambda X: dense.predict_proba(X.round(0))
    >>> report = compare_models(dense, few, X[1::2], y[1::2], sensitive_features=size[1::2])
    >>> sorted(report.accuracy_drop.index)
    ['large', 'small']
    """
    check_count("batch_size", batch_size)
    timing = latency_options(latency, OPTIONS)
    refuse_streams(X)
    given = {"dense": dense, "compressed": compressed}
    models = [as_model(model, name, batch_size) for name, model in given.items()]
    if is_dataset(X):
        predictions, labels, said = _over_items(models, X, batch_size)
        y = labels if y is None else y
        sensitive_features = said if sensitive_features is None else sensitive_features
    else:
        predictions = [model(X) for model in models]
    if y is None or sensitive_features is None:
        missing = "y" if y is None else "sensitive_features"
        raise ValueError(f"{missing} must be given, or X must be a data set whose items hold it")
    costs = costs_of(dense, compressed, X, names, batch_size, timing)
    return FairnessReport.from_predictions(
        y,
        *(each._replace(name=name) for each, name in zip(predictions, given, strict=True)),
        sensitive_features=sensitive_features,
        classes=classes,
        names=names,
        **(costs | options),
    )


def _over_items(
    models: list[Model], X: Any, batch_size: int
) -> tuple[list[Prediction], npt.NDArray[Any] | None, list[Any] | None]:
    """Return predictions, labels and groups of a data set whose items are read once each."""
    source, first = as_source(X), split_item(X[0])
    labels: list[Any] = []
    groups: list[Any] = []

    def inputs() -> Iterator[Any]:
        for rows in torch.arange(len(X)).split(batch_size):
            item = source.fetch(rows)
            labels.extend([] if item.y is None else np.asarray(item.y).tolist())
            groups.extend([] if item.group is None else item.group)
            yield item.X

    predictions = predict_in_batches(models, inputs())
    if is_arrow(X):  # items without labels: the column is read
        quick = quick_labels(X)
        labels = [] if quick is None or quick[0] is None else quick[0].tolist()
    return (
        predictions,
        None if first.y is None else np.asarray(labels),
        None if first.group is None else groups,
    )
