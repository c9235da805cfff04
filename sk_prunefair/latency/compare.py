"""Compare the latency of models on the same input, by alternating calls."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import nn

from sk_prunefair.checks import check_count, check_number
from sk_prunefair.data.sources import as_source, count_rows, take_rows
from sk_prunefair.latency.reading import COLUMNS, counted
from sk_prunefair.latency.settings import checked_sizes, checked_threads, threads_set_to
from sk_prunefair.latency.turns import Clock, take_turns
from sk_prunefair.nested import float_dtype, n_rows, run, take, tensors_of, to

OPTIONS = ("batch_sizes", "threads", "n_rounds", "seconds")
"""Options of `compare_latency` that a user of a report may set."""


@dataclass(frozen=True)
class Made:
    """A contender that is built, untimed, for each batch size and number of threads.

    Parameters
    ----------
    make : callable
        Function of a batch and a number of threads that returns a module or a function of the
        batch. The contender is left out if it raises an error.
    """

    make: Callable[[Any, int], Any]


def compare_latency(
    contenders: Mapping[str, Any],
    X: Any,
    *,
    batch_sizes: int | Sequence[int] = (1, 64),
    threads: int | Literal["all"] | Sequence[int | Literal["all"]] = (1, "all"),
    n_rounds: int = 30,
    seconds: float = 10.0,
    clock: Clock = time.perf_counter,
) -> pd.DataFrame:
    """Measure how long models take for the same input, by alternating calls.

    In each round every contender runs once, and the next round begins with another one, so that
    other load on the machine affects all equally. Up to three rounds of warm-up come first.

    Parameters
    ----------
    contenders : dict of str to torch.nn.Module, callable or Made
        By name. Modules run in evaluation mode, without gradients, on their device; for a dict they
        get ``module(**X)``. Functions get X.
    X : torch.Tensor, array-like, DataFrame, sparse matrix, or dict of such, of shape (n_samples, …)
        The input. Samples are repeated to fill a larger batch.
    batch_sizes : int or sequence of int, default=(1, 64)
        Number of samples per call.
    threads : int, "all" or sequence of such, default=(1, "all")
        Number of threads of torch, OpenMP and BLAS; "all" means the physical cores that the
        process may use. The previous settings are restored afterwards.
    n_rounds : int, default=30
        Largest number of rounds.
    seconds : float, default=10.0
        Time for all rounds, split equally over the remaining batch sizes and threads. A round
        is always completed, and there are at least three of each, so that large models take longer.
    clock : callable, default=time.perf_counter
        Function that returns the time in seconds.

    Returns
    -------
    pandas.DataFrame
        ``contender``, ``batch_size``, ``threads``; ``seconds`` of a call, the median of the rounds,
        and their quartiles ``seconds_q25``, ``seconds_q75``; ``speedup``, the median over rounds of
        the seconds of the first contender divided by those of this one; ``n_rounds``. Its ``attrs``
        hold as ``left_out`` the contenders that could not be made, with reasons; those that could
        be made for some batch sizes and threads have rows for these.

    Raises
    ------
    RuntimeError
        If a contender raises an error; the message has its name.
    TypeError, ValueError
        If an argument is malformed, or a contender returns another number of rows than its input
        has.

    Examples
    --------
    >>> small, large = nn.Linear(8, 2), nn.Sequential(nn.Linear(8, 4096), nn.Linear(4096, 2))
    >>> table = compare_latency(
    ...     {"large": large, "small": small}, torch.zeros(8, 8), batch_sizes=8, threads=1
    ... )
    >>> table[["contender", "batch_size", "threads"]].to_numpy().tolist()
    [['large', 8, 1], ['small', 8, 1]]
    >>> bool((table["seconds"] > 0).all())
    True
    """
    if not isinstance(contenders, Mapping) or not contenders:
        raise ValueError(f"contenders must be a dict with at least one model, got {contenders!r}")
    for name, contender in contenders.items():
        if not isinstance(contender, Made) and not callable(contender):
            raise TypeError(
                f"contenders[{name!r}] must be a torch module or a function of X, got "
                f"{type(contender).__name__}"
            )
    check_count("n_rounds", n_rounds)
    check_number("seconds", seconds, above=0)
    settings = [(size, n) for size in checked_sizes(batch_sizes) for n in checked_threads(threads)]
    left = float(seconds)
    rows: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    with evaluating(contenders.values()), torch.no_grad():
        for i, (size, n) in enumerate(settings):
            batch = first_rows(X, size)
            with threads_set_to(n):
                runs = _runs(contenders, batch, n, left_out, {row["contender"] for row in rows})
                start, share = clock(), left / (len(settings) - i)
                taken = take_turns(runs, n_rounds, n_warm_up=2, seconds=share, clock=clock)
                left -= clock() - start
            rows += _rows(taken, size, n)
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame.attrs["left_out"] = left_out
    return frame


def first_rows(X: Any, n: int) -> Any:
    """Return the first rows of X, repeated from the beginning if X has fewer.

    >>> first_rows(torch.tensor([1, 2]), 3)
    tensor([1, 2, 1])
    """
    there = rows_of(X)
    if not there:
        raise ValueError("X must hold at least one sample, got none")
    if tensors_of(X):
        return take(X, torch.arange(n) % there)
    return take_rows(X, np.arange(n) % there)


def rows_of(X: Any) -> int:
    """Return the number of samples of an input."""
    return n_rows(X) if tensors_of(X) else count_rows(X)


def _runs(
    contenders: Mapping[str, Any],
    batch: Any,
    n_threads: int,
    left_out: dict[str, str],
    timed: Collection[str],
) -> dict[str, Callable[[], Any]]:
    """Return a call of each contender, tried once; add those that fail to ``left_out``.

    A contender that fails the first time is not tried again; ``timed`` are the others.
    """
    n = rows_of(batch)
    where = f"{counted(n, 'sample')}, {counted(n_threads, 'thread')}"
    runs: dict[str, Callable[[], Any]] = {}
    for name, contender in contenders.items():
        made = contender
        if isinstance(contender, Made):
            if name in left_out and name not in timed:
                continue
            try:
                made = contender.make(batch, n_threads)
            except Exception as error:  # user code may raise any error
                why = str(error).strip().partition("\n")[0] or type(error).__name__
                said = f"{why} ({where})" if name in timed else why
                left_out[name] = f"{left_out[name]}; {said}" if name in left_out else said
                continue
        call = _named(name, call_of(made, batch), where)
        _check_rows(name, call(), n)
        runs[name] = call
    return runs


def call_of(model: Any, batch: Any) -> Callable[[], Any]:
    """Return a call of a model, with its input converted beforehand."""
    if not isinstance(model, nn.Module):
        return lambda: model(batch)
    if not tensors_of(batch):
        table = np.asarray(batch) if isinstance(batch, (pd.DataFrame, list)) else batch
        batch = as_source(table).fetch(torch.arange(count_rows(batch))).X
    device = next((tensor.device for tensor in model.parameters()), None)
    placed = to(batch, device, float_dtype(model))
    return lambda: run(model, placed)


def _named(name: str, call: Callable[[], Any], where: str) -> Callable[[], Any]:
    def named() -> Any:
        try:
            return call()
        except Exception as error:
            raise RuntimeError(
                f"contender {name!r} raised {type(error).__name__} for {where}: {error}"
            ) from error

    return named


def _check_rows(name: str, output: Any, n: int) -> None:
    """Raise ValueError if a contender returned another number of rows."""
    first = output[0] if isinstance(output, tuple) and output else output
    shape = getattr(first, "shape", None)
    if shape and shape[0] != n:
        raise ValueError(f"contender {name!r} returned {shape[0]} rows for {n} samples")


def _rows(taken: Mapping[str, Sequence[float]], size: int, n_threads: int) -> list[dict[str, Any]]:
    found = []
    reference = np.asarray(next(iter(taken.values()), ()))
    for name, each in taken.items():
        low, median, high = np.quantile(each, [0.25, 0.5, 0.75])
        with np.errstate(divide="ignore", invalid="ignore"):  # the clock may be too coarse
            speedup = float(np.median(reference / np.asarray(each)))
        values = (name, size, n_threads, median, low, high, speedup, len(each))
        found.append(dict(zip(COLUMNS, values, strict=True)))
    return found


@contextlib.contextmanager
def evaluating(contenders: Iterable[Any]) -> Iterator[None]:
    """Set modules to evaluation mode; the mode of each submodule is restored afterwards."""
    parts = [p for c in contenders if isinstance(c, nn.Module) for p in c.modules()]
    modes = [part.training for part in parts]
    try:
        for part in parts:
            part.training = False
        yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode
