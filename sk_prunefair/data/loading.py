"""Split a data set for validation, and load its batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from skorch.dataset import ValidSplit
from torch.utils.data import DataLoader, Dataset, Subset

from sk_prunefair.data.batches import (
    Batches,
    BatchRows,
    LoadedBatches,
    WholeBatches,
    identity_collate,
)
from sk_prunefair.data.dataset import GroupDataset, dataset_targets, split_strata
from sk_prunefair.data.rank_part import RankDataset, same_order
from sk_prunefair.data.schema import Schema
from sk_prunefair.ranks import ALONE, Ranks


def load_batches(
    dataset: GroupDataset,
    loader: type[DataLoader[Any]],
    options: dict[str, Any],
    training: bool,
    draw_weights: Callable[[], torch.Tensor | None] | None,
    ranks: Ranks = ALONE,
) -> Batches | LoadedBatches:
    """Return an iterator over the batches of a data set, each fetched at once.

    Parameters
    ----------
    dataset : GroupDataset
        The data.
    loader : type
        `torch.utils.data.DataLoader`, or a subclass.
    options : dict
        Its arguments; ``batch_size=-1`` means one batch of all rows. A ``collate_fn`` gets a list
        of samples, as in `GroupDataset.batch`.
    training : bool
        Whether rows are shuffled by default.
    draw_weights : callable or None
        As for `BatchRows`, where rows are shuffled.
    ranks : Ranks, default=ALONE
        Ranks that training batches are split over.
    """
    options = dict(options)
    if options["batch_size"] == -1:
        options["batch_size"] = len(dataset)
    elif training:
        options["batch_size"] *= ranks.batches
    if training and ranks.count > 1:
        dataset = RankDataset(dataset, ranks)
        options |= same_order(options, ranks)
    has_sampler = bool({"sampler", "batch_sampler"} & options.keys())
    options.setdefault("shuffle", training and not has_sampler)
    if "batch_sampler" in options:  # loaders reject options that contradict a batch sampler
        for name in ("batch_size", "shuffle", "drop_last"):
            options.pop(name, None)
    collate = options.pop("collate_fn", None)
    if not training:
        # A loader draws a seed even without shuffling; it must not come from the user's generator.
        options.setdefault("generator", torch.Generator())
    if not has_sampler:
        batching = ("batch_size", "shuffle", "drop_last", "generator")
        given = {name: options.pop(name) for name in batching if name in options}
        draws = draw_weights if given["shuffle"] else None
        rows = BatchRows(len(dataset), draw_weights=draws, **given)
        if loader is DataLoader and not options:
            # The same batches as the loader's in this process, without its cost per batch.
            return Batches(dataset, rows, collate)
        options |= {"batch_sampler": rows, "generator": rows.generator}
    options["collate_fn"] = identity_collate
    return LoadedBatches(loader(WholeBatches(dataset, collate), **options))


def split_labels(data: GroupDataset, train_split: Any) -> npt.NDArray[np.int64]:
    """Return the labels for a split: label × group if skorch's split is stratified."""
    if not (isinstance(train_split, ValidSplit) and train_split.stratified):
        return data.y
    min_count = train_split.cv if isinstance(train_split.cv, int) else 2
    return split_strata(data.y, data.group_codes, min_count)


def own_dataset(data: Any, schema: Schema) -> Any:
    """Return one part of a split as a `GroupDataset`; None is returned unchanged."""
    if isinstance(data, Subset) and isinstance(data.dataset, GroupDataset):
        return data.dataset.subset(data.indices)
    if isinstance(data, Dataset) and not isinstance(data, GroupDataset):
        # The user's validation set, from skorch.helper.predefined_split.
        return schema.encode(data, np.asarray(dataset_targets(data)))
    return data
