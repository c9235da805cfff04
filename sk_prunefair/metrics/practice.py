"""Common metrics before and after a compression, with paired intervals.

Values agree with scikit-learn and fairlearn, as tests check. They are computed here
from counts of samples, as a bootstrap evaluates them a thousand times.
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
    """Return the usual metrics of every group, for both classifiers, and their change.

    - ``selection_rate``: share of predictions that are the positive label;
    - ``true_positive_rate``, ``false_positive_rate``, ``precision`` of the positive label;
    - ``disagreement_rate``: share of the samples whose prediction changed. It belongs to the pair,
      so it is in ``change`` only;

    and if both outcomes have scores:

    - ``auc``: area under the ROC curve of the score of the positive label;
    - ``calibration_error``: expected calibration error of the predicted label, over 15 bins of
      equal width of its score;
    - ``brier_score``: mean squared distance of scores and truth, summed over the labels (Brier
      1950), and halved if there are two, as in `sklearn.metrics.brier_score_loss`.

    With more than two labels and no `pos_label`, rates, precision and AUC are means over the labels
    that occur in the group, one-vs-rest; there is no selection rate, as its mean over the
    labels is constant. A label that occurs and is never predicted has the precision 0.

    Parameters
    ----------
    dense, compressed : Outcome
        Outcomes of the same samples.
    labels : array-like of shape (n_labels,)
        Labels of the outcomes' codes.
    groups : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample; columns intersect.
    pos_label : label, default=None
        The positive label; all others are negative. None takes the larger of two.
    names : tuple of two str, default=("dense", "compressed")
        Names of the two in the columns.
    n_boot : int, default=1000
        Draws of the bootstrap.
    confidence : float in (0, 1), default=0.95
        Confidence of each single interval.
    random_state : int, RandomState or None, default=0
        Seed of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        By group and ``metric``: ``dense``, ``compressed``, ``change`` (compressed minus dense),
        ``low`` and ``high``, its interval, and ``count``, the number of samples of the metric: the
        positives for the true positive rate, the negatives for the false positive rate. NaN if
        a metric is not defined. Intervals are paired. For rates of one label they are Tango's,
        for the disagreement Wilson's, for the Brier score normal; all others are
        normal with the standard deviation of a paired bootstrap within the group, and NaN if no
        sample changed, as that deviation is then zero.

    Raises
    ------
    ValueError
        If the outcomes have different samples, or an argument is malformed or out of range.

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
    """Return the usual differences between groups, for both classifiers, and their change.

    - ``demographic_parity_difference``: largest minus smallest selection rate;
    - ``equalized_odds_difference``: the larger of the differences of true and of false
      positive rates, `fairlearn.metrics.equalized_odds_difference`;
    - ``impact_ratio``: smallest divided by largest selection rate. Below 0.8 the four-fifths rule
      of the US guidelines on employee selection assumes adverse impact;
    - ``disagreement_rate_difference``: largest minus smallest share of changed predictions, of the
      pair, so it is in ``change`` only.

    With more than two labels and no `pos_label` each label is positive in turn, and the worst value
    is returned. Groups in which a rate is undefined, for example without positives, are left out of
    it.

    Parameters
    ----------
    dense, compressed, labels, groups, pos_label, names, n_boot, confidence, random_state
        As for `practice_frame`.

    Returns
    -------
    pandas.DataFrame
        By ``metric``: ``dense``, ``compressed``, ``change``, ``low``, ``high``, ``count``. Samples
        are drawn within their groups, the same for both classifiers; the interval is normal, with
        the standard deviation of the draws. If groups are small or do not differ, these
        differences are biased upwards, for both classifiers.

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
