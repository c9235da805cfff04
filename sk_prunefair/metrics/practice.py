"""Metrics that practitioners ask for, before and after a compression, with paired intervals.

Values are those of scikit-learn and fairlearn, to which the tests hold them. They are computed here
from how often each sample counts, since a bootstrap evaluates them a thousand times.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils import check_random_state

from sk_prunefair.checks import check_count, check_number
from sk_prunefair.data.groups import as_group_frame, encode_groups
from sk_prunefair.metrics._by_group import group_metrics
from sk_prunefair.metrics._over_groups import between_groups
from sk_prunefair.metrics._pairs import Pair, as_pair
from sk_prunefair.outcome import Outcome

_FIGURES = ["dense", "compressed", "change", "low", "high", "count"]


def practice_frame(
    dense: Outcome,
    compressed: Outcome,
    labels: npt.ArrayLike,
    groups: Any,
    *,
    pos_label: Any = None,
    names: tuple[str, str] = ("dense", "compressed"),
    n_boot: int = 1000,
    confidence: float = 0.95,
    random_state: int | np.random.RandomState | None = 0,
) -> pd.DataFrame:
    """Return the usual metrics of every group, of both classifiers, and how they changed.

    - ``selection_rate``: share of the answers that are the positive label;
    - ``true_positive_rate``, ``false_positive_rate``, ``precision`` of the positive label;
    - ``disagreement_rate``: share of the samples whose answer changed. It is of the pair, so that
      it stands in ``change`` alone;

    and where both outcomes have scores:

    - ``auc``: area under the ROC curve, of the score of the positive label;
    - ``calibration_error``: expected calibration error of the answer given, over 15 bins of equal
      width of its score;
    - ``brier_score``: mean squared distance of scores and truth, summed over the labels (Brier
      1950), and halved where there are two, as `sklearn.metrics.brier_score_loss` does.

    With more than two labels and no `pos_label`, rates, precision and AUC are means over the labels
    that occur in the group, each against the rest; there is no selection rate, whose mean over the
    labels says nothing. A label that occurs and is never given has the precision 0.

    Parameters
    ----------
    dense, compressed : Outcome
        Of the same samples.
    labels : array-like of shape (n_labels,)
        What the codes of the outcomes stand for.
    groups : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample; columns intersect.
    pos_label : label, default=None
        The positive one, all others being negative. None takes the larger one of two.
    names : tuple of two str, default=("dense", "compressed")
        What to call the two in the columns.
    n_boot : int, default=1000
        Draws of the bootstrap.
    confidence : float in (0, 1), default=0.95
        Of each interval by itself.
    random_state : int, RandomState or None, default=0
        Of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        By group and ``metric``: ``dense``, ``compressed``, ``change`` (compressed minus dense),
        ``low`` and ``high``, its interval, and ``count``, the samples that the metric is of: the
        positives for the true positive rate, the negatives for the false positive rate. NaN where
        a metric is not defined. Intervals are paired. Those of rates of one label are Tango's, that
        of the disagreement is Wilson's, that of the Brier score the normal one; all others are
        normal with the standard deviation of a paired bootstrap within the group, and NaN where no
        sample changed, as then it says nothing.

    Raises
    ------
    ValueError
        If the outcomes are of other samples, or an argument is malformed or out of range.

    Examples
    --------
    >>> truth = np.array([0, 1, 1, 0, 1, 1])
    >>> dense = Outcome(np.zeros(6), np.array([0, 1, 1, 0, 1, 1]), truth)
    >>> small = Outcome(np.zeros(6), np.array([0, 1, 1, 0, 0, 1]), truth)
    >>> frame = practice_frame(dense, small, ["no", "yes"], ["f", "f", "f", "m", "m", "m"])
    >>> frame.loc["m", ["dense", "compressed", "change", "count"]].round(2)
                         dense  compressed  change  count
    metric
    selection_rate        0.67        0.33   -0.33      3
    true_positive_rate    1.00        0.50   -0.50      2
    false_positive_rate   0.00        0.00    0.00      1
    precision             1.00        1.00    0.00      3
    disagreement_rate      NaN         NaN    0.33      3
    """
    pair = as_pair(dense, compressed, labels, pos_label)
    codes, found, rng = _checked(pair, groups, n_boot, confidence, random_state)
    parts = [
        group_metrics(pair.take(np.flatnonzero(codes == code)), n_boot, confidence, rng)
        for code in range(len(found))
    ]
    rows = {
        (*(group if isinstance(group, tuple) else (group,)), metric): figures
        for group, part in zip(found.to_flat_index(), parts, strict=True)
        for metric, figures in part.items()
    }
    index = pd.MultiIndex.from_tuples(list(rows), names=[*found.names, "metric"])
    return _named(pd.DataFrame(list(rows.values()), index=index, columns=_FIGURES), names)


def practice_summary(
    dense: Outcome,
    compressed: Outcome,
    labels: npt.ArrayLike,
    groups: Any,
    *,
    pos_label: Any = None,
    names: tuple[str, str] = ("dense", "compressed"),
    n_boot: int = 1000,
    confidence: float = 0.95,
    random_state: int | np.random.RandomState | None = 0,
) -> pd.DataFrame:
    """Return the usual differences between groups, of both classifiers, and how they changed.

    - ``demographic_parity_difference``: largest minus smallest selection rate;
    - ``equalized_odds_difference``: the larger one of the differences of true and of false
      positive rates, `fairlearn.metrics.equalized_odds_difference`;
    - ``impact_ratio``: smallest by largest selection rate. Below 0.8 the four-fifths rule of the
      US guidelines on employee selection sees adverse impact;
    - ``disagreement_rate_difference``: largest minus smallest share of changed answers, of the
      pair, so that it stands in ``change`` alone.

    With more than two labels and no `pos_label` each label is positive in turn, and the worst one
    counts. Groups where a rate is not defined, as they have no positives, are left out of it.

    Parameters
    ----------
    dense, compressed, labels, groups, pos_label, names, n_boot, confidence, random_state
        As for `practice_frame`.

    Returns
    -------
    pandas.DataFrame
        By ``metric``: ``dense``, ``compressed``, ``change``, ``low``, ``high``, ``count``. Samples
        are drawn within their groups, the same for both classifiers; the interval is normal, with
        the standard deviation of the draws. Where groups are small or equally well off, these
        differences are too large by chance, of both classifiers alike.

    Raises
    ------
    ValueError
        As `practice_frame`.

    Examples
    --------
    >>> truth = np.array([0, 1, 1, 0, 1, 1])
    >>> dense = Outcome(np.zeros(6), np.array([0, 1, 1, 0, 1, 1]), truth)
    >>> small = Outcome(np.zeros(6), np.array([0, 1, 1, 0, 0, 1]), truth)
    >>> frame = practice_summary(dense, small, ["no", "yes"], ["f", "f", "f", "m", "m", "m"])
    >>> frame[["dense", "compressed", "change"]].round(2)
                                   dense  compressed  change
    metric
    demographic_parity_difference    0.0        0.33    0.33
    equalized_odds_difference        0.0        0.50    0.50
    impact_ratio                     1.0        0.50   -0.50
    disagreement_rate_difference     NaN         NaN    0.33
    """
    pair = as_pair(dense, compressed, labels, pos_label)
    codes, found, rng = _checked(pair, groups, n_boot, confidence, random_state)
    members = [pair.take(np.flatnonzero(codes == code)) for code in range(len(found))]
    rows = between_groups(members, n_boot, confidence, rng)
    index = pd.Index(list(rows), name="metric")
    return _named(pd.DataFrame(list(rows.values()), index=index, columns=_FIGURES), names)


def _checked(
    pair: Pair, groups: Any, n_boot: int, confidence: float, random_state: Any
) -> tuple[npt.NDArray[np.int64], pd.Index, np.random.Generator]:
    check_count("n_boot", n_boot, least=2)
    check_number("confidence", confidence, above=0, most=1 - 1e-6)
    codes, found = encode_groups(as_group_frame(groups, len(pair.truth), "groups"))
    seed = check_random_state(random_state).randint(2**31)
    return codes, found, np.random.default_rng(seed)


def _named(frame: pd.DataFrame, names: tuple[str, str]) -> pd.DataFrame:
    columns = dict(zip(("dense", "compressed"), names, strict=True))
    return frame.rename(columns=columns).astype({"count": "int64"})
