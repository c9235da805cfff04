"""Outcomes of a net before and after pruning, for rows in parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from sk_prunefair.data.groups import as_group_frame
from sk_prunefair.evaluation import evaluate_in_parts
from sk_prunefair.requests import known_schema

if TYPE_CHECKING:
    from sk_prunefair.data.dataset import GroupDataset
    from sk_prunefair.protocol import CoreNet

PART_ROWS = 100_000


class NetParts:
    """Parts for `sk_prunefair.FairnessReport.from_parts`, computed one after the other.

    Parameters
    ----------
    net : CoreNet
        Classifier whose ``infer`` and criterion are used.
    data : GroupDataset
        Data with labels.
    modules : sequence of torch.nn.Module
        The dense and the pruned net; a single one if nothing was pruned.
    sensitive_features, control_features : array-like, or None
        Groups of all rows; None takes the groups in the items.

    Attributes
    ----------
    example : object
        The first row, once it is read.
    classes : ndarray or None
        Labels of the columns of scores; None if there are no scores.
    """

    def __init__(
        self,
        net: CoreNet,
        data: GroupDataset,
        modules: Sequence[nn.Module],
        sensitive_features: Any,
        control_features: Any,
    ) -> None:
        self.net, self.data, self.modules = net, data, modules
        given = {"sensitive_features": sensitive_features, "control_features": control_features}
        self.columns = {
            name: as_group_frame(values, len(data), name)
            for name, values in given.items()
            if values is not None
        }
        self.example: Any = None
        self.classes: Any = None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        schema, start = known_schema(self.net), 0
        for seen in evaluate_in_parts(self.net, self.data, *self.modules, rows=PART_ROWS):
            dense, pruned = seen.outcomes[0], seen.outcomes[-1]
            if self.example is None:
                self.example = seen.example
                if dense.scores is not None:
                    self.classes = schema.decode(np.arange(dense.scores.shape[1]))
            end = start + len(dense.truth)
            groups: dict[str, Any] = {"sensitive_features": seen.said}
            groups |= {name: each.iloc[start:end] for name, each in self.columns.items()}
            known_groups(groups["sensitive_features"])
            yield groups | {
                "y_true": schema.decode(dense.truth),
                "dense_pred": schema.decode(dense.labels),
                "compressed_pred": schema.decode(pruned.labels),
                "dense_losses": dense.losses,
                "compressed_losses": pruned.losses,
            }
            start = end


def known_groups(groups: Any) -> Any:
    """Return the groups, or raise ValueError if there are none."""
    if groups is None:
        raise ValueError(
            "sensitive_features (the group of each sample) must be given, or X must yield (X, y, "
            "group)"
        )
    return groups
