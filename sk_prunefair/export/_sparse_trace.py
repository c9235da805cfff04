"""What a net does with its layers, whatever its input: torch.fx's graph, where there is one."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn

from sk_prunefair.export._sparse_copy import has_hooks, slow_attention
from sk_prunefair.nested import run


class Trace:
    """The graph of a net, and how many dimensions its layers' inputs have.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode.
    X : object
        Its input; arguments that are not there have their defaults.

    Raises
    ------
    ValueError
        If the net cannot be traced: what it does depends on values or shapes of its input.

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
        # A layer whose weight is read by other code, too, has to stay as it is.
        self._read = {
            str(node.target).rpartition(".")[0]
            for node in self.graph.nodes
            if node.op == "get_attr"
        }

    def layer(self, node: fx.Node) -> nn.Module | None:
        """Return the layer that a node calls; None unless that is all that happens to it.

        It is called once and has no hooks, and nothing else reads its weights.
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
        # As constants, or `mask is None` would be taken for false.
        defaults = {
            name: each.default
            for name, each in parameters.items()
            if name not in given and each.default is not each.empty
        }
        return fx.Tracer().trace(module, concrete_args=defaults)
    except Exception as error:  # whatever the code of a net raises where it gets no tensors
        raise ValueError(f"torch.fx cannot trace the net: {error}") from error


@torch.no_grad()
def _ranks(module: nn.Module, X: Any) -> dict[str, int]:
    """Return the dimensions of what each module was given, where that was one tensor."""
    ranks: dict[str, int] = {}
    handles = []
    for name, part in module.named_modules():

        def keep(part: nn.Module, args: Any, name: str = name) -> None:
            if len(args) == 1 and isinstance(args[0], torch.Tensor):
                ranks[name] = args[0].ndim

        handles.append(part.register_forward_pre_hook(keep))
    try:
        with slow_attention():
            run(module, X)
    finally:
        for handle in handles:
            handle.remove()
    return ranks
