"""Masks over weights: prunable parameters, the choice of kept weights, their application."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Masks = dict[str, torch.Tensor]

_NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.LocalResponseNorm,
    nn.RMSNorm,
)


# Submodules of layers wrapped by the package peft: adapters, and the unused original.
_ADAPTERS = {"lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B", "original_module"}


def is_norm(module: nn.Module) -> bool:
    """Tell whether a module is a normalisation layer."""
    return isinstance(module, _NORMS)


def prunable_parameters(module: nn.Module, include: Iterable[str] = ()) -> dict[str, nn.Parameter]:
    """Return the prunable weights, by name.

    These are the parameters called ``weight`` (or ``weight_…``, ``…_weight``) with two or more
    dimensions, outside normalisation layers: biases and norms are not pruned, nor are parametrized
    tensors (weight norm, spectral norm, orthogonal ones), whose zeros would be lost, and the
    adapters of the package peft, which are added to a layer's weight and can be merged into it. A
    tensor shared by two layers is listed once; frozen ones are included.

    Parameters
    ----------
    module : torch.nn.Module
        Any net.
    include : iterable of str, default=()
        Further parameters of any name: their names, or those of modules that hold them.

    Returns
    -------
    dict of str to torch.nn.Parameter
        In the order of ``module.named_parameters()``.

    Raises
    ------
    ValueError
        If there is nothing to prune.

    Examples
    --------
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    >>> list(prunable_parameters(net))
    ['0.weight', '2.weight']
    """
    modules = dict(module.named_modules())
    include = tuple(include)
    weights = {}
    for name, parameter in module.named_parameters():
        owner, _, leaf = name.rpartition(".")
        if "parametrizations." in name or parameter.ndim < 2 or is_norm(modules[owner]):
            continue
        if not _ADAPTERS.isdisjoint(name.split(".")):
            continue
        is_named = any(name == each or name.startswith(f"{each}.") for each in include)
        if "weight" in leaf or is_named:
            weights[name] = parameter
    if not weights:
        raise ValueError(
            f"module={type(module).__name__} has nothing to prune: no parameter named 'weight' "
            "with two or more dimensions outside normalisation layers"
        )
    return weights


def keep_largest(scores: Mapping[str, torch.Tensor], rate: float, min_kept: float = 0.0) -> Masks:
    """Keep the weights with the largest scores over all tensors together.

    Exactly ``round(rate * n)`` of the ``n`` weights are removed: among weights whose score equals
    the threshold, the first ones are removed.

    Parameters
    ----------
    scores : mapping of str to torch.Tensor
        One score per weight, larger for more important.
    rate : float
        Share to remove, in [0, 1).
    min_kept : float, default=0.0
        Least share of each tensor that is kept, in [0, 1), for any scores; rounded up.

    Returns
    -------
    dict of str to torch.Tensor
        Boolean masks, True where a weight is kept, on the devices of the scores.

    Raises
    ------
    ValueError
        If a score is NaN, as after a training that diverged, or the rate leaves fewer
        weights than `min_kept` requires.

    Examples
    --------
    >>> import torch
    >>> keep_largest({"a": torch.tensor([3.0, 1.0]), "b": torch.tensor([1.0, 2.0])}, rate=0.5)
    {'a': tensor([ True, False]), 'b': tensor([False,  True])}
    """
    parts = [_as_numpy(score).ravel() for score in scores.values()]
    n_removed = round(rate * sum(part.size for part in parts))
    if n_removed:
        if any(np.isnan(part.min(initial=np.inf)) for part in parts):  # no copy of the scores
            raise ValueError("the importance scores contain NaN; did the training diverge?")
        if min_kept:
            parts = _with_floor(parts, min_kept, n_removed)
    kept = _all_but_smallest(parts, n_removed)
    return {
        name: torch.from_numpy(part.reshape(tuple(score.shape))).to(score.device)
        for (name, score), part in zip(scores.items(), kept, strict=True)
    }


def _as_numpy(score: torch.Tensor) -> npt.NDArray[Any]:
    score = score.detach().cpu()
    return (score.float() if score.dtype == torch.bfloat16 else score).numpy()


def _all_but_smallest(parts: list[npt.NDArray[Any]], n_removed: int) -> list[npt.NDArray[np.bool_]]:
    if not n_removed:
        return [np.ones(part.size, dtype=bool) for part in parts]
    # The only copy of all scores is sorted in place, and freed before masks are created.
    flat = np.concatenate(parts)
    flat.partition(n_removed - 1)
    threshold = flat[n_removed - 1]
    del flat
    kept = [part >= threshold for part in parts]
    n_ties = n_removed - sum(int(np.count_nonzero(~keep)) for keep in kept)
    for part, keep in zip(parts, kept, strict=True):
        ties = np.flatnonzero(part == threshold)[:n_ties]
        keep[ties] = False
        n_ties -= len(ties)
    return kept


def _with_floor(
    parts: list[npt.NDArray[Any]], min_kept: float, n_removed: int
) -> list[npt.NDArray[Any]]:
    """Return the scores with infinity for the largest of each tensor."""
    if not 0 <= min_kept < 1:
        raise ValueError(f"min_kept must be in [0, 1), got {min_kept!r}")
    floors = [math.ceil(min_kept * part.size) for part in parts]
    n_weights = sum(part.size for part in parts)
    if n_weights - n_removed < sum(floors):
        raise ValueError(
            f"min_kept={min_kept} keeps {sum(floors)} of {n_weights} weights, but the rate leaves "
            f"{n_weights - n_removed}; lower one of them"
        )
    raised = [part.astype(np.float64) for part in parts]
    for part, floor in zip(raised, floors, strict=True):
        part[np.argsort(part, kind="stable")[part.size - floor :]] = np.inf
    return raised


def check_masks(
    module: nn.Module, masks: Mapping[str, torch.Tensor], rate: float | None = None
) -> Masks:
    """Return a pruner's masks, or raise an error if they are malformed.

    A layer that loses all of its weights raises a warning: unless a skip connection bypasses it,
    the net then gives the same prediction for every sample, also after fine-tuning.

    Parameters
    ----------
    module : torch.nn.Module
        The net of the masks.
    masks : mapping of str to torch.Tensor
        Result of the pruner.
    rate : float, default=None
        The requested rate, for the warning.

    Returns
    -------
    dict of str to torch.Tensor
        The same masks.

    Raises
    ------
    ValueError
        If a name is not a parameter of the net, or a mask is not boolean or of another shape.

    Warns
    -----
    UserWarning
        If a mask keeps nothing.

    Examples
    --------
    >>> import torch
    >>> list(check_masks(torch.nn.Linear(2, 1), {"weight": torch.tensor([[True, False]])}))
    ['weight']
    """
    parameters = dict(module.named_parameters())
    for name, mask in masks.items():
        if name not in parameters:
            raise ValueError(
                f"pruner returned a mask for {name!r}, but the parameters of module are "
                f"{list(parameters)[:10]}"
            )
        shape = tuple(parameters[name].shape)
        if mask.dtype != torch.bool or tuple(mask.shape) != shape:
            raise ValueError(
                f"pruner must return a boolean mask of shape {shape} for {name!r}, got "
                f"{mask.dtype} of shape {tuple(mask.shape)}"
            )
    empty = empty_layers(masks)
    if empty:
        at = "" if rate is None else f" at rate={rate:g}"
        warnings.warn(
            f"pruning removes all weights of {empty[:5]}{' and others' * (len(empty) > 5)}{at}: "
            "unless a skip connection bypasses them, every sample gets the same prediction, also "
            "after fine-tuning. A lower rate, scope='layer' or min_kept may help; check held-out "
            "data, as nets pruned with min_kept can be constant, too",
            stacklevel=2,
        )
    return dict(masks)


def empty_layers(masks: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the names of the parameters whose masks keep nothing.

    Examples
    --------
    >>> empty_layers({"a": torch.tensor([False]), "b": torch.tensor([True])})
    ['a']
    """
    return [name for name, mask in masks.items() if mask.numel() and not mask.any()]


@torch.no_grad()
def apply_masks(module: nn.Module, masks: Mapping[str, torch.Tensor]) -> None:
    """Set the weights that the masks remove to zero, in place.

    Parameters
    ----------
    module : torch.nn.Module
        The net; changed in place.
    masks : mapping of str to torch.Tensor
        Boolean masks by parameter name.

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Linear(2, 1)
    >>> apply_masks(net, {"weight": torch.tensor([[True, False]])})
    >>> net.weight[0, 1].item()
    0.0
    """
    for name, mask in masks.items():
        # Multiplication would keep NaN and turn negative weights into -0.0.
        module.get_parameter(name).masked_fill_(~mask, 0.0)


def sparsity(masks: Mapping[str, torch.Tensor]) -> float:
    """Return the share of the prunable weights that the masks remove.

    Parameters
    ----------
    masks : mapping of str to torch.Tensor
        Boolean masks; empty for a net that is not pruned.

    Returns
    -------
    float
        In [0, 1).

    Examples
    --------
    >>> import torch
    >>> sparsity({"weight": torch.tensor([True, False, False, False])})
    0.75
    """
    n_weights = sum(mask.numel() for mask in masks.values())
    n_kept = sum(int(mask.sum()) for mask in masks.values())
    return 1.0 - n_kept / n_weights if n_weights else 0.0
