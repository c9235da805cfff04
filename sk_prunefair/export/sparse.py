"""A net that runs at its sparsity on a CPU, layer by layer in the form that measured fastest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from sk_prunefair.checks import check_number
from sk_prunefair.export._sparse_copy import inputs_of, plain_copy, slow_attention, with_layers
from sk_prunefair.export._sparse_forms import (
    DENSE,
    Choice,
    choose,
    forms_of,
    matrix_of,
    seconds_of,
    sparsity_of,
)
from sk_prunefair.export._sparse_input import checked_example, checked_module
from sk_prunefair.nested import n_rows, run, tensors_of

if TYPE_CHECKING:
    from sk_prunefair.protocol import CoreNet

_COLUMNS = [
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


class SparseModule(nn.Module):
    """What `sparse_module` returns: a net for evaluation, and what was chosen for its layers.

    Parameters
    ----------
    module : torch.nn.Module
        The net; its parameters require no gradients.
    choices : pandas.DataFrame
        As `sparse_module` describes it.
    summary : str
        What was chosen, for ``str``.

    Attributes
    ----------
    module, choices
        As given.
    """

    def __init__(self, module: nn.Module, choices: pd.DataFrame, summary: str) -> None:
        super().__init__()
        self.module = module
        self.choices = choices
        self.summary = summary
        self.eval()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the dense module would."""
        return self.module(*args, **kwargs)

    def train(self, mode: bool = True) -> SparseModule:
        """Stay in evaluation mode.

        Raises
        ------
        RuntimeError
            If ``mode`` is True: train the dense module, and make another sparse one of it.
        """
        if mode:
            raise RuntimeError(
                "a sparse module is for evaluation; train the dense one and call sparse_module "
                "again"
            )
        super().train(False)
        return self

    def __repr__(self) -> str:
        return self.summary


def sparse_module(
    source: nn.Module | CoreNet,
    example: Any,
    *,
    tolerance: float = 1e-4,
    threads: int | None = None,
) -> SparseModule:
    """Return a net with the same outputs that runs at its sparsity on a CPU.

    Each ``Linear`` (those of attention in Hugging Face models too), ``Conv1D`` of transformers and
    ``Conv2d`` is timed on what it is given for ``example``: dense; as a CSR product of MKL, whole
    and in blocks of rows or pixels, a k×k convolution by way of its patches; and, where rows or
    columns of a weight are zero throughout, dense without those. Another form than dense is taken
    where it is faster by a tenth or more in three rounds of four. Layers of one shape and about one
    sparsity are timed once. A net that is not faster as a whole stays dense. Everything else, and
    `torch.nn.MultiheadAttention`, stays as it is.

    Parameters
    ----------
    source : torch.nn.Module or FairPrunedClassifier
        The net, on the CPU; of a classifier, the pruned one. It is not changed. Masks of
        `torch.nn.utils.prune` and parametrizations are applied for good in the result.
    example : array-like of shape (n_samples, ...) or dict of such
        What the net will be given: the fastest form depends on how many samples come at once.
    tolerance : float, default=1e-4
        How much an output may differ from the dense one, as a share of the largest of them, or
        outright where that is below 1: sums are in another order.
    threads : int, default=None
        For the timing, what torch is set to; None keeps that. The result runs with what torch is
        set to then.

    Returns
    -------
    SparseModule
        It evaluates, without gradients, and raises RuntimeError when set to training. ``choices``
        has a row for each layer: ``layer``, ``kind``, ``shape`` of the weight, ``input`` shape,
        ``sparsity``, ``form``, ``seconds_dense`` and ``seconds_chosen`` for a call (medians; NaN
        where nothing was timed), ``speedup`` and ``why``; ``str`` tells them in plain text.

    Raises
    ------
    TypeError
        If source is neither a module nor a classifier.
    ValueError
        If the net is not on the CPU, the example is empty or not finite, or outputs differ by more
        than ``tolerance``.
    sklearn.exceptions.NotFittedError
        If the classifier has no net yet.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 2))
    >>> _ = net[0].weight.data.mul_(torch.rand(256, 64) > 0.95)
    >>> X = torch.ones(8, 64)
    >>> fast = sparse_module(net, X)
    >>> torch.allclose(fast(X), net(X), atol=1e-4)
    True
    >>> fast.choices["layer"].tolist()
    ['0', '2']
    """
    check_number("tolerance", tolerance, least=0)
    module = checked_module(source)
    dense = plain_copy(module)
    X = checked_example(example, dense, source)
    with _threads(threads):
        inputs, expected = inputs_of(dense, X)
        rows, new = _choose_all(dense, inputs)
        fast = with_layers(dense, new)
        gain = 1.0
        if new:
            _check_outputs(expected, fast, X, tolerance)
            seconds = seconds_of([lambda X: run(dense, X), lambda X: run(fast, X)], X, n_rounds=3)
            gain = float(np.median(seconds[:, 0] / seconds[:, 1]))
        if gain < 1:
            fast, why = dense, f"sparse layers, but the whole net was {gain:.2f} × as fast"
            rows = [row if row["form"] == DENSE else _kept_dense(row, why) for row in rows]
        n_threads = torch.get_num_threads()
    choices = pd.DataFrame(rows, columns=_COLUMNS)
    return SparseModule(fast, choices, _summary(choices, max(gain, 1.0), n_rows(X), n_threads))


def _choose_all(
    dense: nn.Module, inputs: Mapping[str, tuple[torch.Tensor, int]]
) -> tuple[list[dict[str, Any]], dict[str, nn.Module]]:
    """Return a row of the table for each layer, and the layers that come in the place of some."""
    rows: list[dict[str, Any]] = []
    new: dict[str, nn.Module] = {}
    known: dict[Any, Choice] = {}
    for name, (given, n) in inputs.items():
        layer = dense.get_submodule(name)
        key, forms = _alike(layer, given), forms_of(layer, n)
        if key not in known or known[key].form not in (DENSE, *forms):
            known[key] = choose(layer, forms, given)
        choice = known[key]
        if choice.form != DENSE:
            new[name] = forms[choice.form]()
        rows.append(_row(name, layer, given, choice))
    return rows, new


def _alike(layer: nn.Module, given: torch.Tensor) -> Any:
    """Return what is equal for layers of which one is timed: shapes, and about the same zeros."""
    weight = matrix_of(layer)
    kept = max(1 - sparsity_of(weight), 1e-9)
    is_live = (weight != 0).flatten(1)
    dead = [round(20 * is_live.any(dim=d).double().mean().item()) for d in (0, 1)]
    # Shares of kept weights that differ by less than a seventh count as one.
    zeros = (round(np.log(kept) / np.log(1.15)), *dead)
    return (type(layer), layer.extra_repr(), weight.dtype, given.shape, given.stride(), zeros)


def _row(name: str, layer: nn.Module, given: torch.Tensor, choice: Choice) -> dict[str, Any]:
    return {
        "layer": name,
        "kind": type(layer).__name__,
        "shape": tuple(layer.weight.shape),  # type: ignore[arg-type]
        "input": tuple(given.shape),
        "sparsity": sparsity_of(matrix_of(layer)),
        "form": choice.form,
        "seconds_dense": choice.dense,
        "seconds_chosen": choice.chosen,
        "speedup": choice.dense / choice.chosen,
        "why": choice.why,
    }


def _kept_dense(row: Mapping[str, Any], why: str) -> dict[str, Any]:
    return {
        **row,
        "form": DENSE,
        "seconds_chosen": row["seconds_dense"],
        "speedup": 1.0,
        "why": why,
    }


def _summary(choices: pd.DataFrame, gain: float, n_samples: int, n_threads: int) -> str:
    n_changed = int((choices["form"] != DENSE).sum())
    lines = [
        f"SparseModule: {n_changed} of {len(choices)} layers in another form than dense; the net "
        f"{gain:.2f} × as fast for {n_samples} samples, {n_threads} thread(s)"
    ]
    lines += [
        f"  {row['layer']} {row['kind']}{list(row['shape'])}, {row['sparsity']:.1%} zeros: "
        f"{row['form']} ({row['why']})"
        for row in choices.to_dict("records")
    ]
    return "\n".join(lines)


@contextmanager
def _threads(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if threads is not None:
        check_number("threads", threads, least=1)
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def _check_outputs(expected: Any, fast: nn.Module, X: Any, tolerance: float) -> None:
    """Raise ValueError unless the outputs agree."""
    with slow_attention():
        found = run(fast, X)
    for before, after in zip(tensors_of(expected), tensors_of(found), strict=True):
        before, after = before.double(), after.double()
        scale = max(1.0, before.abs().max().item()) if before.numel() else 1.0
        worst = (before - after).abs().max().item() if before.numel() else 0.0
        if not worst <= tolerance * scale:
            raise ValueError(
                f"outputs for example differ by {worst:.3g}, more than tolerance={tolerance:g} "
                f"times {scale:.3g}; pass a larger tolerance, or a net in float64"
            )
