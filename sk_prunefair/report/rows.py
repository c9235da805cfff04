"""The rows of a report: losses, labels, and all columns as a frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sk_prunefair.checks import as_losses, check_same_length
from sk_prunefair.outcome import Outcome
from sk_prunefair.report.cells import Cells
from sk_prunefair.report.labels import as_labels_of_one_kind


def both_losses(
    truth: npt.NDArray[Any], dense: npt.ArrayLike | None, pruned: npt.ArrayLike | None
) -> list[npt.NDArray[np.float64] | None]:
    """Return the losses of both nets, None if those of one are not known."""
    if dense is None or pruned is None:
        return [None, None]
    losses = [as_losses(dense, "dense_losses"), as_losses(pruned, "pruned_losses")]
    for values, name in zip(losses, ("dense_losses", "pruned_losses"), strict=True):
        check_same_length(values, name, truth, "y_true")
    return [*losses]


def labels_of(
    truth: npt.NDArray[Any], predicted: list[npt.NDArray[Any]], classes: Any
) -> npt.NDArray[Any]:
    """Return all labels that occur or are given, sorted."""
    known = [truth, *predicted]
    if classes is not None:
        known += as_labels_of_one_kind(truth, {"classes": classes}, same_length=False)[1:]
    # pandas finds distinct numbers without sorting.
    found = [pd.unique(each) if each.dtype.kind in "biuf" else np.unique(each) for each in known]
    return np.unique(np.concatenate(found))


def samples_of(
    labels: npt.NDArray[Any], dense: Outcome, pruned: Outcome, cells: Cells
) -> pd.DataFrame:
    """Return the known columns of each sample."""
    columns = {
        "y_true": labels[dense.truth],
        "is_right_dense": dense.is_right.astype(float),
        "is_right_pruned": pruned.is_right.astype(float),
    }
    if dense.losses is not None and pruned.losses is not None:
        columns |= {"loss_dense": dense.losses, "loss_pruned": pruned.losses}
    return pd.DataFrame(columns | {"group": cells.group, "level": cells.level})
