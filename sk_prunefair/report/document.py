"""Convert a report to plain values and JSON, and back."""

from __future__ import annotations

import datetime
import json
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair._version import __version__
from sk_prunefair.latency.reading import from_plain, to_plain
from sk_prunefair.report.figures import CONFIDENCE, Figures, number, plain

if TYPE_CHECKING:
    from sk_prunefair.report.comparison import GroupComparison

FORMAT = "sk_prunefair report 1"
"""Format described by `schema`; its number increases with every incompatible change."""
_TIMES = ("date", "period", "timedelta")  # beginning of the dtypes of dates and times


def schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of the output of `FairnessReport.to_json`.

    Examples
    --------
    >>> schema()["properties"]["format"]["const"]
    'sk_prunefair report 1'
    """
    return json.loads((files(__package__) / "report.schema.json").read_text(encoding="utf-8"))


def to_dict(report: GroupComparison, samples: bool = False) -> dict[str, Any]:
    """Return a report as dicts, lists, strings and numbers."""
    found: dict[str, Any] = {
        "format": FORMAT,
        "made_by": f"sk_prunefair {__version__}",
        "names": list(report.names),
        "n_samples": report.n_samples,
        "confidence": CONFIDENCE,
        "labels": [plain(label) for label in report.labels],
        "findings": report.findings,
        **Figures.of(report)._asdict(),
        "classes": _classes(report),
        "compression": _numbers(report.compression),
        "latency": to_plain(report.latency),
        "empty_layers": list(report.empty_layers),
        "diagnostics": _diagnostics(report.diagnostics),
    }
    if samples:
        report.need_samples("samples=True needs")
        found["samples"] = _samples(report)
    return found


def to_json(
    report: GroupComparison, path: str | PathLike[str] | None = None, samples: bool | None = None
) -> str:
    """Return a report as a JSON document, and write it to a file."""
    has_samples = report.kinds is None
    found = to_dict(report, has_samples if samples is None else samples)
    document = json.dumps(found, allow_nan=False, ensure_ascii=False)
    if path is not None:
        Path(path).write_text(document, encoding="utf-8")
    return document


def read(source: str | PathLike[str]) -> dict[str, Any]:
    """Return the arguments of a report from the output of `to_json`.

    Raises
    ------
    ValueError
        If the document is not a report, or was written without samples.
    """
    is_document = isinstance(source, str) and source.lstrip()[:1] in ("", "{", "[")
    text = str(source) if is_document else Path(source).read_text(encoding="utf-8-sig")
    try:
        found = json.loads(text)
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT!r}")
        if "samples" not in found:
            raise ValueError("it was written without samples, which a report is computed from")
        return _arguments(found)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"source must be a report written by to_json: {what}") from error


def _classes(report: GroupComparison) -> dict[str, Any]:
    if len(np.unique(report.outcomes[0].truth)) < 2:
        return {"errors": []}
    frame = report.class_errors
    rows = [
        {"label": plain(label)} | {str(name): number(value) for name, value in row.items()}
        for label, row in frame.iterrows()
    ]
    return {"errors": rows} | {str(name): number(value) for name, value in frame.attrs.items()}


def _numbers(series: pd.Series | None) -> dict[str, Any] | None:
    return None if series is None else {str(key): number(value) for key, value in series.items()}


def _diagnostics(frame: pd.DataFrame | None) -> list[dict[str, Any]] | None:
    if frame is None:
        return None
    return [
        {"group": [plain(part) for part in (key if isinstance(key, tuple) else (key,))]}
        | {str(name): number(value) for name, value in row.items()}
        for key, row in frame.astype(object).iterrows()
    ]


def _samples(report: GroupComparison) -> dict[str, Any]:
    dense, compressed = report.outcomes
    found: dict[str, Any] = {"y_true": dense.truth.tolist()}
    for role, outcome in (("dense", dense), ("compressed", compressed)):
        found[f"{role}_pred"] = outcome.labels.tolist()
        for name, values in (("losses", outcome.losses), ("scores", outcome.scores)):
            found[f"{role}_{name}"] = None if values is None else values.tolist()
    for name in ("sensitive_features", "control_features"):
        columns = getattr(report, name)
        found[name] = None if columns is None else {c: _column(columns[c]) for c in columns}
    return found


def _column(values: pd.Series) -> dict[str, Any]:
    codes, known = pd.factorize(values)
    found = {"values": [plain(value) for value in known], "codes": codes.tolist()}
    # A string does not tell which type it was made from.
    kind = "date" if all(type(value) is datetime.date for value in known) else str(values.dtype)
    return found | {"dtype": kind} if kind.startswith(_TIMES) else found


def _arguments(found: dict[str, Any]) -> dict[str, Any]:
    samples, labels = found["samples"], np.asarray(found["labels"])
    of_dense, of_compressed = (
        {name: samples[f"{role}_{name}"] for name in ("pred", "losses", "scores")}
        for role in ("dense", "compressed")
    )
    compression = found["compression"]
    return {
        "y_true": _taken(labels, samples["y_true"]),
        "dense_pred": _taken(labels, of_dense["pred"]),
        "pruned_pred": _taken(labels, of_compressed["pred"]),
        "dense_losses": of_dense["losses"],
        "pruned_losses": of_compressed["losses"],
        "dense_scores": of_dense["scores"],
        "pruned_scores": of_compressed["scores"],
        "classes": labels,
        "sensitive_features": _frame(samples["sensitive_features"]),
        "control_features": _frame(samples["control_features"]),
        "names": found["names"],
        "empty_layers": found["empty_layers"],
        "compression": compression and pd.Series(compression, name="compression", dtype=float),
        "latency": from_plain(found.get("latency")),
    }


def _taken(values: npt.NDArray[Any], codes: Any) -> npt.NDArray[Any]:
    """Return the value of each code; unlike numpy, fail for negative codes."""
    places = np.asarray(codes)
    if places.dtype.kind not in "iu" or places.ndim != 1 or places.min(initial=0) < 0:
        raise ValueError("its samples must be lists of whole numbers from 0")
    return values[places]


def _restored(values: list[Any], dtype: str | None) -> npt.NDArray[Any]:
    """Return the values of a column, with dates and times restored."""
    if dtype is None:
        return _objects(values)
    if not str(dtype).startswith(_TIMES):
        raise ValueError(f"the dtype of a column must be of dates or times, got {dtype!r}")
    if dtype == "date":
        return _objects([datetime.date.fromisoformat(value) for value in values])
    is_zoned = dtype.startswith("datetime64") and "," in dtype
    times = pd.Series(pd.to_datetime(values, utc=True) if is_zoned else values)
    return _objects(times.astype(pd.api.types.pandas_dtype(dtype)).tolist())


def _objects(values: list[Any]) -> npt.NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _frame(columns: dict[str, Any] | None) -> pd.DataFrame | None:
    if columns is None:
        return None
    return pd.DataFrame(
        {
            name: _taken(_restored(column["values"], column.get("dtype")), column["codes"])
            for name, column in columns.items()
        }
    ).infer_objects()
