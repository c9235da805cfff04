"""Rows whose prediction the compression changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.data.groups import as_group_frame, encode_groups
from sk_prunefair.metrics._pairs import check_same_samples, known_scores
from sk_prunefair.outcome import Outcome


def exemplars(
    dense: Outcome,
    compressed: Outcome,
    labels: npt.ArrayLike,
    groups: Any = None,
    index: Any = None,
    *,
    names: tuple[str, str] = ("dense", "compressed"),
) -> pd.DataFrame:
    """Return the rows whose prediction the compression changed, the most relevant first.

    Hooker et al. call them compression-identified exemplars: the rows are not a random
    sample, but often rare, difficult or mislabelled, and should be inspected.

    Parameters
    ----------
    dense, compressed : Outcome
        Outcomes of the same samples.
    labels : array-like of shape (n_labels,)
        Labels of the outcomes' codes.
    groups : array-like of shape (n_samples,) or (n_samples, n_columns), default=None
        The group of each sample.
    index : array-like of shape (n_samples,), default=None
        Names of the samples; None takes their positions.
    names : tuple of two str, default=("dense", "compressed")
        Names of the two in the columns.

    Returns
    -------
    pandas.DataFrame
        By sample: ``y_true``, ``pred_dense``, ``pred_compressed``; if scores are known,
        ``confidence_dense`` and ``confidence_compressed``, the probability of each model for its
        own prediction; if losses are known, ``loss_rise``; ``group`` if groups are given, a tuple
        for several columns; and ``what``, the change: "lost" (correct, now wrong), "gained" (wrong,
        now correct) or "changed" (from one wrong label to another). Sorted by the confidence of the
        dense net, the largest first; without scores, by the increase of the loss; without either,
        in the order of the samples.

    Raises
    ------
    ValueError
        If the outcomes have different samples, or an argument has another length.

    References
    ----------
    Hooker et al. (2019), What do compressed deep neural networks
    forget?, arXiv:1911.05248.

    Examples
    --------
    >>> truth = np.array([0, 1, 1, 0])
    >>> dense = Outcome(np.array([0.1, 0.2, 0.9, 0.1]), np.array([0, 1, 0, 0]), truth)
    >>> pruned = Outcome(np.array([0.1, 1.5, 0.4, 2.5]), np.array([0, 0, 1, 1]), truth)
    >>> exemplars(dense, pruned, ["no", "yes"])[["pred_dense", "pred_compressed", "what"]]
      pred_dense pred_compressed    what
    3         no             yes    lost
    1        yes              no    lost
    2         no             yes  gained
    """
    check_same_samples(dense, compressed)
    n, decode = len(dense.truth), np.asarray(labels)
    columns: dict[str, Any] = {"y_true": decode[dense.truth]}
    pair = dict(zip(names, (dense, compressed), strict=True))
    columns |= {f"pred_{name}": decode[each.labels] for name, each in pair.items()}
    confidence = {name: _confidence(each) for name, each in pair.items()}
    columns |= {f"confidence_{k}": v for k, v in confidence.items() if v is not None}
    if dense.losses is not None and compressed.losses is not None:
        columns["loss_rise"] = compressed.losses - dense.losses
    if groups is not None:
        codes, found = encode_groups(as_group_frame(groups, n, "groups"))
        columns["group"] = found.to_flat_index()[codes]
    columns["what"] = np.select(
        [dense.is_right, compressed.is_right], ["lost", "gained"], default="changed"
    )
    frame = pd.DataFrame(columns, index=_row_names(index, n))
    first = columns.get(f"confidence_{names[0]}", columns.get("loss_rise", np.zeros(n)))
    order = np.argsort(-first, kind="stable")
    return frame.iloc[order[dense.labels[order] != compressed.labels[order]]]


def _row_names(index: Any, n_samples: int) -> pd.Index:
    names = pd.RangeIndex(n_samples) if index is None else pd.Index(index)
    if len(names) != n_samples:
        raise ValueError(f"index has {len(names)} entries, but there are {n_samples} samples")
    return names


def _confidence(outcome: Outcome) -> npt.NDArray[np.float64] | None:
    scores = known_scores(outcome)
    return None if scores is None else scores[np.arange(len(scores)), outcome.labels]
