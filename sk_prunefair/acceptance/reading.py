"""read_criteria: read and check an acceptance file."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from numbers import Real
from os import PathLike
from typing import Any

import numpy as np

from sk_prunefair.acceptance.criteria import SMALL_GROUPS, TESTS, AcceptanceCriterion
from sk_prunefair.acceptance.documents import Document, Place, load
from sk_prunefair.acceptance.metrics import METRICS
from sk_prunefair.checks import is_finite

FORMAT = "sk_prunefair acceptance 1"
"""Format described by `schema`; its number increases with every incompatible change."""
_SHARED = ("confidence", "min_count", "small_groups", "loss_bound")
_KEYS = ("format", *_SHARED, "criteria")
_OWN = ("name", "metric", "limit", "groups", "label", "test", *_SHARED)
# For these metrics a limit of 1 or more, or below 0, is a mistake of units.
_SHARES = tuple(
    name for name in METRICS if name not in ("excessive_risk", "fairness_violation", "brier_score")
)


def schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of an acceptance file.

    Examples
    --------
    >>> schema()["properties"]["format"]["const"]
    'sk_prunefair acceptance 1'
    """
    text = (files(__package__) / "acceptance.schema.json").read_text(encoding="utf-8")
    return json.loads(text)


def read_criteria(
    source: str | PathLike[str] | Mapping[str, Any],
) -> tuple[AcceptanceCriterion, ...]:
    """Return the criteria of a file, or of a mapping of the same form.

    Parameters
    ----------
    source : str, path-like or mapping
        A ``.json`` file, or a YAML file, which needs the extra ``yaml``. Keys: ``criteria``, a
        list; and for all of them ``confidence`` (0.95), ``min_count`` (1), ``small_groups``
        (``fail`` or ``skip``) and ``loss_bound`` (5), each of which a criterion may set for itself.
        A criterion has a ``metric`` (a key of `METRICS`) and a ``limit``, and may have a ``name``,
        ``groups``, a ``label`` and a ``test``: see `AcceptanceCriterion`. Where the file or the
        criterion has a ``confidence``, what is ``proven`` by default is all that can be.

    Returns
    -------
    tuple of AcceptanceCriterion
        At least one, with unique names.

    Raises
    ------
    ValueError
        If a key is unknown or missing, or a value is of a wrong type or out of range; the message
        names file, line and key, and what is accepted.
    TypeError
        If `source` is neither a path nor a mapping.
    ImportError
        If the file is not JSON and PyYAML is not installed.

    Examples
    --------
    >>> [criterion] = read_criteria({"criteria": [{"metric": "accuracy_drop", "limit": 0.02}]})
    >>> criterion.name, criterion.confidence, criterion.small_groups
    ('accuracy_drop', 0.95, 'fail')
    >>> read_criteria({"criteria": [{"metric": "correctness", "limit": 0.02}]})
    Traceback (most recent call last):
        ...
    ValueError: criteria: criteria[0].metric must be one of accuracy_drop, recall_drop, ...
    """
    document = load(source)
    values = _mapping(document, (), _KEYS)
    if values.get("format", FORMAT) != FORMAT:
        raise document.error(("format",), f"must be {FORMAT!r}, got {values['format']!r}")
    shared = {name: _value(document, (name,), name) for name in _SHARED if name in values}
    if "criteria" not in values:
        raise document.error((), "must have the key 'criteria', a list")
    items = values["criteria"]
    if not isinstance(items, list | tuple) or not items:
        raise document.error(
            ("criteria",), f"must be a list with at least one criterion, got {_shown(items)}"
        )
    made = [_criterion(document, ("criteria", i), shared) for i in range(len(items))]
    names = [criterion.name for criterion in made]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise document.error(
                ("criteria", i),
                f"must have a unique name, set by the key 'name'; {name!r} is taken",
            )
    return tuple(made)


def _criterion(document: Document, place: Place, shared: dict[str, Any]) -> AcceptanceCriterion:
    values = _mapping(document, place, _OWN)
    if "metric" not in values:
        raise document.error(place, f"must have the key 'metric', one of {', '.join(METRICS)}")
    found = {name: _value(document, (*place, name), name) for name in values}
    metric = METRICS[found["metric"]]
    if metric.kind == "labels":
        found.setdefault("limit", 0.0)
    if "limit" not in found:
        raise document.error(place, "must have the key 'limit', a number")
    _check_limit(document, (*place, "limit"), found["metric"], found["limit"])
    if "label" in found and not metric.takes_label:
        taken = [name for name, each in METRICS.items() if each.takes_label]
        raise document.error(
            (*place, "label"),
            f"is accepted only with {', '.join(taken)}, not with {found['metric']}",
        )
    if metric.kind == "labels" and found.get("groups", "all") != "all":
        raise document.error(
            (*place, "groups"), "must be 'all': labels_lost is computed over all rows"
        )
    _check_test(document, place, found)
    if "confidence" in shared | found and metric.has_bound:
        found.setdefault("test", "proven")
    made = AcceptanceCriterion(**({"name": found["metric"]} | shared | found))
    if metric.needs_losses and made.test == "proven" and not 0 <= made.limit < made.loss_bound:
        raise document.error(
            (*place, "limit"),
            f"must be at least 0 and below loss_bound ({made.loss_bound:g}), got {made.limit!r}",
        )
    return made


def _check_test(document: Document, place: Place, found: dict[str, Any]) -> None:
    """Raise ValueError where something is to be proven that cannot be, or need not be."""
    name, test = found["metric"], found.get("test")
    if not METRICS[name].can_be_proven:
        without = ", ".join(each for each, metric in METRICS.items() if not metric.can_be_proven)
        if test == "proven":
            raise document.error(
                (*place, "test"),
                f"must be 'observed' for {without}, which have no bound; got {test!r}",
            )
        if "confidence" in found:
            raise document.error(
                (*place, "confidence"), f"does not go with {without}, which have no bound"
            )
    if test == "observed" and "confidence" in found:
        raise document.error(
            (*place, "confidence"), "does not go with test 'observed', which tests nothing"
        )


def _check_limit(document: Document, place: Place, name: str, limit: float) -> None:
    metric = METRICS[name]
    if metric.kind == "labels":
        if limit != 0:
            raise document.error(place, f"must be 0 or left out, got {limit!r}")
    elif name in _SHARES and not (0 <= limit < 1 or (metric.is_least and limit == 1)):
        most = "at most" if metric.is_least else "below"
        raise document.error(place, f"must be a share, at least 0 and {most} 1, got {limit!r}")
    elif metric.kind == "pairs" and limit <= 0:
        raise document.error(place, f"must be above 0, got {limit!r}")
    elif name == "brier_score" and not 0 <= limit < 2:
        raise document.error(place, f"must be at least 0 and below 2, got {limit!r}")


def _value(document: Document, place: Place, name: str) -> Any:
    """Check the value of a key and return it."""
    value = document.values
    for part in place:
        value = value[part]
    accepted = {
        "name": "a string",
        "metric": f"one of {', '.join(METRICS)}",
        "limit": "a finite number",
        "groups": "'all', a list of groups, or a mapping of columns to values",
        "label": "a label",
        "test": f"one of {', '.join(TESTS)}",
        "confidence": "a number of at least 0.5 and below 1, as 0.95",
        "min_count": "a whole number of at least 1",
        "small_groups": f"one of {', '.join(SMALL_GROUPS)}",
        "loss_bound": "a finite number above 0",
    }[name]
    is_number = is_finite(value) and not isinstance(value, bool) and isinstance(value, Real)
    is_fine = {
        "name": isinstance(value, str) and bool(value.strip()),
        "metric": isinstance(value, str) and value in METRICS,
        "limit": is_number,
        "groups": _are_groups(value),
        "label": _is_scalar(value),
        "test": isinstance(value, str) and value in TESTS,
        "confidence": is_number and 0.5 <= value < 1,
        "min_count": isinstance(value, int) and not isinstance(value, bool) and value >= 1,
        "small_groups": isinstance(value, str) and value in SMALL_GROUPS,
        "loss_bound": is_number and value > 0,
    }[name]
    if not is_fine:
        raise document.error(place, f"must be {accepted}, got {_shown(value)}")
    return float(value) if name in ("limit", "confidence", "loss_bound") else value


def _mapping(document: Document, place: Place, keys: Sequence[str]) -> dict[str, Any]:
    values = document.values
    for part in place:
        values = values[part]
    if not isinstance(values, Mapping):
        raise document.error(
            place, f"must be a mapping with keys among {', '.join(keys)}, got {_shown(values)}"
        )
    for key in values:
        if key not in keys:
            raise document.error(
                (*place, str(key)), f"is an unknown key; accepted keys are {', '.join(keys)}"
            )
    return dict(values)


def _are_groups(value: Any) -> bool:
    if value == "all" and isinstance(value, str):
        return True
    if isinstance(value, Mapping):
        return _is_pattern(value)
    return isinstance(value, list | tuple) and len(value) > 0 and all(map(_is_group, value))


def _is_group(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return len(value) > 0 and all(map(_is_scalar, value))
    return _is_pattern(value) if isinstance(value, Mapping) else _is_scalar(value)


def _is_pattern(value: Mapping[Any, Any]) -> bool:
    return len(value) > 0 and all(
        _is_scalar(each)
        or (isinstance(each, list | tuple) and len(each) > 0 and all(map(_is_scalar, each)))
        for each in value.values()
    )


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | bool | int | float | datetime.date | np.generic)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
