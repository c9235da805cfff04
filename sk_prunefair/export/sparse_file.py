"""Load a compact file as a sparse module: bits and values become CSR, without dense weights."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from sk_prunefair.export._archive import open_archive
from sk_prunefair.export._header import Header
from sk_prunefair.export._pruned import read_kept
from sk_prunefair.export._sparse_choose import COLUMNS, row_of
from sk_prunefair.export._sparse_copy import inputs_of, replace, sparse_layers
from sk_prunefair.export._sparse_fill import fill, skeleton
from sk_prunefair.export._sparse_forms import (
    DENSE,
    LEAST_GAIN,
    Choice,
    csr_forms,
    matrix_of,
    seconds_of,
    sparsity_of,
)
from sk_prunefair.export._sparse_input import checked_example
from sk_prunefair.export._sparse_net import Candidate, fastest
from sk_prunefair.export._steps import last_step
from sk_prunefair.export.sparse import SparseModule, summary_of, threads_set
from sk_prunefair.export.sparse_layers import SparseConv2d, SparseLinear
from sk_prunefair.nested import n_rows
from sk_prunefair.pruning.shrink import shrink_module

if TYPE_CHECKING:
    from sk_prunefair.protocol import CoreNet

# Largest dense size of a layer that is made dense for timing.
_SMALL = 2**24


def load_sparse(
    path: str | Path,
    target: nn.Module | CoreNet,
    example: Any,
    *,
    threads: int | None = None,
) -> SparseModule:
    """Load a file of `save_compact` as a net that runs at its sparsity on a CPU.

    The dense weights of large layers are never in memory: their bits and
    values become CSR matrices. This applies to all weights of ``Linear``, ``Conv1D``, ``Conv2d``
    and `torch.nn.MultiheadAttention` with a kept share of at most 0.3, at which a dense product
    is as fast. Layers of up to 16 MiB are then timed on the example, dense and sparse, as by
    `sparse_module`; for larger ones only the block size of the product is timed, and they
    stay sparse. Batch norms are not folded, and the net as a whole is not compared with the dense
    one, which is not loaded; for that use `load_compact` and `sparse_module`.

    Parameters
    ----------
    path : str or pathlib.Path
        The file. As in `load_compact` nothing in it is executed, and every size is checked.
    target : torch.nn.Module, FairPrunedClassifier or Pipeline that ends in one
        A net of the architecture of the dense one; it is not changed, and its values are not used.
        A module may be built under ``torch.device("meta")``, which needs no memory, as is done for
        a classifier that is not fitted.
    example : array-like of shape (n_samples, ...) or dict of such
        Typical input of the net.
    threads : int, default=None
        As in `sparse_module`.

    Returns
    -------
    SparseModule
        ``choices`` has a row for each layer that ran.

    Raises
    ------
    ValueError
        If the file is not of this format, is damaged or does not fit the target; if the target has
        tensors on the meta device that are not in the file; or if the example is empty or not
        finite.
    FileNotFoundError
        If there is no file.

    Examples
    --------
    >>> import tempfile
    >>> from sk_prunefair.export import save_compact
    >>> net = nn.Linear(64, 256)
    >>> _ = net.weight.data.mul_(torch.rand(256, 64) > 0.95)
    >>> path = Path(tempfile.mkdtemp()) / "net.zip"
    >>> save_compact(net, path)
    >>> with torch.device("meta"):
    ...     target = nn.Linear(64, 256)
    >>> X = torch.ones(8, 64)
    >>> torch.allclose(load_sparse(path, target, X)(X), net(X), atol=1e-4)
    True
    """
    source = last_step(target)
    with open_archive(path) as archive:
        header = Header.read(archive)
        template = source
        if not isinstance(source, nn.Module):
            from sk_prunefair.export._classifier import make_template  # imports scikit-learn

            template = make_template(source, header, archive.n_bytes)
        net = skeleton(template)
        kept = read_kept(archive, header, net)
        net = fill(shrink_module(net, kept) if kept else net, archive, header)
    X = checked_example(example, net, None if isinstance(source, nn.Module) else source)
    with threads_set(threads):
        rows, net = _in_fastest_forms(net, X)
        n_threads = torch.get_num_threads()
    whole = Candidate("sparse layers", net, True, "from a file, without the dense net")
    choices, candidates = pd.DataFrame(rows, columns=COLUMNS), fastest([whole], X)[1]
    return SparseModule(
        net, choices, candidates, summary_of(choices, candidates, n_rows(X), n_threads)
    )


def _in_fastest_forms(net: nn.Module, X: Any) -> tuple[list[dict[str, Any]], nn.Module]:
    """Return a row of the table for each layer, and the net with each layer in its fastest form."""
    sparse = [
        (name, part)
        for name, part in net.named_modules()
        if isinstance(part, (SparseLinear, SparseConv2d))
    ]
    inputs, _ = inputs_of(net, X, [*sparse_layers(net), *sparse])
    rows, new = [], {}
    known: dict[Any, tuple[int | None, Choice]] = {}
    for name, (given, n) in inputs.items():
        layer: Any = net.get_submodule(name)
        kind, shape = type(layer).__name__.removeprefix("Sparse"), tuple(layer.weight.shape)
        if isinstance(layer, (SparseLinear, SparseConv2d)):
            kept = len(layer.values)
            # As in `sparse_module`, layers of equal shape and similar sparsity are timed once.
            key = (type(layer), shape, given.shape, round(np.log(kept) / np.log(1.15)))
            if key not in known:
                known[key] = _choose(layer, n, given)
            block, choice = known[key]
            zeros = 1 - kept / np.prod(shape)
            if block is None:
                new[id(layer)] = layer.dense()
            else:
                layer.block = block
        else:
            zeros, why = sparsity_of(matrix_of(layer)), "fewer than 0.7 of its weights are zero"
            choice = Choice(DENSE, np.nan, np.nan, why)
        rows.append(row_of(name, kind, shape, given, float(zeros), choice))
    return rows, replace(net, new)


def _choose(
    layer: SparseLinear | SparseConv2d, n: int, given: torch.Tensor
) -> tuple[int | None, Choice]:
    """Return the block size of a product, or None for the dense layer."""
    blocks = csr_forms(n, "rows" if isinstance(layer, SparseLinear) else "pixels")
    calls: list[nn.Module] = []
    for block in blocks.values():
        made = copy.copy(layer)  # forms of the same tensors
        made.block = block
        calls.append(made)
    names = list(blocks)
    if np.prod(layer.shape) * layer.values.element_size() <= _SMALL:
        calls, names = [layer.dense(), *calls], [DENSE, *names]
    medians = np.median(seconds_of(calls, given), axis=0)
    best = int(medians.argmin())
    dense = float(medians[0]) if names[0] == DENSE else np.nan
    if names[0] == DENSE and dense < LEAST_GAIN * medians[best]:
        best = 0
    told = "too large to be dense for a while" if np.isnan(dense) else ""
    why = told or f"{dense / medians[best]:.2f} × as fast as dense"
    choice = Choice(names[best], dense, float(medians[best]), why)
    return blocks.get(names[best]), choice
