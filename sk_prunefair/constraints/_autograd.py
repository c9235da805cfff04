"""Derivatives of group losses, for the constraints of eq. 6."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import nn

from sk_prunefair.autodiff import flat_gradient, lanczos
from sk_prunefair.pruning import prunable_parameters

Layers = int | Literal["all"]


def chosen_parameters(module: nn.Module, layers: Layers) -> dict[str, nn.Parameter]:
    """Return all trainable parameters, or the last `layers` trainable weight tensors."""
    named = dict(module.named_parameters()) if layers == "all" else prunable_parameters(module)
    trainable = [(name, value) for name, value in named.items() if value.requires_grad]
    if not trainable:
        kind = "parameters" if layers == "all" else "weight tensors"
        raise ValueError(
            f"layers={layers!r} selects no trainable parameter: all {kind} of module are frozen"
        )
    return dict(trainable if layers == "all" else trainable[-layers:])


def flat_mask(named: dict[str, nn.Parameter], masks: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the masks of these parameters as one vector, True where there is no mask."""
    ones = {name: torch.ones_like(value, dtype=torch.bool) for name, value in named.items()}
    return torch.cat([masks.get(name, one).to(one.device).flatten() for name, one in ones.items()])


def group_weights(group: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the groups with a positive weight, and the weights of each as a row that sums to 1."""
    sizes = torch.bincount(group, weight)
    codes = sizes.nonzero().flatten()
    return codes, (group == codes[:, None]) * weight / sizes[codes, None]


def first_rows(group: torch.Tensor, max_samples: int) -> torch.Tensor:
    """Return the first rows of each group, at most `max_samples`; batches are shuffled."""
    order = group.argsort(stable=True)
    counts = torch.bincount(group)
    place = torch.arange(len(group), device=group.device)
    rank = place - (counts.cumsum(0) - counts)[group[order]]
    return order[rank < max_samples]


def bounded(
    penalty: torch.Tensor, loss: torch.Tensor, max_ratio: float, module: nn.Module
) -> torch.Tensor:
    """Return the penalty with its gradient shortened to `max_ratio` times the loss's gradient."""
    parameters = [value for value in module.parameters() if value.requires_grad]
    pull = flat_gradient(penalty, parameters, retain_graph=True)
    norm = torch.linalg.vector_norm(pull).clamp(min=torch.finfo(pull.dtype).tiny)
    own = flat_gradient(loss, parameters, retain_graph=True)
    bound = max_ratio * torch.linalg.vector_norm(own)
    # A linear function with this gradient, so that the penalty's graph is not traversed again.
    weights = torch.cat([value.reshape(-1) for value in parameters])
    return penalty.detach() + (weights - weights.detach()) @ (pull * (bound / norm).clamp(max=1))


def top_eigenvector(
    product: Callable[[torch.Tensor], torch.Tensor], start: torch.Tensor, n_iter: int
) -> torch.Tensor:
    """Return the unit vector of largest vᵀHv in the Krylov space of `start` (Lanczos).

    Power iteration would find the eigenvalue of largest absolute value, which may be negative;
    a shift prevents that but slows it down. Lanczos needs no shift for the same products.
    """
    found = lanczos(product, start, k=1, tol=0.0, max_iter=n_iter, min_products=n_iter)
    return found.vector
