"""Choose a form for each layer of a net, as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from sk_prunefair.export._sparse_forms import (
    DENSE,
    Choice,
    choose,
    forms_of,
    matrix_of,
    sparsity_of,
)

COLUMNS = [
    "layer",
    "kind",
    "shape",
    "input",
    "sparsity",
    "form",
    "seconds_dense",
    "seconds_chosen",
    "speedup",
    "why",
]


def choose_all(
    net: nn.Module, inputs: Mapping[str, tuple[torch.Tensor, int]]
) -> tuple[list[dict[str, Any]], dict[str, nn.Module]]:
    """Choose a form for each layer; similar layers (shape, sparsity) are timed once.

    Parameters
    ----------
    net : torch.nn.Module
        A net with dense layers.
    inputs : mapping of str to tuple of (torch.Tensor, int)
        As `inputs_of` returns them.

    Returns
    -------
    rows : list of dict
        A row of the table for each layer.
    new : dict of str to torch.nn.Module
        Replacements of some layers, by name.
    """
    rows: list[dict[str, Any]] = []
    new: dict[str, nn.Module] = {}
    known: dict[Any, Choice] = {}
    for name, (given, n) in inputs.items():
        layer = net.get_submodule(name)
        key, forms = _alike(layer, given), forms_of(layer, n)
        if key not in known or known[key].form not in (DENSE, *forms):
            known[key] = choose(layer, forms, given)
        choice = known[key]
        if choice.form != DENSE:
            new[name] = forms[choice.form]()
        shape = tuple(layer.weight.shape)  # type: ignore[arg-type]
        kind, zeros = type(layer).__name__, sparsity_of(matrix_of(layer))
        rows.append(row_of(name, kind, shape, given, zeros, choice))
    return rows, new


def _alike(layer: nn.Module, given: torch.Tensor) -> Any:
    """Return the key that layers share of which only one is timed: shapes, and sparsity."""
    weight = matrix_of(layer)
    kept = max(1 - sparsity_of(weight), 1e-9)
    is_live = (weight != 0).flatten(1)
    dead = [round(20 * is_live.any(dim=d).double().mean().item()) for d in (0, 1)]
    # Shares of kept weights that differ by less than a seventh are treated as equal.
    zeros = (round(np.log(kept) / np.log(1.15)), *dead)
    return (type(layer), layer.extra_repr(), weight.dtype, given.shape, given.stride(), zeros)


def row_of(
    name: str,
    kind: str,
    shape: tuple[int, ...],
    given: torch.Tensor,
    sparsity: float,
    choice: Choice,
) -> dict[str, Any]:
    """Return a row of the table, with the keys of ``COLUMNS``."""
    return {
        "layer": name,
        "kind": kind,
        "shape": shape,
        "input": tuple(given.shape),
        "sparsity": sparsity,
        "form": choice.form,
        "seconds_dense": choice.dense,
        "seconds_chosen": choice.chosen,
        "speedup": choice.dense / choice.chosen,
        "why": choice.why,
    }


def kept_dense(row: Mapping[str, Any], why: str) -> dict[str, Any]:
    """Return the row of a layer that stays dense in the end."""
    return {
        **row,
        "form": DENSE,
        "seconds_chosen": row["seconds_dense"],
        "speedup": 1.0,
        "why": why,
    }
