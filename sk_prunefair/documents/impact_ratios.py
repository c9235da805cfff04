"""Impact ratios by sex, race and their intersections, in the layout of New York's Local Law 144."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.checks import check_choice, check_number
from sk_prunefair.data.groups import as_group_frame
from sk_prunefair.documents.ratio_tables import COLUMNS, ImpactRatios
from sk_prunefair.metrics._pairs import as_pair, known_scores
from sk_prunefair.outcome import Outcome
from sk_prunefair.stats.paired_many import clopper_pearson

if TYPE_CHECKING:
    from sk_prunefair.report.comparison import GroupComparison

UNKNOWN = (
    *("", "?", "unknown", "not known", "not stated", "not specified", "not disclosed", "declined"),
    *("prefer not to say", "n/a", "na", "nan", "none"),
)
_SEX = ("sex", "gender")
_RACE = ("race", "ethnicity", "race/ethnicity", "race_ethnicity", "race ethnicity")


def impact_ratios(
    report: GroupComparison,
    *,
    sex: Any = None,
    race: Any = None,
    of: str = "labels",
    positive: Any = None,
    model: str = "compressed",
    unknown: str | Iterable[str] = UNKNOWN,
    exclude_below: float = 0.02,
    confidence: float = 0.95,
) -> ImpactRatios:
    r"""Return selection or scoring rates and impact ratios by sex, by race and ethnicity, and both.

    The layout is that of 6 RCNY § 5-301, the rules of New York City's Local Law 144 of 2021 on
    automated employment decision tools: for each category the number of people and of selected
    people, the selection rate and the impact ratio, its rate divided by that of the most selected
    category; categories of less than 2 % of the data may be left out of the ratios, but are listed
    with number and rate; and the number of people of unknown category. For a tool with scores the
    rate is the share of a category whose score is above the median of the whole sample.

    Parameters
    ----------
    report : FairnessReport
        The audit.
    sex, race : str or array-like of shape (n_samples,), default=None
        A column of the sensitive features, or the category of each row. At least one is required.
    of : "labels" or "scores", default="labels"
        Whether rates are shares of rows with the positive label, or of rows whose probability of it
        is above (not at) the median of all rows, those of unknown categories included.
    positive : label, default=None
        The label of selected rows, or the label whose probability is the score; None takes the
        larger of two labels.
    model : "compressed" or "dense", default="compressed"
        Model whose predictions are counted.
    unknown : str or iterable of str
        Categories that mean "not known", in upper or lower case.
    exclude_below : float in [0, 1), default=0.02
        Share of the rows below which a category is left out of the ratios; with 0 none is.
    confidence : float in (0, 1), default=0.95
        Joint confidence of the intervals of all ratios of a table.

    Returns
    -------
    ImpactRatios
        Tables without the rows that have an unknown category.

    Raises
    ------
    ValueError
        If neither sex nor race is given, a column is not known, `positive` is not a label or must
        be given, all rows are unknown, or scores are required that are not known.

    Notes
    -----
    With exact intervals [L, U] of the rates of the G categories that have a ratio (Clopper and
    Pearson's, each at 1 − α / G, by Bonferroni's rule) the ratio of a category c lies in

    .. math:: [L_c / \max_j U_j, \; \min(1, U_c / \max_j L_j)]

    if all those rates lie in their intervals. For that it need not be known which category is the
    most selected one. An interval of a scoring rate is conditional on the median: it is for the
    share of the category that scores above this value.

    Examples
    --------
    >>> from sk_prunefair import FairnessReport
    >>> hired = [1, 1, 0, 1, 0, 0]
    >>> sexes = ["f", "f", "f", "m", "m", "m"]
    >>> report = FairnessReport(
    ...     hired, dense_pred=hired, pruned_pred=hired, sensitive_features={"sex": sexes}
    ... )
    >>> impact_ratios(report, sex="sex").sex[["selection_rate", "impact_ratio"]].round(2)
         selection_rate  impact_ratio
    sex
    f              0.67           1.0
    m              0.33           0.5
    """
    check_choice("model", model, ("compressed", "dense"))
    check_choice("of", of, tuple(COLUMNS))
    check_number("exclude_below", exclude_below, least=0, most=0.5)
    check_number("confidence", confidence, above=0, most=1 - 1e-6)
    if sex is None and race is None:
        raise ValueError("sex or race must be given: a column name, or the category of each row")
    code = _positive(report, positive)
    outcome = report.outcomes[model == "compressed"]
    is_selected, median = outcome.labels == code, None
    if of == "scores":
        scores = _scores(outcome, code, model)
        median = float(np.median(scores))
        is_selected = scores > median
    given = {"sex": sex, "race": race}
    columns = {
        name: _categories(report, value, name) for name, value in given.items() if value is not None
    }
    told = [unknown] if isinstance(unknown, str) else unknown
    words = {str(word).strip().lower() for word in told}
    is_known = np.ones(len(is_selected), dtype=bool)
    for column in columns.values():
        is_known &= ~column.astype(str).str.strip().str.lower().isin(words).to_numpy()
    if not is_known.any():
        raise ValueError("sex and race must be known for at least one row, got none")
    frame = pd.DataFrame(columns)[is_known]
    selected = is_selected[is_known]
    options = (selected, exclude_below, confidence, COLUMNS[of])
    tables = {name: _table(frame[[name]], *options) for name in columns}
    both = _table(frame, *options) if len(columns) == 2 else None
    return ImpactRatios(
        tables.get("sex"),
        tables.get("race"),
        both,
        report.labels.tolist()[code],
        report.names.compressed_model if model == "compressed" else report.names.dense_model,
        len(frame),
        int((~is_known).sum()),
        exclude_below,
        report,
        median,
        confidence,
    )


def named_columns(frame: pd.DataFrame) -> dict[str, Any] | None:
    """Return the columns named after sex and race, None for a missing one.

    >>> named_columns(pd.DataFrame(columns=["Race", "age", "Gender"]))
    {'sex': 'Gender', 'race': 'Race'}
    """
    found = {}
    for name, known in (("sex", _SEX), ("race", _RACE)):
        column = next((each for each in frame if str(each).strip().lower() in known), None)
        if column is not None:
            found[name] = column
    return found or None


def _positive(report: GroupComparison, positive: Any) -> int:
    if positive is None and len(report.labels) > 2:
        raise ValueError(
            f"positive must be one of the labels {report.labels.tolist()[:10]}, got None"
        )
    try:
        return int(as_pair(*report.outcomes, report.labels, positive).classes[0])
    except ValueError as error:
        raise ValueError(str(error).replace("pos_label", "positive")) from error


def _categories(report: GroupComparison, given: Any, name: str) -> pd.Series:
    known = report.sensitive_features
    if isinstance(given, str):
        if given not in known:
            raise ValueError(f"{name} must be one of the columns {list(known)}, got {given!r}")
        return known[given].reset_index(drop=True)
    frame = as_group_frame(given, len(known), name)
    if frame.shape[1] != 1:
        raise ValueError(f"{name} must be one column, got {frame.shape[1]}")
    return frame.iloc[:, 0]


def _scores(outcome: Outcome, code: int, model: str) -> npt.NDArray[np.float64]:
    """Return the probability of a label."""
    found = known_scores(outcome)
    if found is None:
        raise ValueError(
            f"of='scores' needs the probabilities of the {model} model; only its labels are known"
        )
    return found[:, code]


def _table(
    frame: pd.DataFrame,
    selected: npt.NDArray[np.bool_],
    exclude_below: float,
    confidence: float,
    names: tuple[str, str],
) -> pd.DataFrame:
    grouped = frame.assign(selected=selected).groupby(list(frame))["selected"]
    count, n_selected = grouped.size(), grouped.sum()
    share, rate = count / len(frame), n_selected / count
    is_out = share < exclude_below
    most = rate[~is_out].max()
    ratio = (rate / most if most > 0 else rate * np.nan).mask(is_out)
    low, high = _intervals(n_selected[~is_out], count[~is_out], confidence)
    return pd.DataFrame(
        {
            "count": count,
            "share": share,
            names[0]: n_selected,
            names[1]: rate,
            "impact_ratio": ratio,
            "low": low.reindex(count.index).where(ratio.notna()),
            "high": high.reindex(count.index).where(ratio.notna()),
            "excluded": is_out,
        }
    )


def _intervals(
    n_selected: pd.Series, count: pd.Series, confidence: float
) -> tuple[pd.Series, pd.Series]:
    """Return the ends of the ratios; see the notes of `impact_ratios`."""
    ends = clopper_pearson(n_selected, count, (1 - confidence) / max(len(count), 1))
    low, high = (pd.Series(each, index=count.index) for each in ends)
    return low / high.max(), (high / low.max()).clip(upper=1)
