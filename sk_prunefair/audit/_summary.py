"""The first screen: findings, the verdict, the promise, and four numbers."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

import pandas as pd

from sk_prunefair.audit._gaps import accuracy_gap
from sk_prunefair.audit._groups import count_of
from sk_prunefair.audit._html import Html, join, name
from sk_prunefair.audit._numbers import lost, percent, points, size
from sk_prunefair.audit._verdict import verdict
from sk_prunefair.audit.protocol import AuditedAcceptance, AuditedPromise, AuditedReport
from sk_prunefair.latency.reading import seconds_text
from sk_prunefair.metrics._order import ExtremeGroups

_MAX_NAME = 60


def summary(
    report: AuditedReport,
    frame: pd.DataFrame,
    gaps: pd.DataFrame,
    promise: AuditedPromise | None,
    min_count: int,
    acceptance: AuditedAcceptance | None = None,
) -> Html:
    """Return the first screen, for readers who read nothing else.

    Parameters
    ----------
    report : AuditedReport
        The report.
    frame, gaps : pandas.DataFrame
        Its ``by_group``, and its gaps beside those of shuffled groups.
    promise : AuditedPromise or None
        Verdict on a promise.
    min_count : int
        Groups with fewer samples are flagged.
    acceptance : AuditedAcceptance or None
        Verdicts on the criteria of a file.
    """
    cards = [_accuracy(report), _lost_most(frame, min_count)]
    if len(frame) > 1:
        cards.append(_gap(report, gaps))
    if report.compression is not None:
        cards.append(_saved(report.compression))
    return Html(
        '<section id="summary" aria-label="summary">\n'
        f"{_findings(report.findings)}"
        f'<p class="verdict">{verdict(report, frame, gaps)}</p>\n'
        f"{'' if promise is None else _kept(promise.kept, promise_sentence(promise))}"
        f"{'' if acceptance is None else _kept(acceptance.kept, acceptance_sentence(acceptance))}"
        f'<dl class="cards">\n{"".join(cards)}</dl>\n</section>\n'
    )


def promise_sentence(promise: AuditedPromise) -> str:
    """Return the verdict on the promise in one sentence.

    >>> from types import SimpleNamespace
    >>> from sk_prunefair.audit._summary import promise_sentence
    >>> class Kept(SimpleNamespace):
    ...     def __str__(self):
    ...         return "no group lost more than 0.02"
    >>> promise_sentence(Kept(kept=True))
    'Promise kept: no group lost more than 0.02'
    """
    said = str(promise).strip().partition("\n")[0]
    if not said.lower().startswith("promise"):
        said = f"promise {'kept' if promise.kept else 'not kept'}: {said}"
    return said[:1].upper() + said[1:]


def _findings(findings: Sequence[str]) -> Html:
    if not findings:
        return Html("")
    said = "".join(f"<li>{html.escape(each[:1].upper() + each[1:])}.</li>\n" for each in findings)
    return Html(
        '<div class="findings"><p><strong>What no average shows</strong></p>\n'
        f"<ul>\n{said}</ul></div>\n"
    )


def acceptance_sentence(acceptance: AuditedAcceptance) -> str:
    """Return the verdict on the criteria of a file in one sentence."""
    return acceptance.sentence[:1].upper() + acceptance.sentence[1:]


def _kept(is_kept: bool, sentence: str) -> Html:
    kind, mark = ("kept", "✓") if is_kept else ("broken", "✗")
    template = f'<p class="promise {kind}"><span aria-hidden="true">{mark}</span> {{}}</p>\n'
    return join(template, sentence)


def _card(term: str, value: Html, *more: Html) -> Html:
    below = "".join(f'<dd class="more">{each}</dd>' for each in more if each)
    return Html(f'<div><dt>{term}</dt><dd class="big">{value}</dd>{below}</div>\n')


def _accuracy(report: AuditedReport) -> Html:
    before, after = report.overall_accuracy
    return _card(
        "Accuracy, all samples",
        Html(f"{percent(before)} → {percent(after)}"),
        join("{}, n = {}", _in_points(before - after), report.n_samples),
    )


def _lost_most(frame: pd.DataFrame, min_count: int) -> Html:
    worst = ExtremeGroups.find(frame)
    row = frame.iloc[worst.lost_most]
    if row["accuracy_drop"] <= 0:
        return _card("Lost most accuracy", Html("no group"), _largest_rise(frame))
    more = [_described(frame, worst.lost_most, min_count)]
    enough = frame["count"] >= min_count
    if row["count"] < min_count and enough.any():
        i = int(frame["accuracy_drop"].where(enough).argmax())
        template = "Of groups with {} samples or more: group {}, {}"
        more.append(
            join(
                template,
                min_count,
                name(frame.index[i], _MAX_NAME),
                _described(frame, i, min_count),
            )
        )
    if worst.largest_risk != worst.lost_most:
        more.append(_largest_rise(frame))
    who = join("group {}", name(frame.index[worst.lost_most], _MAX_NAME))
    return _card("Lost most accuracy", who, *more)


def _described(frame: pd.DataFrame, i: int, min_count: int) -> Html:
    row = frame.iloc[i]
    accuracies = Html(f"{percent(row['accuracy_dense'])} → {percent(row['accuracy_pruned'])}")
    count = count_of(int(row["count"]), min_count)
    return join("{}, {}, n = {}", _in_points(row["accuracy_drop"]), accuracies, count)


def _largest_rise(frame: pd.DataFrame) -> Html:
    """Return the group whose loss rose most, if it is not the one that lost most accuracy."""
    if "excessive_risk" not in frame:
        return Html("")
    row = ExtremeGroups.find(frame).largest_risk
    risk = frame["excessive_risk"].iloc[row]
    what = "Largest rise in loss" if risk > 0 else "Smallest fall in loss"
    return join("{}: group {}, by {}", Html(what), name(frame.index[row], _MAX_NAME), abs(risk))


def _gap(report: AuditedReport, gaps: pd.DataFrame) -> Html:
    """Return the accuracy gaps; with control features, those of the level with the largest gap."""
    keys = map(accuracy_gap, (report.names.dense_model, report.names.compressed_model))
    rows = [gaps[gaps["gap"] == key].nlargest(1, "measured").iloc[0] for key in keys]
    measured, shuffled = ([points(row[key]) for row in rows] for key in ("measured", "shuffled"))
    return _card(
        "Accuracy gap between groups",
        Html(f"{measured[0]} → {measured[1]} <small>points</small>"),
        Html(f"chance alone makes {shuffled[0]} → {shuffled[1]}"),
    )


def _saved(compression: pd.Series) -> Html:
    known = compression.dropna()
    pairs = [pair for pair in _COSTS if set(pair[:2]) <= set(known.index)]
    parts = [
        f"{write(known[before])} → {write(known[after])} <small>{what}</small>"
        for before, after, write, what in pairs
    ]
    if "sparsity" in known:
        share = f"{percent(known['sparsity'])} <small>of the prunable weights removed</small>"
        parts.insert(min(len(parts), 1), share)
    if not parts:
        return Html("")
    is_less = all(known[after] <= known[before] for before, after, *_ in pairs)
    return _card("Saved" if is_less else "Size and cost", *map(Html, parts))


_COSTS: tuple[tuple[str, str, Callable[[float], str], str], ...] = (
    ("bytes_dense", "bytes_stored", lambda n: size(n, "B"), "stored"),
    ("macs_dense", "macs_pruned", size, "multiply-accumulates"),
    ("latency_dense", "latency_pruned", seconds_text, "for one sample"),
)


def _in_points(drop: float) -> Html:
    drop = round(drop, 12)  # means of the same numbers may differ by rounding
    return Html(html.escape(lost(drop)) + (" points" if drop else ""))
