"""Prepare a net as a whole, and choose the fastest of its forms."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from sk_prunefair.export._sparse_attention import ProjectedAttention, is_projected
from sk_prunefair.export._sparse_copy import attention_as_modules, with_layers
from sk_prunefair.export._sparse_dead import remove_dead
from sk_prunefair.export._sparse_forms import LEAST_SPARSITY, seconds_of, sparsity_of
from sk_prunefair.export._sparse_norms import fold_norms
from sk_prunefair.export._sparse_trace import Trace
from sk_prunefair.nested import map_tensors, run, tensors_of

# More than for layers, as nets take longer and are few.
_ROUNDS = 5


class ChannelsLast(nn.Module):
    """A net with images in channels-last memory format.

    Parameters
    ----------
    module : torch.nn.Module
        Not changed.

    Examples
    --------
    >>> net, X = nn.Conv2d(2, 3, 3).eval(), torch.ones(1, 2, 5, 5)
    >>> torch.allclose(ChannelsLast(net)(X), net(X), atol=1e-5)
    True
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the module's output; tensors are converted back to contiguous memory."""
        output = self.module(
            *map_tensors(_pixel_by_pixel, args), **map_tensors(_pixel_by_pixel, kwargs)
        )
        return output.contiguous() if isinstance(output, torch.Tensor) else output


def _pixel_by_pixel(X: torch.Tensor) -> torch.Tensor:
    return X.contiguous(memory_format=torch.channels_last) if X.ndim == 4 else X


@dataclass(frozen=True)
class Candidate:
    """A form of a net.

    Parameters
    ----------
    name : str
        Name in the table.
    module : torch.nn.Module
        Itself.
    is_sparse : bool
        Whether some layers are not dense.
    why : str
        Description of the changes.
    """

    name: str
    module: nn.Module
    is_sparse: bool
    why: str


def prepare(dense: nn.Module, X: Any, expected: Any, tolerance: float) -> tuple[nn.Module, str]:
    """Fold batch norms and remove dead channels, if the net can be traced.

    Parameters
    ----------
    dense : torch.nn.Module
        Not changed.
    X : object
        Its input.
    expected : object
        Its outputs.
    tolerance : float
        Accepted change of the outputs; with a larger one, nothing is done.

    Returns
    -------
    module : torch.nn.Module
        The dense net itself if nothing was done.
    why : str
        The changes, or the reason why there are none.
    """
    try:
        folded, n_norms = fold_norms(Trace(dense, X))
        small, n_dead = remove_dead(Trace(folded, X))
        worst = difference(expected, small, X, tolerance) if n_norms or n_dead else None
    except (ValueError, RuntimeError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        return dense, f"batch norms and dead channels are kept: {reason}"
    if worst is not None:
        return dense, f"batch norms and dead channels are kept: {worst}"
    told = [f"{n_norms} batch norms folded"] * bool(n_norms)
    told += [f"{n_dead} dead channels removed"] * bool(n_dead)
    return small, ", ".join(told)


def attentions_of(net: nn.Module) -> dict[str, nn.Module]:
    """Return torch's attentions with projections as layers, if these are sparse enough."""
    found: dict[str, nn.Module] = {}
    for name, part in net.named_modules():
        if is_projected(part):
            made = ProjectedAttention(part)
            layers = [each for each in made.modules() if isinstance(each, nn.Linear)]
            if any(sparsity_of(each.weight) >= LEAST_SPARSITY for each in layers):
                found[name] = made
    return found


def candidates_of(
    dense: nn.Module, prepared: nn.Module, sparse: nn.Module | None, why: str, X: Any
) -> list[Candidate]:
    """Return the forms of a net, the dense one first.

    Parameters
    ----------
    dense, prepared, sparse : torch.nn.Module
        The original, the net from `prepare`, and the net with other layers; None if there is none.
    why : str
        Description of the preparation.
    X : object
        The input.
    """
    found = [Candidate("dense", dense, False, "" if prepared is not dense else why)]
    is_changed = prepared is not dense
    done = why if is_changed else ""
    has_images = any(isinstance(part, nn.Conv2d) for part in prepared.modules()) and any(
        tensor.ndim == 4 for tensor in tensors_of(X)
    )
    forms = [("sparse layers", sparse, True)] if sparse is not None else []
    forms += [("no sparse layers", prepared, False)] if is_changed or has_images else []
    for name, module, is_sparse in forms:
        if is_changed or is_sparse:
            found.append(Candidate(name, module, is_sparse, done))
        if has_images:
            last = ChannelsLast(module)
            found.append(Candidate(f"{name}, channels last", last, is_sparse, done))
    return found


def fastest(candidates: list[Candidate], X: Any) -> tuple[int, pd.DataFrame]:
    """Time nets alternately, and return the fastest.

    Parameters
    ----------
    candidates : list of Candidate
        Forms, the dense one first.
    X : object
        The input.

    Returns
    -------
    best : int
        Position of the fastest, by the median of the ratios to the dense one within a round.
    table : pandas.DataFrame
        A row for each: ``net``, ``seconds``, ``speedup``, ``chosen`` and ``why``.
    """
    seconds = np.full((1, 1), np.nan)
    gains = np.ones(1)
    if len(candidates) > 1:
        calls = [lambda X, net=each.module: run(net, X) for each in candidates]
        seconds = seconds_of(calls, X, n_rounds=_ROUNDS)
        gains = np.median(seconds[:, :1] / seconds, axis=0)
    best = int(gains.argmax())
    table = pd.DataFrame(
        {
            "net": [each.name for each in candidates],
            "seconds": np.median(seconds, axis=0),
            "speedup": gains,
            "chosen": np.arange(len(candidates)) == best,
            "why": [each.why for each in candidates],
        }
    )
    return best, table


@torch.no_grad()
def difference(expected: Any, net: nn.Module, X: Any, tolerance: float) -> str | None:
    """Return a description of how outputs differ from the expected ones, or None if they agree.

    Parameters
    ----------
    expected : object
        Outputs of the dense net.
    net : torch.nn.Module
        The other one.
    X : object
        The input.
    tolerance : float
        As `sparse_module` takes it.
    """
    with attention_as_modules():
        found = run(net, X)
    for before, after in zip(tensors_of(expected), tensors_of(found), strict=True):
        before, after = before.double(), after.double()
        if not before.numel():
            continue
        scale = max(1.0, before.abs().max().item())
        worst = (before - after).abs().max().item()
        if not worst <= tolerance * scale:
            return (
                f"outputs for example differ by {worst:.3g}, more than tolerance={tolerance:g} "
                f"times {scale:.3g}"
            )
    return None


def with_attentions(
    net: nn.Module, attentions: dict[str, nn.Module], changed: Iterable[str]
) -> nn.Module:
    """Return the net with the attentions that have a changed layer; others keep torch's code."""
    changed = list(changed)
    used = {
        name: part
        for name, part in attentions.items()
        if any(layer.startswith(f"{name}." if name else "") for layer in changed)
    }
    return with_layers(net, used) if used else net
