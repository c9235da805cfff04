"""Sum rows that are given in parts, with one part in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.checks import as_losses, as_vector, check_same_length
from sk_prunefair.report.frames import check_distinct, group_columns
from sk_prunefair.report.kinds import Kinds
from sk_prunefair.report.labels import as_plain_labels
from sk_prunefair.report.predictions import Prediction, answers, as_prediction, columns_of

NEEDED = ("y_true", "dense_pred", "compressed_pred", "sensitive_features")
"""Required entries of each part, in the order of a tuple."""

OPTIONAL = ("dense_losses", "compressed_losses", "control_features", "sample_weight")
_ANSWERS = ("dense_pred", "compressed_pred")


class Summed(NamedTuple):
    """The sum of all parts.

    Parameters
    ----------
    kinds : Kinds
        Kinds with the key columns ``("group", …)``, ``("level", …)`` if there are control
        features, and ``("label", "y_true")``, ``"dense_pred"``, ``"compressed_pred"``. Means are
        ``loss_dense``, ``loss_pruned`` and ``risk``, if losses are known.
    classes : ndarray of shape (n_labels,)
        All known labels, sorted.
    """

    kinds: Kinds
    classes: npt.NDArray[Any]

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of a report of the kinds."""
        keys, means = self.kinds.keys, self.kinds.means
        labels = {name: each.to_numpy() for name, each in keys["label"].items()}
        return {
            "y_true": labels["y_true"],
            "dense_pred": labels["dense_pred"],
            "pruned_pred": labels["compressed_pred"],
            "dense_losses": means.get("loss_dense"),
            "pruned_losses": means.get("loss_pruned"),
            "sensitive_features": keys["group"],
            "control_features": keys.get("level"),
            "classes": self.classes,
            "kinds": self.kinds,
        }


def add_up(parts: Iterable[Any], classes: npt.ArrayLike | None = None) -> Summed:
    """Iterate over the parts once, and return their sum.

    Parameters
    ----------
    parts : iterable of mapping or tuple
        As `sk_prunefair.FairnessReport.from_parts` takes them.
    classes : array-like of shape (n_classes,), default=None
        Labels of the columns of probabilities.

    Raises
    ------
    ValueError
        If a part is malformed, or differs in form from those before it; the message has its number,
        from 0. If there are no rows.
    """
    total: Kinds | None = None
    known: npt.NDArray[Any] | None = None
    columns: dict[str, Any] = {}
    for number, part in enumerate(parts):
        try:
            found = _kinds(part, classes, columns)
            if found is None:
                continue
            kinds, labels = found
            _check_alike(kinds, total)
        except (ValueError, TypeError) as error:
            raise type(error)(f"part {number}: {error}") from error
        total = kinds if total is None else Kinds.together([total, kinds])
        known = labels if known is None else np.unique(np.concatenate([known, labels]))
    if total is None or known is None:
        raise ValueError("parts must hold at least one row, got none")
    return Summed(total, known)


def _kinds(
    part: Any, classes: Any, columns: dict[str, Any]
) -> tuple[Kinds, npt.NDArray[Any]] | None:
    """Return one part as kinds, with its labels; None for an empty part."""
    given = _named(part)
    if all(_length(given[name]) == 0 for name in NEEDED):
        return None
    truth = as_plain_labels(given["y_true"], "y_true")
    predictions = {}
    for name in _ANSWERS:
        found = as_prediction(given[name], name, classes)
        check_same_length(_rows(found), name, truth, "y_true")
        if found.scores is not None:
            # The positions of columns mean the same in all parts as in the first.
            if name not in columns:
                columns[name] = columns_of(found, name, truth, classes)
            found = found._replace(classes=columns[name])
        predictions[name] = found
    known, (dense, compressed) = answers(truth, predictions, classes)
    groups = group_columns(given["sensitive_features"], len(truth))
    frames = {"group": groups}
    if given.get("control_features") is not None:
        frames["level"] = group_columns(given["control_features"], len(truth), "control_features")
        check_distinct(groups, frames["level"])
    frames["label"] = pd.DataFrame(
        {"y_true": truth, "dense_pred": dense.labels, "compressed_pred": compressed.labels}
    )
    keys = pd.concat(frames, axis=1)
    values = _losses(given, truth, dense.losses, compressed.losses)
    return Kinds.of(keys, values, _counts(given.get("sample_weight"), truth)), known


def _named(part: Any) -> dict[str, Any]:
    if isinstance(part, Mapping):
        given = dict(part)
    elif isinstance(part, tuple) and len(part) == len(NEEDED):
        given = dict(zip(NEEDED, part, strict=True))
    else:
        raise TypeError(f"must be a mapping, or a tuple of {NEEDED}, got {type(part).__name__}")
    missing = [name for name in NEEDED if given.get(name) is None]
    strange = [name for name in given if name not in NEEDED + OPTIONAL]
    if missing or strange:
        raise ValueError(
            f"must hold {', '.join(NEEDED)}, and may hold {', '.join(OPTIONAL)}; {missing} are "
            f"missing, {strange} are not known"
        )
    return given


def _length(values: Any) -> int:
    if isinstance(values, Mapping):
        return min((_length(each) for each in values.values()), default=0)
    shape = getattr(values, "shape", None)
    return int(shape[0]) if shape else len(values)


def _rows(prediction: Prediction) -> npt.NDArray[Any]:
    found = prediction.labels if prediction.scores is None else prediction.scores
    assert found is not None
    return found


def _losses(
    given: Mapping[str, Any], truth: npt.NDArray[Any], dense: Any, compressed: Any
) -> dict[str, npt.NDArray[np.float64]]:
    names = ("dense_losses", "compressed_losses")
    told: list[Any] = [given.get(name) for name in names]
    if any(each is not None for each in told):
        if any(each is None for each in told):
            raise ValueError(f"must hold both of {names}, or neither")
        dense, compressed = (as_losses(each, name) for each, name in zip(told, names, strict=True))
    if dense is None or compressed is None:
        return {}
    for name, each in zip(names, (dense, compressed), strict=True):
        check_same_length(each, name, truth, "y_true")
    return {"loss_dense": dense, "loss_pruned": compressed, "risk": compressed - dense}


def _counts(weight: Any, truth: npt.NDArray[Any]) -> npt.NDArray[np.int64] | None:
    if weight is None:
        return None
    found = as_vector(weight, "sample_weight", np.float64)
    check_same_length(found, "sample_weight", truth, "y_true")
    is_whole = np.isfinite(found) & (found >= 0) & (found == np.floor(found))
    if not is_whole.all():
        raise ValueError(
            "sample_weight must hold whole numbers >= 0, the number of samples that each row "
            f"represents, as intervals and tests count samples; got {found[~is_whole][0]}"
        )
    return found.astype(np.int64)


def _check_alike(kinds: Kinds, before: Kinds | None) -> None:
    """Raise ValueError if the columns of a part differ from those before it."""
    if before is None:
        return
    for what, name in (("group", "sensitive_features"), ("level", "control_features")):
        found, known = (
            list(each.keys[what]) if what in each.keys else [] for each in (kinds, before)
        )
        if found != known:
            raise ValueError(f"{name} must have the columns {known} as before, got {found}")
    if kinds.means.keys() != before.means.keys():
        has, had = ("losses" if each.means else "no losses" for each in (kinds, before))
        raise ValueError(f"it has {has}, but the parts before it have {had}")
