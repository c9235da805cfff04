"""The gradients of runs of rows, all from one forward and one backward pass."""

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
    r"""The gradients of the losses of runs of rows, from one pass over all of them.

    The gradient by the weights of a linear layer is :math:`\sum_i \delta_i x_i^\top`, with
    :math:`x_i` what the layer is given for row i, and :math:`\delta_i` the derivative of that row's
    loss by what it returns. One backward pass finds these for all rows, and the sums are taken over
    the rows of each run. Convolutions, embeddings and norms have formulas of the same kind.

    They are right where all weights are used by such layers alone, and where each row of a layer
    belongs to one row of the data. The former is read from autograd's graph in every pass. For
    the latter, the shortest run of the first pass goes through the net once more by itself: what
    autograd finds for it must be what was found here.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode.
    weights : mapping of str to torch.Tensor
        Those to derive by, parameters of the module that require a gradient. Where layers whose
        weights are not among them require one too, nothing is found.
    losses : callable
        From X and y to the loss of each row, part of the graph; it runs the module.

    Attributes
    ----------
    is_possible : bool
        Whether the gradients may be found in this way, as far as is known.
    has_convolutions : bool
        Whether some of the layers are convolutions, whose products take longer.

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
            Rows of each run, at least 1; they follow one another, and are all rows together.
        row_weights : torch.Tensor of shape (n_rows,)
            Factor of each row's loss.

        Returns
        -------
        dict of str to torch.Tensor, or None
            By name of the weight, shape (n_runs, ...). None where they cannot be found in this
            way, then and later.
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

        # Nothing before these needs a gradient; on its way to them, backward passes all others.
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
        """Return the losses, and the calls of the layers, None where one is not as it must be."""
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
        """Return whether autograd finds the same for the shortest run by itself."""
        run = min(range(len(lengths)), key=lengths.__getitem__)
        start = sum(lengths[:run])
        rows = slice(start, start + lengths[run])
        total = self.losses(take(X, rows), y[rows]) @ row_weights[rows]
        expected = flat_gradient(total, list(self.weights.values()))
        error = torch.cat([value[run].flatten() for value in found.values()]) - expected
        return bool(error.norm() <= torch.finfo(error.dtype).eps ** 0.5 * expected.norm())


class _Call:
    """One call of a layer: what it was given, and where its output stands in autograd's graph."""

    def __init__(self, layer: nn.Module, given: torch.Tensor, out: torch.Tensor) -> None:
        self.layer = layer
        self.edge: GradientEdge = get_gradient_edge(out)
        self.entry = get_gradient_edge(given).node if given.requires_grad else None
        self._given: torch.Tensor | None = given.detach()
        self._version = given._version

    def on_delta(self, use: Callable[[_Call, torch.Tensor], None]) -> None:
        """Have a function called with the derivatives by the output, once they are known."""

        def hook(deltas: tuple[torch.Tensor | None, ...]) -> None:
            delta = deltas[self.edge.output_nr]
            if delta is not None:
                use(self, delta)

        self.edge.node.register_prehook(hook)

    def take(self) -> torch.Tensor | None:
        """Return what the layer was given, once; None where it was changed since."""
        # Held no longer than autograd itself does, as the memory serves the next layer.
        given, self._given = self._given, None
        return given if given is not None and given._version == self._version else None


def _own(layers: Iterable[nn.Module]) -> set[int]:
    return {id(value) for layer in layers for value in layer.parameters(recurse=False)}


def _is_by_rows(layer: nn.Module, args: tuple[Any, ...], out: Any, n_rows: int) -> bool:
    """Return whether a layer was called as the formulas have it, with one row for each of X."""
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
    """Return whether the losses depend on nothing but the weights of these calls' layers."""
    entries = {call.edge.node: call.entry for call in calls}
    waiting, seen = [losses.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):  # a leaf
            return False
        # What a layer does inside is known: go on with what it was given.
        if node in entries:
            waiting.append(entries[node])
        else:
            waiting.extend(before for before, _ in node.next_functions)
    return True
