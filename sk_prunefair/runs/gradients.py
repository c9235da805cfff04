"""Gradients of runs of consecutive rows, from one forward and one backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from sk_prunefair.autodiff import flat_gradient
from sk_prunefair.nested import take
from sk_prunefair.runs import products
from sk_prunefair.runs.products import Runs

Losses = Callable[[Any, torch.Tensor], torch.Tensor]
Found = dict[str, torch.Tensor]


class RunGradients:
    r"""Gradients of the losses of runs of rows, from one pass over all of them.

    The gradient by the weights of a linear layer is :math:`\sum_i \delta_i x_i^\top`, with
    :math:`x_i` the input of the layer for row i, and :math:`\delta_i` the derivative of that row's
    loss by the layer's output. One backward pass computes these for all rows, and the sums are
    taken over the rows of each run. Convolutions, embeddings and norms have formulas of the same
    kind.

    They are correct if all weights are used only by such layers, and if each row of a layer
    belongs to one row of the data. The former is checked on autograd's graph in every pass. For
    the latter, the shortest run of the first pass is computed again separately: the gradient from
    autograd must be the same.

    Parameters
    ----------
    module : torch.nn.Module
        Net in evaluation mode.
    weights : mapping of str to torch.Tensor
        Parameters of the module to differentiate by, which require a gradient. If layers whose
        weights are not among them require one too, nothing is computed.
    losses : callable
        Function of X and y that runs the module and returns the loss of each row, part of the
        graph.

    Attributes
    ----------
    is_possible : bool
        Whether the gradients can be computed in this way, as far as known.
    has_convolutions : bool
        Whether some layers are convolutions, whose products are slower.

    Examples
    --------
    >>> net = nn.Linear(1, 2, bias=False)
    >>> _ = nn.init.zeros_(net.weight)
    >>> def losses(X, y):
    ...     return nn.functional.cross_entropy(net(X), y, reduction="none")
    >>> gradients = RunGradients(net, dict(net.named_parameters()), losses)
    >>> X, y = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([0, 0, 1])
    >>> gradients(X, y, [2, 1], torch.tensor([0.5, 0.5, 1.0]))["weight"].flatten(1)
    tensor([[-0.7500,  0.7500],
            [ 2.0000, -2.0000]])
    """

    def __init__(
        self, module: nn.Module, weights: Mapping[str, torch.Tensor], losses: Losses
    ) -> None:
        self.weights = dict(weights)
        self.losses = losses
        self._names = {id(value): name for name, value in weights.items()}
        self._layers = [
            layer
            for layer in module.modules()
            if not self._names.keys().isdisjoint(_own([layer])) and products.is_known(layer)
        ]
        self.is_possible = self._names.keys() <= _own(self._layers)
        self.has_convolutions = any(map(products.is_convolution, self._layers))
        self._is_checked = False

    def __call__(
        self, X: Any, y: torch.Tensor, lengths: Sequence[int], row_weights: torch.Tensor
    ) -> Found | None:
        """Return the gradient of each run's weighted sum of losses.

        Parameters
        ----------
        X : torch.Tensor of shape (n_rows, ...), or dict of such
            Features.
        y : torch.Tensor of shape (n_rows,), dtype int64
            Labels.
        lengths : sequence of int
            Number of rows of each run, at least 1; runs are consecutive and cover all rows.
        row_weights : torch.Tensor of shape (n_rows,)
            Factor of each row's loss.

        Returns
        -------
        dict of str to torch.Tensor, or None
            By name of the weight, shape (n_runs, ...). None if they cannot be computed in this
            way, from then on.
        """
        found = None
        if self.is_possible:
            found = self._pass(X, y, Runs.of(lengths, y.device), row_weights)
        if found is not None and not self._is_checked:
            self._is_checked = True
            if not self._agrees(found, X, y, lengths, row_weights):
                found = None
        self.is_possible = found is not None
        return found

    def _pass(self, X: Any, y: torch.Tensor, runs: Runs, row_weights: torch.Tensor) -> Found | None:
        losses, calls = self._forward(X, y)
        if calls is None or not self._names.keys() <= _own(call.layer for call in calls):
            return None
        if not losses.requires_grad or not _is_all(losses, calls):
            return None
        found: dict[str, torch.Tensor] = {}
        failed = []

        def add(call: _Call, delta: torch.Tensor) -> None:
            layer, given = call.layer, call.take()
            if given is None:
                failed.append(layer)
                return
            for own, value in products.gradients(layer, given, delta, runs).items():
                name = self._names.get(id(getattr(layer, own)))
                if name is not None and value is not None:
                    found[name] = found[name] + value if name in found else value

        # Ends the graph below these weights, which the backward pass need not reach.
        first = [call for call in calls if call.entry is None]
        for call in calls:
            if call.entry is not None:
                call.on_delta(add)
        deltas = torch.autograd.grad(
            losses,
            [call.edge for call in first],
            row_weights.to(losses.dtype),
            allow_unused=True,
        )
        for call, delta in zip(first, deltas, strict=True):
            if delta is not None:
                add(call, delta)
        if failed:
            return None
        n_runs = len(runs.lengths)
        return {
            name: found[name] if name in found else value.new_zeros(n_runs, *value.shape)
            for name, value in self.weights.items()
        }

    def _forward(self, X: Any, y: torch.Tensor) -> tuple[torch.Tensor, list[_Call] | None]:
        """Return the losses and the calls of the layers, or None if a call is not supported."""
        calls: list[_Call] = []
        strange: list[nn.Module] = []

        def keep(layer: nn.Module, args: tuple[Any, ...], out: Any) -> None:
            if _is_by_rows(layer, args, out, len(y)):
                calls.append(_Call(layer, args[0], out))
            else:
                strange.append(layer)

        hooks = [layer.register_forward_hook(keep, prepend=True) for layer in self._layers]
        try:
            losses = self.losses(X, y)
        finally:
            for hook in hooks:
                hook.remove()
        return losses, None if strange else calls

    def _agrees(
        self,
        found: Found,
        X: Any,
        y: torch.Tensor,
        lengths: Sequence[int],
        row_weights: torch.Tensor,
    ) -> bool:
        """Return whether autograd gives the same gradient for the shortest run alone."""
        run = min(range(len(lengths)), key=lengths.__getitem__)
        start = sum(lengths[:run])
        rows = slice(start, start + lengths[run])
        total = self.losses(take(X, rows), y[rows]) @ row_weights[rows]
        expected = flat_gradient(total, list(self.weights.values()))
        error = torch.cat([value[run].flatten() for value in found.values()]) - expected
        return bool(error.norm() <= torch.finfo(error.dtype).eps ** 0.5 * expected.norm())


class _Call:
    """One call of a layer: its input, and the node of its output in autograd's graph."""

    def __init__(self, layer: nn.Module, given: torch.Tensor, out: torch.Tensor) -> None:
        self.layer = layer
        self.edge: GradientEdge = get_gradient_edge(out)
        self.entry = get_gradient_edge(given).node if given.requires_grad else None
        self._given: torch.Tensor | None = given.detach()
        self._version = given._version

    def on_delta(self, use: Callable[[_Call, torch.Tensor], None]) -> None:
        """Register a function to be called with the derivatives by the output."""

        def hook(deltas: tuple[torch.Tensor | None, ...]) -> None:
            delta = deltas[self.edge.output_nr]
            if delta is not None:
                use(self, delta)

        self.edge.node.register_prehook(hook)

    def take(self) -> torch.Tensor | None:
        """Return the layer's input, once; None if it was changed in between."""
        # Held only as long as by autograd, so that the next layer can use the memory.
        given, self._given = self._given, None
        return given if given is not None and given._version == self._version else None


def _own(layers: Iterable[nn.Module]) -> set[int]:
    return {id(value) for layer in layers for value in layer.parameters(recurse=False)}


def _is_by_rows(layer: nn.Module, args: tuple[Any, ...], out: Any, n_rows: int) -> bool:
    """Return whether the call of a layer is supported, with one row for each row of X."""
    if len(args) != 1 or not all(isinstance(t, torch.Tensor) for t in (args[0], out)):
        return False
    given = args[0]
    # Under autocast the dtypes differ; sparse rows cannot be split.
    is_plain = given.layout == torch.strided and out.dtype == layer.weight.dtype
    if not isinstance(layer, nn.Embedding):
        is_plain = is_plain and given.dtype == layer.weight.dtype
        is_plain = is_plain and given.ndim >= products.n_dims(layer)
    return is_plain and out.requires_grad and out.numel() > 0 and len(given) == len(out) == n_rows


def _is_all(losses: torch.Tensor, calls: list[_Call]) -> bool:
    """Return whether the losses depend only on the weights of these calls' layers."""
    entries = {call.edge.node: call.entry for call in calls}
    waiting, seen = [losses.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):  # a leaf
            return False
        # Nodes inside the layer are known: continue with its input.
        if node in entries:
            waiting.append(entries[node])
        else:
            waiting.extend(before for before, _ in node.next_functions)
    return True
