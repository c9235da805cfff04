"""Methods of the field that are a constraint: group DRO, balanced draws, JTT, attention transfer.

Each is written after its paper; ``run.py`` gives all of them the same budget. SUBG is no
constraint but fewer rows: `balanced_subset`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.lib.tasks import Split
from sk_prunefair import Constraint


class BalancedDraws(Constraint):
    """Draw every group alike (RWG of Idrissi et al., *Simple data balancing*, CLeaR 2022)."""

    def draw_weights(self, net: Any, data: Any) -> torch.Tensor:
        """Return 1 / the size of the group of each row."""
        group = data.group[data.rows]
        return (1 / group.bincount().clamp(1))[group]


class GroupDRO(BalancedDraws):
    """Train on the worst mixture of the groups (Sagawa et al., ICLR 2020, algorithm 1).

    Groups are drawn alike, and a group's log-weight grows by 0.01 of its mean loss in a batch.
    """

    def initialize(self) -> Any:
        """Begin with equal weights."""
        super().initialize()
        self.add_state("log_weights_", torch.zeros(1), lives="fit")
        return self

    def weights(self, net: Any, batch: dict[str, Any]) -> torch.Tensor:
        """Return G q_a."""
        n_groups = len(net.groups_)
        q = self.log_weights_.expand(n_groups).softmax(0)
        return n_groups * q[batch["group"].to(q.device)]

    def on_batch_end(
        self, net: Any, batch: Any, training: bool, losses: Any, **kwargs: Any
    ) -> None:
        """Move the log-weights."""
        if training and self.is_active(net):
            group = batch[0]["group"]
            counts = group.bincount(minlength=len(net.groups_))
            sums = torch.zeros(len(counts)).index_add(0, group, losses.cpu())
            self.log_weights_ = self.log_weights_ + 0.01 * sums / counts.clamp(1)


class MoreOfRows(Constraint):
    """Draw some rows so many times as often (JTT, Liu et al., *Just train twice*, ICML 2021)."""

    def __init__(self, more: np.ndarray, times: float) -> None:
        super().__init__()
        self.more, self.times = more, times

    def draw_weights(self, net: Any, data: Any) -> torch.Tensor:
        """Return how often each row is drawn."""
        more = torch.as_tensor(np.asarray(self.more))[data.rows]
        return 1 + (self.times - 1) * more.float()


class AttentionTransfer(Constraint):
    """Add the distance of attention maps to the loss of the fine-tuning, 1,000 times.

    It is what Blakeney et al. (*Simon says*, 2021) fine-tune pruned nets by, beside distillation,
    after Zagoruyko and Komodakis (ICLR 2017). A map is the mean over channels of squared
    activations, of norm 1; where there are no convolutions, the squared activations of a layer.
    """

    def __init__(self, times: float = 1000.0) -> None:
        super().__init__("after")
        self.times = times

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Keep what the activations of both nets are."""
        if self.is_active(net):
            self.own_, self.taught_ = Maps(net.module_), Maps(net.dense_module_.eval())

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Leave both nets as they were."""
        if self.is_active(net):
            self.own_.remove()
            self.taught_.remove()

    def penalty(self, net: Any, losses: torch.Tensor, batch: dict[str, Any]) -> torch.Tensor:
        """Return the distance of the maps of the batch."""
        own = self.own_.take()
        with torch.no_grad():
            net.with_module(net.dense_module_).infer(batch["X"])
        pairs = zip(own, self.taught_.take(), strict=True)
        return self.times * sum(((a - b) ** 2).mean() for a, b in pairs)


class Maps:
    """The attention maps of a net's activations, but for those after its last convolution."""

    def __init__(self, module: nn.Module) -> None:
        self.seen: list[torch.Tensor] = []
        layers = [layer for layer in module.modules() if isinstance(layer, nn.ReLU)]
        self.hooks = [layer.register_forward_hook(self._keep) for layer in layers]

    def _keep(self, layer: nn.Module, args: Any, out: torch.Tensor) -> None:
        self.seen.append(out)

    def take(self) -> list[torch.Tensor]:
        """Return the maps since the last call."""
        seen, self.seen = self.seen, []
        if any(out.ndim == 4 for out in seen):
            seen = [out.mean(1, keepdim=True) for out in _squared(seen) if out.ndim == 4]
        else:
            seen = _squared(seen)
        return [nn.functional.normalize(out.flatten(1)) for out in seen]

    def remove(self) -> None:
        """Take the hooks off."""
        for hook in self.hooks:
            hook.remove()


def _squared(found: list[torch.Tensor]) -> list[torch.Tensor]:
    return [out.square() for out in found]


def balanced_subset(train: Split, seed: int) -> Split:
    """Return as many rows of each group as the smallest has, again and again (SUBG).

    An epoch has as many rows as without: the budget is that of all methods.
    """
    rows = np.random.default_rng(seed).permutation(len(train.y))
    least = np.unique_counts(train.group).counts.min()
    chosen = np.concatenate([rows[train.group[rows] == a][:least] for a in np.unique(train.group)])
    return train.take(np.resize(chosen, len(rows)))
