"""Trace a net with torch.fx, where its graph does not depend on the input."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn

from sk_prunefair.export._sparse_copy import attention_as_modules, has_hooks
from sk_prunefair.nested import run


class Trace:
    """The graph of a net, and the number of dimensions of its layers' inputs.

    Parameters
    ----------
    module : torch.nn.Module
        A net in evaluation mode.
    X : object
        Its input; other arguments keep their defaults.

    Raises
    ------
    ValueError
        If the net cannot be traced because its code depends on values or shapes of the input.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> trace = Trace(net, torch.ones(4, 2))
    >>> [trace.layer(node) for node in trace.graph.nodes][1], trace.ranks["0"]
    (Linear(in_features=2, out_features=3, bias=True), 2)
    """

    def __init__(self, module: nn.Module, X: Any) -> None:
        self.module = module
        self.graph = _graph(module, X)
        self.ranks = _ranks(module, X)
        self._calls = Counter(node.target for node in self.graph.nodes if node.op == "call_module")
        # A layer whose weight is also read by other code is not changed.
        self._read = {
            str(node.target).rpartition(".")[0]
            for node in self.graph.nodes
            if node.op == "get_attr"
        }

    def layer(self, node: fx.Node) -> nn.Module | None:
        """Return the layer that a node calls, or None if it is used in any other way.

        The layer is called once, has no hooks, and no other code reads its weights.
        """
        if node.op != "call_module" or self._calls[node.target] > 1 or node.target in self._read:
            return None
        if len(node.args) != 1 or node.kwargs or node.target not in self.ranks:
            return None
        layer = self.module.get_submodule(str(node.target))
        return None if has_hooks(layer) else layer


def _graph(module: nn.Module, X: Any) -> fx.Graph:
    try:
        parameters = inspect.signature(module.forward).parameters
        given = set(X) if isinstance(X, Mapping) else {next(iter(parameters), "")}
        # As constants, as `mask is None` would be False for a proxy.
        defaults = {
            name: each.default
            for name, each in parameters.items()
            if name not in given and each.default is not each.empty
        }
        return fx.Tracer().trace(module, concrete_args=defaults)
    except Exception as error:  # any error of a net's code with proxies in place of tensors
        raise ValueError(f"torch.fx cannot trace the net: {error}") from error


@torch.no_grad()
def _ranks(module: nn.Module, X: Any) -> dict[str, int]:
    """Return the number of dimensions of each module's input, if that is one tensor."""
    ranks: dict[str, int] = {}
    handles = []
    for name, part in module.named_modules():

        def keep(part: nn.Module, args: Any, name: str = name) -> None:
            if len(args) == 1 and isinstance(args[0], torch.Tensor):
                ranks[name] = args[0].ndim

        handles.append(part.register_forward_pre_hook(keep))
    try:
        with attention_as_modules():
            run(module, X)
    finally:
        for handle in handles:
            handle.remove()
    return ranks
