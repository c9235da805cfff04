"""Parameters that cannot be pruned, with errors and warnings about them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

import torch
from torch import nn

from sk_prunefair.pruning.masks import is_norm, prunable_parameters


def check_prunable(module: nn.Module) -> None:
    """Raise ValueError if a layer's weights are already computed by another tool.

    Parameters
    ----------
    module : torch.nn.Module
        The net.

    Raises
    ------
    ValueError
        If a layer was pruned by `torch.nn.utils.prune`, or has the old
        `torch.nn.utils.weight_norm`: its ``weight`` is computed in each forward pass.

    Examples
    --------
    >>> from torch.nn.utils import prune
    >>> check_prunable(prune.l1_unstructured(nn.Linear(2, 2), "weight", amount=0.5))
    Traceback (most recent call last):
        ...
    ValueError: module '' was pruned by torch.nn.utils.prune: make it permanent with \
torch.nn.utils.prune.remove(layer, 'weight') first
    """
    for name, part in module.named_modules():
        own = dict(part.named_parameters(recurse=False))
        buffers = dict(part.named_buffers(recurse=False))
        for parameter in own:
            tensor = parameter.removesuffix("_orig")
            if parameter.endswith("_orig") and f"{tensor}_mask" in buffers:
                raise ValueError(
                    f"module {name!r} was pruned by torch.nn.utils.prune: make it permanent with "
                    f"torch.nn.utils.prune.remove(layer, {tensor!r}) first"
                )
            if parameter.endswith("_g") and f"{parameter.removesuffix('_g')}_v" in own:
                tensor = parameter.removesuffix("_g")
                raise ValueError(
                    f"module {name!r} has the weight norm of torch.nn.utils.weight_norm: remove it "
                    f"with torch.nn.utils.remove_weight_norm(layer, {tensor!r}) first"
                )


def left_out(module: nn.Module, pruned: Iterable[str]) -> list[str]:
    """Return the names of weights with two or more dimensions that are not pruned.

    Parameters
    ----------
    module : torch.nn.Module
        The net.
    pruned : iterable of str
        Names of the pruned parameters.

    Returns
    -------
    list of str
        Parametrized tensors by their own name, such as ``"0.weight"``, and bare parameters.

    Examples
    --------
    >>> net = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), nn.Linear(2, 2))
    >>> left_out(net, ["1.weight"])
    ['0.weight']
    """
    pruned, found = set(pruned), []
    modules = dict(module.named_modules())
    for name, parameter in module.named_parameters():
        owner, _, _ = name.rpartition(".")
        inside, is_parametrized, tensor = name.partition("parametrizations.")
        if is_parametrized:
            plain = inside + tensor.split(".")[0]
            if parameter.ndim >= 2 and name not in pruned and plain not in found:
                found.append(plain)
        elif parameter.ndim >= 2 and name not in pruned and not is_norm(modules[owner]):
            found.append(name)
    return found


def warn_of_left_out(
    module: nn.Module, masks: Mapping[str, torch.Tensor], excluded: Iterable[str]
) -> None:
    """Warn of parameters that look like weights but are not pruned.

    Parameters
    ----------
    module : torch.nn.Module
        The net.
    masks : mapping of str to torch.Tensor
        Masks of the pruned parameters.
    excluded : iterable of str
        Modules and parameters that the user excluded.

    Warns
    -----
    UserWarning
        Once, with all names.
    """
    excluded = tuple(excluded)
    names = [
        name
        for name in left_out(module, {*masks, *prunable_parameters(module)})
        if not any(name == each or name.startswith(f"{each}.") for each in excluded)
    ]
    if names and masks:
        shown = ", ".join(names[:5]) + " and others" * (len(names) > 5)
        warnings.warn(
            f"not pruned, and not counted in the rate: {shown}. Parametrized weights, adapters and "
            "bare parameters are skipped; merge an adapter to prune the weights that it changes, "
            "list a bare parameter in pruner__include=[...] to prune it, and list what is meant to "
            "stay in pruner__exclude=[...]",
            UserWarning,
            stacklevel=2,
        )
