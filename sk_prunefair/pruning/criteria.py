"""What is least important: the criteria by which weights are removed."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import nn

from sk_prunefair.pruning.masks import Masks, keep_largest, prunable_parameters


@runtime_checkable
class Pruner(Protocol):
    """What `FairPrunedClassifier` asks of its ``pruner``."""

    def masks(self, module: nn.Module, rate: float) -> Masks:
        """Return boolean masks by parameter name, True where a weight of `module` is kept."""


class MagnitudePruner:
    """Remove the weights of smallest absolute value, over the whole net.

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Linear(2, 2)
    >>> net.weight.data = torch.tensor([[0.5, -2.0], [-0.1, 1.0]])
    >>> MagnitudePruner().masks(net, rate=0.5)
    {'weight': tensor([[False,  True],
            [False,  True]])}
    """

    def masks(self, module: nn.Module, rate: float) -> Masks:
        """Return the masks that keep the largest weights.

        Parameters
        ----------
        module : torch.nn.Module
            The dense net; not changed.
        rate : float
            Share of the prunable weights to remove, in [0, 1).

        Returns
        -------
        dict of str to torch.Tensor
            Boolean masks by parameter name, True where a weight is kept.
        """
        weights = prunable_parameters(module)
        return keep_largest({name: weight.abs() for name, weight in weights.items()}, rate)


PRUNERS: dict[str, type[Pruner]] = {"magnitude": MagnitudePruner}


def get_pruner(pruner: str | Pruner) -> Pruner:
    """Return the pruner of that name, or the given object.

    Parameters
    ----------
    pruner : str or Pruner
        ``"magnitude"``, or any object with a method ``masks(module, rate)``.

    Returns
    -------
    Pruner
        Ready to use.

    Raises
    ------
    ValueError
        If the name is unknown or the object has no method ``masks``.

    Examples
    --------
    >>> type(get_pruner("magnitude")).__name__
    'MagnitudePruner'
    """
    if isinstance(pruner, str) and pruner in PRUNERS:
        return PRUNERS[pruner]()
    if isinstance(pruner, Pruner) and not isinstance(pruner, type):
        return pruner
    raise ValueError(
        f"pruner must be one of {sorted(PRUNERS)} or an object with a method "
        f"masks(module, rate), got {pruner!r}"
    )
