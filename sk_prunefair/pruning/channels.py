"""Choose the channels, filters and attention heads that are kept."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, Literal, get_args

import torch
from sklearn.base import BaseEstimator
from torch import nn

from sk_prunefair.checks import check_count, check_rate
from sk_prunefair.nested import map_tensors, run
from sk_prunefair.pruning.channel_groups import (
    ChannelGroup,
    head_groups,
    output_tensors,
    traced_groups,
)
from sk_prunefair.pruning.data import PruningData
from sk_prunefair.pruning.masks import apply_masks
from sk_prunefair.pruning.saliency import Tensors, gradients
from sk_prunefair.pruning.shrink import Kept, kept_masks, shrink_module

Importance = Literal["magnitude", "taylor"]


class ChannelPruner(BaseEstimator):
    r"""Remove the least important channels of every layer, so that the net gets smaller.

    A channel is one output of a linear layer or one filter of a convolution, with everything that
    depends on it: its batch norm, the inputs of the layers that read it, and the same channel of
    the layers that it is added to. Layers tied in this way form a group (Fang, Ma, Song, Mi and
    Wang, *DepGraph: towards any structural pruning*, CVPR 2023), in which :math:`w_c` are all
    weights of channel c, of norms too, without biases. Of the n channels of a group exactly
    ``min(round(rate * n), n - min_kept)`` are removed, ties in order.

    Some channels are always kept: those that determine the output's shape, those of `exclude`, and
    those that pass through anything but linear layers, convolutions, batch norm, PReLU, embeddings,
    and layer norm over the last axis, such as grouped convolutions that are not depthwise, group
    norm, split tensors, other attention or bare parameters; also those without which the net cannot
    be run, or does not compute the same as the dense net with their weights at zero.

    In transformers whole attention heads are removed, by the same formula in each layer, and the
    inner channels of feed-forward layers; the width of embeddings and layer norms is kept. Heads
    are found in the layouts of `sk_prunefair.pruning.heads.LAYOUTS`: those of BERT, DistilBERT,
    GPT-2, ViT, BART, Llama and similar nets. They are kept if they share keys and values, and in
    `torch.nn.MultiheadAttention`.

    Parameters
    ----------
    importance : {"magnitude", "taylor"}, default="magnitude"
        The norm :math:`\|w_c\|_2`, or :math:`|w_c \cdot \partial J / \partial w_c|`, to first order
        the change of the mean loss J without the channel (Molchanov, Mallya, Tyree, Frosio and
        Kautz, *Importance estimation for neural network pruning*, CVPR 2019).
    exclude : iterable of str, default=()
        Names of modules or parameters that are kept whole, their inputs as well as their outputs.
    min_kept : int, default=1
        Least number of channels of each group, and of heads of each attention, at any rate.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> net[0].weight.data = torch.tensor([[1.0], [0.0], [2.0]])
    >>> net[2].weight.data = torch.ones(2, 3)
    >>> data = PruningData([(torch.ones(1, 1), torch.tensor([0]), torch.tensor([0]))])
    >>> kept = ChannelPruner().kept(net, 0.4, data)
    >>> kept["2.weight"]
    (None, tensor([0, 2]))
    >>> shrink_module(net, kept)[2]
    Linear(in_features=2, out_features=2, bias=True)
    """

    def __init__(
        self,
        importance: Importance = "magnitude",
        *,
        exclude: Iterable[str] = (),
        min_kept: int = 1,
    ) -> None:
        self.importance = importance
        self.exclude = exclude
        self.min_kept = min_kept

    @property
    def needs_data(self) -> bool:
        """Whether the importance is a function of labelled data; a sample is always needed."""
        return self.importance == "taylor"

    def kept(self, module: nn.Module, rate: float, data: PruningData) -> Kept:
        """Return the indices of the kept channels, by tensor.

        Parameters
        ----------
        module : torch.nn.Module
            The dense net; not changed. Its mode, frozen parameters and `torch.no_grad`
            around the call have no effect.
        rate : float
            Share of the channels of each group to remove, in [0, 1). Channels removed at a smaller
            rate are removed at a larger one, too.
        data : PruningData
            Its ``example`` is used to trace the net, and its batches to compute J for
            ``importance="taylor"``.

        Returns
        -------
        dict of str to tuple
            For each parameter and buffer that gets smaller the kept indices of each dimension, on
            the CPU, None for a whole dimension: what `shrink_module` and `kept_masks` take.

        Raises
        ------
        ImportError
            If the package torch-pruning (the extra ``channels``) is not installed.
        ValueError
            If an argument is malformed, the net has no channels to remove, or a score is NaN.
        RuntimeError
            If the net cannot be traced, or does not give outputs of the same shape without these
            channels.

        Examples
        --------
        >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2, 2))
        >>> net[2].weight.data = torch.tensor([[0.0, 1.0], [0.0, -1.0]])
        >>> X, zeros = torch.ones(1, 1, 3, 3), torch.tensor([0])
        >>> ChannelPruner("taylor").kept(net, 0.5, PruningData([(X, zeros, zeros)]))["0.bias"]
        (tensor([1]),)
        """
        self._check(module, rate, data)
        # Under inference mode, no_grad or with frozen parameters there would be no graph to trace.
        with torch.inference_mode(False), torch.enable_grad():
            net = copy.deepcopy(module).eval().requires_grad_()
            example = map_tensors(torch.Tensor.clone, data.example)
            groups = _removable(net, self._groups(net, example), example)
            if not groups:
                raise ValueError(
                    "module has no channels to remove: no hidden layer, or exclude and layers that "
                    "cannot be cut leave none"
                )
            values = _squares(net) if self.importance == "magnitude" else _taylor_terms(net, data)
            removed = [self._least(group, rate, values) for group in groups]
        kept = _kept(net, groups, removed)
        _check_counts(kept, groups, removed)
        if not _fits(net, kept, example):
            raise RuntimeError(
                f"the net without these channels (rate={rate}) does not give outputs of the same "
                "shape; name the layers at fault in exclude"
            )
        return kept

    def _check(self, module: nn.Module, rate: float, data: PruningData) -> None:
        if self.importance not in get_args(Importance):
            raise ValueError(
                f"importance must be one of {get_args(Importance)}, got {self.importance!r}"
            )
        rate = check_rate(rate)
        check_count("min_kept", self.min_kept)
        if isinstance(self.exclude, str):
            raise ValueError(f"exclude must be a list of names, got the string {self.exclude!r}")
        names = {name for name, _ in (*module.named_parameters(), *module.named_modules())}
        if strangers := set(self.exclude) - names:
            raise ValueError(
                f"exclude must name parameters or modules, got {sorted(strangers)}; the names are "
                f"{sorted(names)[:20]}"
            )
        if not hasattr(data, "example"):
            raise ValueError(f"data must be PruningData, to trace the net with, got {data!r}")

    def _groups(self, net: nn.Module, example: Any) -> list[ChannelGroup]:
        excluded = set(self.exclude)

        def is_excluded(name: str) -> bool:
            return any(name == left or name.startswith(f"{left}.") for left in excluded)

        return [
            group
            for group in (*traced_groups(net, example), *head_groups(net))
            if group.size > 1 and not any(is_excluded(part.name) for part in group.parts)
        ]

    def _least(self, group: ChannelGroup, rate: float, values: Tensors) -> torch.Tensor:
        """Return the channels of a group to remove."""
        scores = torch.zeros(group.size, dtype=torch.float64)
        for part in group.parts:
            if part.name in values:
                rows = values[part.name].movedim(part.dim, 0)
                sums = rows.reshape(len(rows), -1).sum(1, dtype=torch.float64)
                scores.index_add_(0, part.channels, sums[part.indices])
        if scores.isnan().any():
            raise ValueError(
                f"the importance of channels of {group.parts[0].name!r} is NaN; did the training "
                "diverge?"
            )
        n_removed = min(round(rate * group.size), group.size - self.min_kept)
        return scores.abs().argsort(stable=True)[: max(0, n_removed)]


def _removable(net: nn.Module, groups: list[ChannelGroup], example: Any) -> list[ChannelGroup]:
    """Return the groups that can lose a channel: all traced ones, except in unusual nets."""
    norms = {name for name, layer in net.named_modules() if isinstance(layer, nn.LayerNorm)}

    def can_lose(some: list[ChannelGroup]) -> bool:
        # Layer norm depends on zeros, so outputs cannot be compared with the masked net's.
        owners = {part.name.rpartition(".")[0] for group in some for part in group.parts}
        exact = not norms & owners
        last = [torch.tensor([group.size - 1]) for group in some]
        return _fits(net, _kept(net, some, last), example, exact)

    return groups if can_lose(groups) else [group for group in groups if can_lose([group])]


@torch.no_grad()
def _fits(net: nn.Module, kept: Kept, example: Any, exact: bool = False) -> bool:
    """Tell whether outputs of the smaller net have the same shape or, if exact, the same values."""
    reference = net
    if exact:
        reference = copy.deepcopy(net)
        apply_masks(reference, kept_masks(net, kept))
    expected = output_tensors(run(reference, example))
    try:
        outputs = output_tensors(run(shrink_module(net, kept), example))
    except Exception:  # any error of a net written for another size
        return False
    return len(outputs) == len(expected) and all(
        left.shape == right.shape and (not exact or _close(left, right))
        for left, right in zip(outputs, expected, strict=True)
    )


def _close(left: torch.Tensor, right: torch.Tensor) -> bool:
    if not right.is_floating_point():
        return torch.equal(left, right)
    tolerance = 1e3 * torch.finfo(right.dtype).eps
    scale = float(right.abs().nan_to_num().max()) if right.numel() else 0.0
    return torch.allclose(left, right, rtol=tolerance, atol=tolerance * scale, equal_nan=True)


def _kept(net: nn.Module, groups: list[ChannelGroup], removed: list[torch.Tensor]) -> Kept:
    """Return the kept indices after each group has lost its removed channels."""
    shapes = {name: t.shape for name, t in (*net.named_parameters(), *net.named_buffers())}
    stays: dict[str, dict[int, torch.Tensor]] = {}
    for group, channels in zip(groups, removed, strict=True):
        for part in group.parts:
            size = shapes[part.name][part.dim]
            mask = stays.setdefault(part.name, {}).setdefault(
                part.dim, torch.ones(size, dtype=torch.bool)
            )
            mask[part.indices[torch.isin(part.channels, channels)]] = False
    return {
        name: tuple(
            masks[dim].nonzero().flatten() if dim in masks and not masks[dim].all() else None
            for dim in range(len(shapes[name]))
        )
        for name, masks in stays.items()
        if not all(mask.all() for mask in masks.values())
    }


def _check_counts(kept: Kept, groups: list[ChannelGroup], removed: list[torch.Tensor]) -> None:
    for group, channels in zip(groups, removed, strict=True):
        root = group.parts[0]
        indices = kept[root.name][root.dim] if root.name in kept else None
        n_kept = len(root.indices) if indices is None else len(indices)
        n_asked = int((~torch.isin(root.channels, channels)).sum())
        if n_kept != n_asked:
            raise RuntimeError(
                f"{root.name!r} should keep {n_asked} channels, but the layers that share them "
                f"leave {n_kept}; name it in exclude"
            )


def _weights(net: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in net.named_parameters() if name.rpartition(".")[2] == "weight"}


def _squares(net: nn.Module) -> Tensors:
    # The sum of squares ranks channels as its root does.
    return {name: weight.detach().cpu().double() ** 2 for name, weight in _weights(net).items()}


def _taylor_terms(net: nn.Module, data: PruningData) -> Tensors:
    """Return weight times gradient of the loss, summed over samples, which ranks as the mean."""
    weights: Tensors = dict(_weights(net))
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for X, y, _ in data.batches():
        for name, gradient in gradients(data.losses(net, X, y).sum(), weights).items():
            total[name] += gradient
    return {name: (weights[name] * total[name]).detach().cpu() for name in weights}
