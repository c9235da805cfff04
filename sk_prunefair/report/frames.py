"""The MetricFrames of a report, and values computed from them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from fairlearn.metrics import MetricFrame, count
from sklearn.metrics import d2_log_loss_score, log_loss

from sk_prunefair.data.groups import as_group_frame
from sk_prunefair.metrics import accuracy_gap_floor
from sk_prunefair.outcome import Outcome
from sk_prunefair.report.cells import Cells
from sk_prunefair.report.progress import counted

_MAX_DRAWN = 200_000  # draws, for the expected gap of one net


def group_columns(features: Any, n_samples: int, name: str = "sensitive_features") -> pd.DataFrame:
    """Return the features as columns with names that a MetricFrame accepts."""
    frame = as_group_frame(features, n_samples, name)
    # MetricFrame keeps labels, predictions and groups in one frame, by name.
    taken = ("y_true", "y_pred")
    return frame.rename(columns={column: f"{column} (group)" for column in taken})


def check_distinct(groups: pd.DataFrame, controls: pd.DataFrame) -> None:
    """Raise ValueError if a column is a sensitive and a control feature."""
    both = groups.columns.intersection(controls.columns).tolist()
    if both:
        raise ValueError(
            f"sensitive_features and control_features must have distinct column names, got {both} "
            "in both"
        )


def net_frame(
    y_pred: npt.NDArray[Any],
    losses: npt.NDArray[Any] | None,
    metrics: Mapping[str, Callable[..., Any]] | None,
    options: dict[str, Any],
    scores: npt.NDArray[Any] | None = None,
    tick: Callable[[], Any] = int,
) -> MetricFrame:
    """Return accuracy, loss (if known), count and the user's metrics of one net.

    `tick` is called with each accuracy that the frame computes.

    A metric that takes scores gets them as ``y_score``: the column of the larger label if
    there are two labels, else all columns. Without scores it is left out.
    """
    _check_metrics(metrics)
    own = {"accuracy": counted(_accuracy, tick), "loss": mean_values, "count": count}
    clash = own.keys() & (metrics or {}).keys()
    if losses is None:
        del own["loss"]
    if clash:
        raise ValueError(f"metrics may not redefine {sorted(clash)}; choose other names")
    sample_params: dict[str, dict[str, Any]] = {}
    if losses is not None:
        sample_params["loss"] = {"values": losses}
    used = dict(metrics or {})
    for name, metric in (metrics or {}).items():
        if not asks_for_scores(metric):
            continue
        if scores is None:
            del used[name]
        else:
            used[name] = _by_name(metric)
            sample_params[name] = {"scores": _one_per_sample(scores)}
    return MetricFrame(metrics=own | used, y_pred=y_pred, sample_params=sample_params, **options)


def asks_for_scores(metric: Callable[..., Any]) -> bool:
    """Return whether a metric takes scores: by a parameter ``y_score``, ``y_proba`` or ``y_prob``.

    Before version 1.9, scikit-learn's `log_loss` and `d2_log_loss_score` call it ``y_pred``.

    >>> from sklearn.metrics import accuracy_score, roc_auc_score
    >>> asks_for_scores(roc_auc_score), asks_for_scores(log_loss), asks_for_scores(accuracy_score)
    (True, True, False)
    """
    return _score_parameter(metric) is not None


def _score_parameter(metric: Callable[..., Any]) -> str | None:
    names = _parameters(metric)
    told = next((name for name in ("y_score", "y_proba", "y_prob") if name in names), None)
    inner = metric
    while isinstance(inner, functools.partial):
        inner = inner.func
    is_of_scores = inner is log_loss or inner is d2_log_loss_score
    return told or ("y_pred" if is_of_scores else None)


def _check_metrics(metrics: Any) -> None:
    is_dict = metrics is None or isinstance(metrics, Mapping)
    if not is_dict or not all(callable(metric) for metric in (metrics or {}).values()):
        raise ValueError(
            "metrics must be a dict of names to functions f(y_true, y_pred), such as "
            f"{{'f1': sklearn.metrics.f1_score}}, got {metrics!r}"
        )
    for name, metric in (metrics or {}).items():
        if _parameters(metric)[:1] == ["estimator"]:
            inner = getattr(metric, "_score_func", None)
            instead = getattr(inner, "__name__", "sklearn.metrics.f1_score")
            raise ValueError(
                f"metrics[{name!r}] must be a function f(y_true, y_pred), got {metric!r}, a "
                f"scorer, which takes an estimator and X; pass the function, such as {instead}"
            )


def _parameters(metric: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(metric).parameters)
    except (TypeError, ValueError):  # for some functions written in C
        return []


def _by_name(metric: Callable[..., Any]) -> Callable[..., Any]:
    """Return a metric of labels, predictions and scores in the form that MetricFrame calls.

    scikit-learn's metrics take scores in place of predictions: ``f(y_true, y_score)``.
    """
    parameter = _score_parameter(metric)
    takes_answers = _parameters(metric)[1:2] != [parameter]

    def called(y_true: Any, y_pred: Any, *, scores: Any) -> Any:
        answers = (y_pred,) if takes_answers else ()
        return metric(y_true, *answers, **{str(parameter): scores})

    return called


def _one_per_sample(scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if scores.shape[1] == 2:
        return scores[:, 1]
    # A MetricFrame stores its data in columns: rows of scores are stored as objects and stacked
    # here.
    rows = np.empty(len(scores), dtype=object)
    rows[:] = list(scores)
    return rows


def _accuracy(y_true: Any, y_pred: Any) -> float:
    # scikit-learn's version checks its input at each call, in a bootstrap for every draw and group.
    return float(np.mean(np.asarray(y_true) == np.asarray(y_pred)))


def mean_values(y_true: Any, y_pred: Any, *, values: npt.NDArray[Any]) -> float:
    """Return the mean of a per-sample value, as a metric."""
    return float(np.mean(values))


def group_means(cells: Cells, dense: Outcome, pruned: Outcome) -> pd.DataFrame:
    """Return count, accuracies, losses and changes by group, as in a MetricFrame."""
    columns: dict[str, Any] = {"count": cells.counts}
    for role, outcome in (("dense", dense), ("pruned", pruned)):
        columns[f"accuracy_{role}"] = cells.means(outcome.is_right)
    for role, outcome in (("dense", dense), ("pruned", pruned)):
        if outcome.losses is not None:
            columns[f"loss_{role}"] = cells.means(outcome.losses)
    columns |= {name: cells.means(each) for name, each in changes(dense, pruned).items()}
    columns["changed"] = cells.means(dense.labels != pruned.labels)
    return pd.DataFrame(columns, index=cells.index)


def net_values(outcome: Outcome) -> dict[str, npt.NDArray[np.float64]]:
    """Return the per-sample values whose means are accuracy and loss."""
    values = {"accuracy": outcome.is_right.astype(float)}
    return values if outcome.losses is None else values | {"loss": outcome.losses}


def changes(dense: Outcome, pruned: Outcome) -> dict[str, npt.NDArray[np.float64]]:
    """Return the per-sample values whose means are accuracy drop and excessive risk."""
    found = {"accuracy_drop": dense.is_right.astype(float) - pruned.is_right}
    if dense.losses is not None and pruned.losses is not None:
        found["excessive_risk"] = pruned.losses - dense.losses
    return found


def largest_difference(values: pd.Series, cells: Cells) -> float:
    """Return the largest difference between groups, over all levels of control features."""
    found = values.to_numpy()
    starts = cells.starts
    return float((np.maximum.reduceat(found, starts) - np.minimum.reduceat(found, starts)).max())


def expected_gap(accuracy: pd.Series, cells: Cells) -> float:
    """Return the accuracy gap expected for equal groups, the largest over levels."""
    # As exact for some hundreds of groups; with more, the largest of many gaps varies less.
    n_draws = int(np.clip(_MAX_DRAWN // len(cells.counts), 100, 2000))
    parts = zip(
        np.split(accuracy.to_numpy(), cells.starts[1:]),
        np.split(cells.counts, cells.starts[1:]),
        strict=True,
    )
    return max(
        accuracy_gap_floor(
            float(np.average(each, weights=counts).clip(0, 1)), counts, n_draws=n_draws
        )
        for each, counts in parts
    )
