"""Candidate forms of a layer, and the choice of the fastest by timing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sk_prunefair.export._sparse_live import LiveConv2d, LiveLinear
from sk_prunefair.export.sparse_layers import (
    SparseConv2d,
    SparseLinear,
    even_padding,
)

DENSE = "dense"
# Rows of a linear layer, or pixels of a convolution, per block of the product.
_BLOCKS = (512, 128, 32)
# With fewer zeros a sparse product is never faster.
LEAST_SPARSITY = 0.5
# Least share of dead rows or columns for which a smaller layer is timed.
_LEAST_DEAD = 0.05
# Another form is chosen if it was at least this much faster in three rounds of four.
LEAST_GAIN = 1.1
_SLICE = 0.004  # least seconds of one measurement
# A form that takes this many times as long in the first round is not timed further.
_HOPELESS = 2.0

Form = Callable[[], nn.Module]


@dataclass(frozen=True)
class Choice:
    """The choice for a layer.

    Parameters
    ----------
    form : str
        Name of the form.
    dense, chosen : float
        Median seconds per call; NaN if nothing was measured.
    why : str
        One sentence.
    """

    form: str
    dense: float
    chosen: float
    why: str


def is_conv1d(layer: nn.Module) -> bool:
    """Tell whether a layer is the ``Conv1D`` of transformers, with a transposed weight."""
    kind = type(layer)
    return kind.__name__ == "Conv1D" and kind.__module__.startswith("transformers.")


def matrix_of(layer: nn.Module) -> torch.Tensor:
    """Return the weight of a layer as a matrix, outputs first."""
    weight = layer.weight
    assert isinstance(weight, torch.Tensor)
    return weight.detach().T if is_conv1d(layer) else weight.detach()


def sparsity_of(weight: torch.Tensor) -> float:
    """Return the share of zeros.

    Examples
    --------
    >>> sparsity_of(torch.tensor([0.0, 2.0]))
    0.5
    """
    return 1 - weight.count_nonzero().item() / max(weight.numel(), 1)


def forms_of(layer: nn.Module, n_rows: int) -> dict[str, Form]:
    """Return the forms of a layer other than the dense one, by name.

    Parameters
    ----------
    layer : torch.nn.Linear, torch.nn.Conv2d or Conv1D
        The dense layer.
    n_rows : int
        Number of rows of its input, or of pixels of its output.
    """
    weight = matrix_of(layer)
    is_float = weight.dtype in (torch.float32, torch.float64)
    if not is_float or not LEAST_SPARSITY <= sparsity_of(weight) < 1:
        return {}
    bias, live = layer.bias, (weight != 0).flatten(1)
    assert bias is None or isinstance(bias, torch.Tensor)
    forms: dict[str, Form] = {}
    if isinstance(layer, nn.Conv2d):
        conv = layer
        if is_even(conv):
            for name, block in csr_forms(n_rows, "pixels").items():
                forms[name] = lambda block=block: SparseConv2d(conv, block)  # type: ignore[misc]
        live = (weight != 0).flatten(2).any(dim=2)
    else:
        for name, block in csr_forms(n_rows, "rows").items():
            forms[name] = lambda block=block: SparseLinear(weight, bias, block)  # type: ignore[misc]
    dead = max(1 - live.any(dim=d).double().mean().item() for d in (0, 1))
    if dead >= _LEAST_DEAD and getattr(layer, "groups", 1) == 1:
        forms["dense, live rows and columns"] = lambda: (
            LiveConv2d(layer) if isinstance(layer, nn.Conv2d) else LiveLinear(weight, bias)
        )
    return forms


def is_even(conv: nn.Conv2d) -> bool:
    """Tell whether `even_padding` supports the padding of a convolution."""
    try:
        even_padding(conv)
    except ValueError:
        return False
    return True


def csr_forms(n_rows: int, what: str) -> dict[str, int]:
    """Return the block sizes of a CSR product, by the name of the form.

    Examples
    --------
    >>> csr_forms(64, "rows")
    {'csr': 512, 'csr, 32 rows at a time': 32}
    """
    blocks = [_BLOCKS[0], *(size for size in _BLOCKS[1:] if size < n_rows)]
    return {"csr" if size >= n_rows else f"csr, {size} {what} at a time": size for size in blocks}


def choose(layer: nn.Module, forms: dict[str, Form], X: torch.Tensor) -> Choice:
    """Return which form is fastest for an input.

    Parameters
    ----------
    layer : torch.nn.Module
        The dense layer.
    forms : dict of str to callable
        As `forms_of` returns them.
    X : torch.Tensor
        The input of the layer.
    """
    nan = float("nan")
    if not forms:
        return Choice(DENSE, nan, nan, "no other form for these weights")
    try:
        calls = [layer, *(form() for form in forms.values())]
        seconds = seconds_of(calls, X, hopeless=_HOPELESS)
    except RuntimeError as error:
        return Choice(DENSE, nan, nan, f"torch has no sparse product here: {error}")
    gains = seconds[:, :1] / seconds[:, 1:]
    medians, low = np.median(gains, axis=0), np.quantile(gains, 0.25, axis=0)
    is_clear = low >= LEAST_GAIN
    best = int(np.where(is_clear, medians, medians - medians.max()).argmax())
    name, (dense, chosen) = list(forms)[best], np.median(seconds[:, [0, best + 1]], axis=0)
    if not is_clear[best]:
        why = f"{name} was {medians[best]:.2f} × as fast: not clearly faster"
        return Choice(DENSE, float(dense), float(dense), why)
    why = f"{medians[best]:.2f} × as fast, {low[best]:.2f} × or more in three rounds of four"
    return Choice(name, float(dense), float(chosen), why)


@torch.no_grad()
def seconds_of(
    calls: Sequence[Callable[..., object]],
    X: object,
    n_rounds: int = 9,
    hopeless: float = np.inf,
) -> npt.NDArray[np.float64]:
    """Time calls alternately, every second round in reverse order.

    With one thread this is process time, which other processes do not affect.

    Parameters
    ----------
    calls : sequence of callable
        Functions of X.
    X : object
        The input.
    n_rounds : int, default=9
        Number of calls of each.
    hopeless : float, default=inf
        A call that takes this many times as long as the first one, before all rounds, is left out
        if it takes long enough to be measured reliably.

    Returns
    -------
    ndarray of shape (n_rounds, n_calls), dtype float64
        Seconds per call; infinity for a call that is left out.

    Raises
    ------
    RuntimeError
        If a call raises one.
    """
    is_fine = time.get_clock_info("process_time").resolution < 1e-5
    clock = time.process_time if torch.get_num_threads() == 1 and is_fine else time.perf_counter
    once = []
    for call in calls:
        call(X)
        start = clock()
        call(X)
        once.append(max(clock() - start, 1e-7))
    repeats = [max(1, round(_SLICE / each)) for each in once]
    limit = max(_SLICE, hopeless * once[0])
    timed = [which for which, each in enumerate(once) if which == 0 or each <= limit]
    seconds = np.full((n_rounds, len(calls)), np.inf)
    for number in range(n_rounds):
        for which in timed if number % 2 == 0 else reversed(timed):
            start = clock()
            for _ in range(repeats[which]):
                calls[which](X)
            seconds[number, which] = max(clock() - start, 1e-9) / repeats[which]
    return seconds
