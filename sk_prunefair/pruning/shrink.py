"""Smaller nets: check kept channels, and build the net that has only those."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from sk_prunefair.pruning._resize import resize
from sk_prunefair.pruning.heads import resize_heads
from sk_prunefair.pruning.masks import Masks

Kept = dict[str, tuple[torch.Tensor | None, ...]]
"""By parameter or buffer name: the kept indices of each dimension, None for a whole one."""


def shrink_module(
    module: nn.Module, kept: Mapping[str, Sequence[torch.Tensor | None]]
) -> nn.Module:
    """Return a smaller net that has only the kept channels.

    Parameters
    ----------
    module : torch.nn.Module
        The dense net; not changed.
    kept : mapping of str to sequence of torch.Tensor or None
        For each parameter or buffer that gets smaller, the kept indices of each of its dimensions,
        of dtype int64, sorted; None for an unchanged dimension.

    Returns
    -------
    torch.nn.Module
        A copy with smaller tensors and with sizes, such as ``in_channels`` and the number of heads
        of an attention, to match. The ``config`` of a transformers net remains that of the dense
        one.

    Raises
    ------
    ValueError
        If `kept` does not fit the net (see `check_kept`), resizes a layer other than linear,
        convolution, batch, layer and group norm, PReLU, embedding and the ``Conv1D`` of
        transformers, or splits a head or another part that must stay whole.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> two = torch.tensor([0, 2])
    >>> shrink_module(net, {"0.weight": (two, None), "0.bias": (two,), "2.weight": (None, two)})
    Sequential(
      (0): Linear(in_features=2, out_features=2, bias=True)
      (1): ReLU()
      (2): Linear(in_features=2, out_features=1, bias=True)
    )
    """
    check_kept(module, kept)
    small = copy.deepcopy(module)
    for owner, layer in small.named_modules():
        prefix = f"{owner}." if owner else ""
        parameters = dict(layer.named_parameters(recurse=False))
        tensors = parameters | dict(layer.named_buffers(recurse=False))
        cut = {name: kept[prefix + name] for name in tensors if prefix + name in kept}
        for name, dims in cut.items():
            part = tensors[name].detach()
            for dim, index in enumerate(dims):
                if index is not None:
                    part = part.index_select(dim, index.to(part.device))
            if name in parameters:
                part = nn.Parameter(part, requires_grad=parameters[name].requires_grad)
            setattr(layer, name, part)
        if cut:
            resize(owner, layer)
    resize_heads(small, kept)
    return small


def kept_masks(module: nn.Module, kept: Mapping[str, Sequence[torch.Tensor | None]]) -> Masks:
    """Return masks over the dense net's parameters, True for weights that the smaller net keeps.

    With them a copy of the dense net can replace the smaller one: every weight, bias and norm
    parameter of a removed channel is masked, so that the outputs in evaluation mode are the same,
    unless channels are mixed before the next weight, as by layer norm.

    Parameters
    ----------
    module : torch.nn.Module
        The dense net.
    kept : mapping of str to sequence of torch.Tensor or None
        As for `shrink_module`.

    Returns
    -------
    dict of str to torch.Tensor
        Boolean masks by parameter name, True where a weight is kept; for the parameters that get
        smaller.

    Raises
    ------
    ValueError
        If `kept` does not fit the net.

    Examples
    --------
    >>> kept_masks(nn.Linear(3, 2), {"weight": (torch.tensor([1]), torch.tensor([0, 2]))})
    {'weight': tensor([[False, False, False],
            [ True, False,  True]])}
    """
    check_kept(module, kept)
    masks: Masks = {}
    for name, parameter in module.named_parameters():
        if name in kept:
            mask = torch.ones(parameter.shape, dtype=torch.bool, device=parameter.device)
            for dim, index in enumerate(kept[name]):
                if index is not None:
                    stays = torch.zeros_like(mask)
                    mask &= stays.index_fill_(dim, index.to(mask.device), True)
            masks[name] = mask
    return masks


def expand_module(
    dense: nn.Module, small: nn.Module, kept: Mapping[str, Sequence[torch.Tensor | None]]
) -> nn.Module:
    """Return a smaller net in the shape of the dense one, with zeros for what was removed.

    In evaluation mode its outputs are those of the smaller net, with the exceptions of
    `kept_masks`; its parameters can be compared with those of the dense net, as the theory does.

    Parameters
    ----------
    dense : torch.nn.Module
        The dense net; not changed.
    small : torch.nn.Module
        The result of `shrink_module`, trained or not.
    kept : mapping of str to sequence of torch.Tensor or None
        As for `shrink_module`.

    Returns
    -------
    torch.nn.Module
        A copy of the dense net with other values.

    Examples
    --------
    >>> dense, kept = nn.Linear(1, 3), {"weight": (torch.tensor([1]), None)}
    >>> kept["bias"] = (torch.tensor([1]),)
    >>> full = expand_module(dense, shrink_module(dense, kept), kept)
    >>> bool(full.weight[1] == dense.weight[1]), full.weight[::2].tolist()
    (True, [[0.0], [0.0]])
    """
    check_kept(dense, kept)
    full = copy.deepcopy(dense)
    tensors = full.state_dict()  # these share memory with the net
    for name, value in small.state_dict().items():
        if name not in kept:
            tensors[name].copy_(value)
            continue
        indices = [
            torch.arange(size) if index is None else index
            for index, size in zip(kept[name], tensors[name].shape, strict=True)
        ]
        places = torch.meshgrid(*(index.to(value.device) for index in indices), indexing="ij")
        tensors[name].zero_()[places] = value
    return full


def check_kept(module: nn.Module, kept: Mapping[str, Sequence[torch.Tensor | None]]) -> None:
    """Raise an error if indices do not fit a net.

    Parameters
    ----------
    module : torch.nn.Module
        The dense net.
    kept : mapping of str to sequence of torch.Tensor or None
        As for `shrink_module`; it may come from an untrusted file.

    Raises
    ------
    ValueError
        If a name is not a parameter or buffer of the net, there is not one entry per dimension, or
        indices are not int64, one-dimensional, not empty, sorted, unique and in range.

    Examples
    --------
    >>> check_kept(nn.Linear(3, 2), {"weight": (None, torch.tensor([0, 3]))})
    Traceback (most recent call last):
        ...
    ValueError: kept['weight'][1] must hold indices from 0 to 2, got 0 to 3
    """
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for name, dims in kept.items():
        if name not in tensors:
            raise ValueError(
                f"kept must name parameters or buffers, got {name!r}; the names are "
                f"{list(tensors)[:10]}"
            )
        shape = tuple(tensors[name].shape)
        if not isinstance(dims, (tuple, list)) or len(dims) != len(shape):
            raise ValueError(
                f"kept[{name!r}] must hold indices or None for each dimension of shape {shape}, "
                f"got {dims!r}"
            )
        for dim, index in enumerate(dims):
            if index is not None:
                _check_index(f"kept[{name!r}][{dim}]", index, shape[dim])


def _check_index(name: str, index: object, size: int) -> None:
    if not isinstance(index, torch.Tensor) or index.dtype != torch.int64 or index.ndim != 1:
        found = f"{index.dtype}, {index.ndim} dims" if isinstance(index, torch.Tensor) else index
        raise ValueError(f"{name} must be an int64 tensor of one dimension or None, got {found!r}")
    if not len(index):
        raise ValueError(f"{name} must keep at least one index, got none")
    if not bool((index.diff() > 0).all()):
        raise ValueError(f"{name} must be sorted and without repetitions, got {index}")
    first, last = int(index[0]), int(index[-1])
    if first < 0 or last >= size:
        raise ValueError(f"{name} must hold indices from 0 to {size - 1}, got {first} to {last}")
