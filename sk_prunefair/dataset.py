"""Former import path: see `sk_prunefair.data.dataset`."""

from sk_prunefair.data.dataset import GroupDataset, dataset_targets, split_strata

__all__ = ["GroupDataset", "dataset_targets", "split_strata"]
