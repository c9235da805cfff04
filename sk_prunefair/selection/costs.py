"""Costs of candidates: latency, bytes, multiply-accumulates, or a user's function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from torch import nn

from sk_prunefair.checks import check_choice
from sk_prunefair.compare.sizes import stored_sizes
from sk_prunefair.compare.timing import models_latency
from sk_prunefair.compression import compression_summary
from sk_prunefair.data.sources import take_rows
from sk_prunefair.export import OnnxModule
from sk_prunefair.nested import take
from sk_prunefair.nested import to as placed
from sk_prunefair.selection._nets import split_steps
from sk_prunefair.selection.making import Made

COSTS = ("latency", "bytes", "macs")
LATENCY = ("batch_size", "threads", "n_rounds", "seconds")
_SUMMARY = {"bytes": "bytes_stored", "macs": "macs_pruned"}


def check_cost(cost: Any, latency: Any = None) -> None:
    """Raise ValueError unless a cost is known or a function, and how to measure it is."""
    if not callable(cost):
        check_choice("cost", cost, COSTS)
    if latency is not None and not isinstance(latency, Mapping):
        raise ValueError(f"latency must be None or a dict, got {latency!r}")
    unknown = [key for key in latency or () if key not in LATENCY]
    if unknown:
        raise ValueError(f"latency must have keys among {', '.join(LATENCY)}, got {unknown}")


def costs_of(
    made: Sequence[Made],
    cost: str | Callable[[Any], float],
    X: Any,
    latency: Mapping[str, Any] | None = None,
) -> list[float]:
    """Return the cost of each candidate.

    Parameters
    ----------
    made : sequence of Made
        The candidates.
    cost : {"latency", "bytes", "macs"} or callable
        As for `CompressionSearchCV`.
    X : object
        Rows in the user's form; the first ones are an example.
    latency : dict, default=None
        ``batch_size`` (default 1), ``threads`` (1), ``n_rounds``, ``seconds``.

    Raises
    ------
    ValueError
        If a cost cannot be computed for the result of a user's function, or is not finite.
    """
    if callable(cost):
        found = [_own(cost, each) for each in made]
    elif cost == "latency":
        found = _seconds(made, X, dict(latency or {}))
    else:
        found = [_counted(each, cost, X) for each in made]
    for each, value in zip(made, found, strict=True):
        if not np.isfinite(value):
            raise ValueError(f"cost of {each.candidate.name} must be finite, got {value}")
    return found


def _own(cost: Callable[[Any], float], made: Made) -> float:
    try:
        return float(cost(made.given))
    except Exception as error:
        error.add_note(f"cost of the candidate {made.candidate.name}")
        raise


def _seconds(made: Sequence[Made], X: Any, options: dict[str, Any]) -> list[float]:
    """Return the median seconds per call of all candidates, measured alternately."""
    size = options.pop("batch_size", 1)
    # Nets alone if all candidates have one; else the models with all their steps.
    nets = [_net(each) for each in made]
    is_alone = all(net is not None for net in nets)
    models = {
        each.candidate.name: net if is_alone else each.given
        for each, net in zip(made, nets, strict=True)
    }
    options = {"threads": 1, "n_rounds": 200} | options
    table = models_latency(models, X, batch_sizes=size, **options).set_index("contender")
    return [float(table["seconds"][each.candidate.name]) for each in made]


def _net(made: Made) -> nn.Module | None:
    """Return the torch module without preceding steps, or None if there is none."""
    if isinstance(made.given, nn.Module):
        return made.given
    module = getattr(made.given, "module_", None)
    return module if isinstance(module, nn.Module) else None


def _counted(made: Made, cost: str, X: Any) -> float:
    given = made.given
    is_net = isinstance(given, Pipeline) and hasattr(given.steps[-1][1], "prune")
    front, net = split_steps(given) if made.classifier or is_net else (None, given)
    if cost == "bytes" and isinstance(getattr(made.served, "module_", None), OnnxModule):
        return float(len(made.served.module_.content))
    if made.classifier is None and not hasattr(net, "masks_"):
        sizes = stored_sizes(net, net) if cost == "bytes" else None
        if sizes is None:
            raise ValueError(
                f"cost={cost!r} cannot be computed for what the candidate {made.candidate.name!r} "
                "returned; pass a function as cost"
            )
        return float(sizes["bytes_stored"])
    net = made.classifier or net
    X = take_rows(X, np.arange(2))
    X = X if front is None else front.transform(X)
    batch, _ = next(iter(net.get_iterator(net.get_dataset(X), training=False)))
    example = placed(take(batch, slice(0, 1)), net.device)
    summary = compression_summary(net.dense_module_, net.module_, net.masks_, example)
    return float(summary[_SUMMARY[cost]])
