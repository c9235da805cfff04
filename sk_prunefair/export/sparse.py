"""A net that runs at its sparsity on a CPU, with the fastest measured form of each layer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import nn

from sk_prunefair.checks import check_number
from sk_prunefair.export._sparse_choose import COLUMNS, choose_all, kept_dense
from sk_prunefair.export._sparse_copy import inputs_of, plain_copy, with_layers
from sk_prunefair.export._sparse_forms import DENSE
from sk_prunefair.export._sparse_input import checked_example, checked_module
from sk_prunefair.export._sparse_net import (
    attentions_of,
    candidates_of,
    difference,
    fastest,
    prepare,
    with_attentions,
)
from sk_prunefair.nested import n_rows

if TYPE_CHECKING:
    from sk_prunefair.protocol import CoreNet


class SparseModule(nn.Module):
    """Result of `sparse_module`: a net for evaluation, and the forms chosen for its layers.

    Parameters
    ----------
    module : torch.nn.Module
        The net; its parameters require no gradients.
    choices, candidates : pandas.DataFrame
        As `sparse_module` describes them.
    summary : str
        Description of the choice, for ``str``.

    Attributes
    ----------
    module, choices, candidates
        As given.
    """

    def __init__(
        self, module: nn.Module, choices: pd.DataFrame, candidates: pd.DataFrame, summary: str
    ) -> None:
        super().__init__()
        self.module = module
        self.choices = choices
        self.candidates = candidates
        self.summary = summary
        self.eval()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the output of the dense module, within the tolerance."""
        return self.module(*args, **kwargs)

    def train(self, mode: bool = True) -> SparseModule:
        """Keep the evaluation mode.

        Raises
        ------
        RuntimeError
            If ``mode`` is True: train the dense module, and make another sparse one from it.
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

    First, if `torch.fx` can trace the net, batch norms are folded into the preceding layer,
    and constant and unused channels are removed, with their biases added to the following layers.
    Then each ``Linear`` (those of attention in Hugging Face models too), ``Conv1D`` of
    transformers, ``Conv2d`` and projection of `torch.nn.MultiheadAttention` is timed on its
    input for ``example``: dense; as a CSR product of MKL, whole and in blocks of rows or pixels, a
    k×k convolution by patches; and, if rows or columns of a weight are all
    zero, dense without those. Another form than dense is chosen if it is faster by a tenth
    or more in three rounds of four. Layers of equal shape and similar sparsity are timed once.
    Finally the net as a whole is timed: original, prepared, with the chosen layers, and, if it
    takes images, with channels last in memory; the fastest is returned.

    Parameters
    ----------
    source : torch.nn.Module or FairPrunedClassifier
        The net, on the CPU; for a classifier, the pruned one. It is not changed. Masks of
        `torch.nn.utils.prune` and parametrizations are made permanent in the result.
    example : array-like of shape (n_samples, ...) or dict of such
        Typical input of the net: the fastest form depends on the number of samples.
    tolerance : float, default=1e-4
        Accepted difference of outputs from the dense ones, as a share of the largest of them, or
        absolute if that is below 1, as sums are computed in another order.
    threads : int, default=None
        Number of torch's threads for the timing; None keeps the current one. The result runs with
        torch's number at that time.

    Returns
    -------
    SparseModule
        A module for evaluation, without gradients, that raises RuntimeError when set to training.
        ``choices`` has a row for each layer: ``layer``, ``kind``, ``shape`` of the weight,
        ``input`` shape, ``sparsity``, ``form``, ``seconds_dense`` and ``seconds_chosen`` for a call
        (medians; NaN if nothing was timed), ``speedup`` and ``why``. ``candidates`` has a row for
        each form of the whole net: ``net``, ``seconds``, ``speedup`` over the dense one, whether it
        was ``chosen``, and ``why``, a description of its changes. ``str`` shows both in plain text.

    Raises
    ------
    TypeError
        If source is neither a module nor a classifier.
    ValueError
        If the net is not on the CPU, the example is empty or not finite, or outputs differ by more
        than ``tolerance``.
    sklearn.exceptions.NotFittedError
        If the classifier is not fitted.

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
    dense = plain_copy(checked_module(source))
    X = checked_example(example, dense, source)
    with threads_set(threads):
        _, expected = inputs_of(dense, X)
        prepared, done = prepare(dense, X, expected, tolerance)
        attentions = attentions_of(prepared)
        split = with_layers(prepared, attentions) if attentions else prepared
        rows, new = choose_all(split, inputs_of(split, X)[0])
        sparse = with_layers(with_attentions(prepared, attentions, new), new) if new else None
        if sparse is not None and (wrong := difference(expected, sparse, X, tolerance)):
            raise ValueError(f"{wrong}; pass a larger tolerance, or a net in float64")
        nets = candidates_of(dense, prepared, sparse, done, X)
        best, candidates = fastest(nets, X)
        n_threads = torch.get_num_threads()
    if new and not nets[best].is_sparse:
        gain = candidates["speedup"][[each.is_sparse for each in nets]].max()
        why = f"sparse layers, but the whole net was {gain:.2f} × as fast with them"
        rows = [row if row["form"] == DENSE else kept_dense(row, why) for row in rows]
    choices = pd.DataFrame(rows, columns=COLUMNS)
    summary = summary_of(choices, candidates, n_rows(X), n_threads)
    return SparseModule(nets[best].module, choices, candidates, summary)


def summary_of(
    choices: pd.DataFrame, candidates: pd.DataFrame, n_samples: int, n_threads: int
) -> str:
    """Return both tables in plain text."""
    n_changed = int((choices["form"] != DENSE).sum())
    [chosen] = candidates[candidates["chosen"]].to_dict("records")
    lines = [
        f"SparseModule: {n_changed} of {len(choices)} layers in another form than dense; the net "
        f"{chosen['speedup']:.2f} × as fast for {n_samples} samples, {n_threads} thread(s)"
    ]
    told = f": {chosen['why']}" if chosen["why"] else ""
    lines += [f"  the whole net: {chosen['net']}{told}"]
    lines += [
        f"  {row['layer']} {row['kind']}{list(row['shape'])}, {row['sparsity']:.1%} zeros: "
        f"{row['form']} ({row['why']})"
        for row in choices.to_dict("records")
    ]
    return "\n".join(lines)


@contextmanager
def threads_set(threads: int | None) -> Iterator[None]:
    """Set torch's number of threads within a context; None keeps it."""
    before = torch.get_num_threads()
    if threads is not None:
        check_number("threads", threads, least=1)
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
