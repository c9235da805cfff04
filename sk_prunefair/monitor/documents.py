"""Check the parameters of a monitor; convert it to JSON, and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.checks import check_number
from sk_prunefair.monitor.record import Record
from sk_prunefair.monitor.trace import Trace
from sk_prunefair.report.figures import plain

FORMAT = "sk_prunefair monitor 1"


class WrittenMonitor(Protocol):
    """The parts of a monitor in a document: its parameters and its record."""

    max_accuracy_drop: float | None
    confidence: float
    max_changed: float | None
    max_share_shift: float | None
    classes: npt.NDArray[Any] | None
    shares: pd.Series | None
    _record: Record


M = TypeVar("M", bound=WrittenMonitor)


def check_parameters(monitor: WrittenMonitor, groups: Any) -> None:
    """Raise an error where a parameter is malformed."""
    for name in ("max_accuracy_drop", "max_changed", "max_share_shift"):
        value = getattr(monitor, name)
        above = None if name == "max_accuracy_drop" else 0
        check_number(name, value, least=0, above=above, most=1 - 1e-6, or_none=True)
    check_number("confidence", monitor.confidence, above=0, most=1 - 1e-6)
    if (monitor.max_accuracy_drop, monitor.max_changed, monitor.max_share_shift) == (None,) * 3:
        raise ValueError(
            "max_accuracy_drop, max_changed or max_share_shift must be given, got none"
        )
    if monitor.max_share_shift is not None and monitor.shares is None:
        raise ValueError("max_share_shift needs the shares at release; pass shares")
    if monitor.shares is not None:
        _check_shares(monitor.shares)
        if groups is not None and list(groups) != monitor.shares.index.tolist():
            raise ValueError("shares and groups must hold the same groups; pass one of them")


def _check_shares(shares: Any) -> None:
    if not isinstance(shares, pd.Series):
        raise TypeError(f"shares must be a pandas Series by group, got {type(shares).__name__}")
    values = shares.to_numpy(dtype=float)
    if not shares.index.is_unique or not (values >= 0).all() or abs(values.sum() - 1) > 1e-6:
        raise ValueError(
            "shares must have one value >= 0 per group, which sum to 1, got "
            f"{shares.head(10).to_dict()} with a sum of {values.sum():.6g}"
        )


def parameters(monitor: WrittenMonitor) -> dict[str, Any]:
    """Return the parameters as plain values."""
    classes, shares = monitor.classes, monitor.shares
    groups, n_known = monitor._record.groups, monitor._record.n_known
    known = groups[:n_known] if groups is not None and n_known else None
    return {
        "max_accuracy_drop": monitor.max_accuracy_drop,
        "confidence": monitor.confidence,
        "max_changed": monitor.max_changed,
        "max_share_shift": monitor.max_share_shift,
        "classes": None if classes is None else [plain(label) for label in classes],
        "known_groups": _groups(known),
        "shares": None if shares is None else shares.astype(float).tolist(),
    }


def to_json(monitor: WrittenMonitor, path: str | PathLike[str] | None = None) -> str:
    """Return the state of a monitor as JSON, and write it to a file."""
    record = monitor._record
    for group in () if record.groups is None else record.groups:
        if _group(_plain(group)) != group:
            raise ValueError(
                "groups must be strings, numbers or booleans to be written as JSON, got "
                f"{group!r}; pickle takes all of them"
            )
    held = {
        "format": FORMAT,
        "parameters": parameters(monitor),
        "parts": sorted(record.parts),
        "n_batches": record.n_batches,
        "groups": _groups(record.groups),
        "counts": record.counts.tolist(),
        "evidence": record.evidence.to_dict(),
        "alarms": [alarm | {"group": _plain(alarm["group"])} for alarm in record.alarms],
        "trace": record.trace.to_dict(),
    }
    document = json.dumps(held, allow_nan=False, ensure_ascii=False)
    if path is not None:
        Path(path).write_text(document, encoding="utf-8")
    return document


def from_json(make: Callable[..., M], document: str | PathLike[str]) -> M:
    """Return the monitor of a document or file, with its parameters.

    Raises
    ------
    ValueError
        If it is not the document of a monitor.
    """
    is_text = isinstance(document, str) and document.lstrip().startswith("{")
    text = document if is_text else Path(document).read_text(encoding="utf-8")
    held = json.loads(str(text))
    if held.get("format") != FORMAT:
        raise ValueError(f"document must have the format {FORMAT!r}, got {held.get('format')!r}")
    given = dict(held["parameters"])
    known, shares = _index(given.pop("known_groups")), given.pop("shares")
    if shares is not None:
        given["shares"] = pd.Series(shares, index=known)
    elif known is not None:
        given["groups"] = known
    monitor = make(**given)
    record = monitor._record
    record.parts = set(held.get("parts", ()))  # older documents have none
    record.n_batches = held["n_batches"]
    record.groups = _index(held["groups"])
    record.counts = np.array(held["counts"], dtype=np.int64).reshape(len(held["counts"]), -1)
    record.evidence.set_state(held["evidence"])
    record.alarms = [alarm | {"group": _group(alarm["group"])} for alarm in held["alarms"]]
    record.trace = Trace.from_dict(held["trace"])
    return monitor


def _groups(groups: pd.Index | None) -> dict[str, Any] | None:
    if groups is None:
        return None
    return {"names": list(groups.names), "values": [_plain(group) for group in groups]}


def _index(held: dict[str, Any] | None) -> pd.Index | None:
    if held is None:
        return None
    if len(held["names"]) > 1:
        return pd.MultiIndex.from_tuples([tuple(v) for v in held["values"]], names=held["names"])
    return pd.Index(held["values"], name=held["names"][0])


def _plain(group: Any) -> Any:
    return [plain(value) for value in group] if isinstance(group, tuple) else plain(group)


def _group(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
