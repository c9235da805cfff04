"""Impact ratios by sex, race and their intersections, in the layout of New York's Local Law 144."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.checks import check_choice, check_number
from sk_prunefair.data.groups import as_group_frame
from sk_prunefair.documents.ratio_tables import ImpactRatios
from sk_prunefair.metrics._pairs import as_pair

if TYPE_CHECKING:
    from sk_prunefair.report.comparison import GroupComparison

UNKNOWN = ("", "?", "unknown", "not known", "not stated", "n/a")
_SEX = ("sex", "gender")
_RACE = ("race", "ethnicity", "race/ethnicity", "race_ethnicity", "race ethnicity")


def impact_ratios(
    report: GroupComparison,
    *,
    sex: Any = None,
    race: Any = None,
    positive: Any = None,
    model: str = "compressed",
    unknown: Iterable[str] = UNKNOWN,
    exclude_below: float = 0.02,
) -> ImpactRatios:
    """Return selection rates and impact ratios by sex, by race and ethnicity, and by both.

    The layout is that of 6 RCNY § 5-301, the rules of New York City's Local Law 144 of 2021 on
    automated employment decision tools: for each category the number of people and of selected
    people, the selection rate and the impact ratio; categories of less than 2 % of the data may be
    left out of the ratios, but are listed with number and rate; and the number of people of unknown
    category.

    Parameters
    ----------
    report : FairnessReport
        The audit.
    sex, race : str or array-like of shape (n_samples,), default=None
        A column of the sensitive features, or the category of each row. At least one is required.
    positive : label, default=None
        The label of selected rows; None takes the larger of two labels.
    model : "compressed" or "dense", default="compressed"
        Model whose predictions are counted.
    unknown : iterable of str
        Categories that mean "not known", in upper or lower case.
    exclude_below : float in [0, 1), default=0.02
        Share of the rows below which a category is left out of the ratios; with 0 none is.

    Returns
    -------
    ImpactRatios
        Tables without the rows that have an unknown category.

    Raises
    ------
    ValueError
        If neither sex nor race is given, a column is not known, `positive` is not a label or must
        be given, or all rows are unknown.

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
    check_number("exclude_below", exclude_below, least=0, most=0.5)
    if sex is None and race is None:
        raise ValueError("sex or race must be given: a column name, or the category of each row")
    code = _positive(report, positive)
    outcome = report.outcomes[model == "compressed"]
    is_selected = outcome.labels == code
    given = {"sex": sex, "race": race}
    columns = {
        name: _categories(report, value, name) for name, value in given.items() if value is not None
    }
    words = {str(word).strip().lower() for word in unknown}
    is_known = np.ones(len(is_selected), dtype=bool)
    for column in columns.values():
        is_known &= ~column.astype(str).str.strip().str.lower().isin(words).to_numpy()
    if not is_known.any():
        raise ValueError("sex and race must be known for at least one row, got none")
    frame = pd.DataFrame(columns)[is_known]
    selected = is_selected[is_known]
    tables = {name: _table(frame[[name]], selected, exclude_below) for name in columns}
    both = _table(frame, selected, exclude_below) if len(columns) == 2 else None
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


def _table(
    frame: pd.DataFrame, selected: npt.NDArray[np.bool_], exclude_below: float
) -> pd.DataFrame:
    grouped = frame.assign(selected=selected).groupby(list(frame))["selected"]
    count, n_selected = grouped.size(), grouped.sum()
    share, rate = count / len(frame), n_selected / count
    is_out = share < exclude_below
    most = rate[~is_out].max()
    ratio = (rate / most if most > 0 else rate * np.nan).mask(is_out)
    return pd.DataFrame(
        {
            "count": count,
            "share": share,
            "selected": n_selected,
            "selection_rate": rate,
            "impact_ratio": ratio,
            "excluded": is_out,
        }
    )
