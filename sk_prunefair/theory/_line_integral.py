"""The straight line between two nets, and integrals along it."""

from __future__ import annotations

import heapq
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from sk_prunefair.theory.grouped import GroupedNet

Array = npt.NDArray[np.float64]


def matching_tensors(
    dense: Any, pruned: Any
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return the float tensors of both nets, layer by layer, or raise ValueError."""
    first, second = _float_tensors(dense, "dense"), _float_tensors(pruned, "pruned")
    strangers = sorted(first.keys() ^ second.keys())
    if strangers:
        raise ValueError(
            "dense and pruned must have tensors of the same names, but only one of them has "
            f"{strangers[:3]}"
        )
    for name, value in first.items():
        if value.shape != second[name].shape:
            raise ValueError(
                f"dense and pruned must have tensors of the same shapes, got {name} of shape "
                f"{tuple(value.shape)} and {tuple(second[name].shape)}: if channels were removed, "
                "pass the net with zeros in their place"
            )
    return first, {name: second[name] for name in first}


def _float_tensors(module: Any, name: str) -> dict[str, torch.Tensor]:
    """Return parameters and float buffers, layer by layer."""
    if not isinstance(module, nn.Module):
        raise ValueError(f"{name} must be a torch.nn.Module, got {type(module).__name__}")
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    layers = {layer: position for position, (layer, _) in enumerate(module.named_modules())}
    ordered = sorted(tensors, key=lambda tensor: layers[tensor.rpartition(".")[0]])
    return {
        tensor: tensors[tensor].detach()
        for tensor in ordered
        if tensors[tensor].is_floating_point()
    }


class Line:
    """The line θ* + t Δ for t in [0, 1], and every group's mean loss along it.

    Parameters
    ----------
    net : GroupedNet
        GroupedNet of the dense net, which only this line may use afterwards.
    target : dict of str to torch.Tensor
        The tensors of the pruned net that differ from those of the dense one.
    on_pass : callable, default=None
        Called after each pass over the data.

    Attributes
    ----------
    nodes : dict of float to tuple of ndarray
        All evaluations, by t.
    """

    def __init__(
        self,
        net: GroupedNet,
        target: dict[str, torch.Tensor],
        on_pass: Callable[[], object] | None = None,
    ) -> None:
        self.net = net
        self.on_pass = on_pass
        self.nodes: dict[float, tuple[Array, Array]] = {}
        tensors = {**dict(net.module.named_parameters()), **dict(net.module.named_buffers())}
        self.start = {name: tensors[name].detach() for name in target}
        self.delta = {
            name: value.detach().to(self.start[name]) - self.start[name]
            for name, value in target.items()
        }
        # Only tensors that differ are differentiated.
        net.module.requires_grad_(False)
        for part in net.module.modules():
            if isinstance(part, _NormBase) and part.running_mean is not None:
                part.forward = types.MethodType(_norm_by_running_statistics, part)

    def evaluate(self, t: float) -> tuple[Array, Array]:
        """Return J, shape (n_groups,), and ∂J · Δ by tensor, shape (n_groups, n_moved), at t."""
        if t not in self.nodes:
            self.nodes[t] = self._pass(t)
            if self.on_pass is not None:
                self.on_pass()
        return self.nodes[t]

    def _pass(self, t: float) -> tuple[Array, Array]:
        tensors = {
            name: (start + t * self.delta[name]).requires_grad_()
            for name, start in self.start.items()
        }
        losses = np.zeros(len(self.net.groups))
        slopes = np.zeros((len(self.net.groups), len(tensors)))
        for code, size in enumerate(self.net.sizes):
            for X, y in self.net.chunks(self.net.rows(code)):
                value = self.net.losses(X, y, tensors).sum(dtype=torch.float64)
                losses[code] += float(value.detach()) / size
                slopes[code] += self._slopes(value, tensors) / size
        if not (np.isfinite(losses).all() and np.isfinite(slopes).all()):
            raise ValueError(
                "the loss and its derivative must be finite on the whole line from dense to "
                f"pruned, got NaN or infinite values at t = {t:g}"
            )
        return losses, slopes

    def _slopes(self, value: torch.Tensor, tensors: dict[str, torch.Tensor]) -> Array:
        if not value.requires_grad:  # no tensor that differs is used in the forward pass
            return np.zeros(len(tensors))
        gradients = torch.autograd.grad(
            value, list(tensors.values()), allow_unused=True, materialize_grads=True
        )
        products = [
            (gradient * delta).sum(dtype=torch.float64)
            for gradient, delta in zip(gradients, self.delta.values(), strict=True)
        ]
        return torch.stack(products).cpu().numpy()


def _norm_by_running_statistics(self: _NormBase, X: torch.Tensor) -> torch.Tensor:
    """Normalise by the running averages in steps that autograd can differentiate.

    PyTorch's batch norm has no derivative with respect to its running averages.
    """
    assert self.running_mean is not None
    assert self.running_var is not None
    scale = torch.rsqrt(self.running_var + self.eps)
    if self.weight is not None:
        scale = scale * self.weight
    shape = (-1, *[1] * (X.dim() - 2))  # channels are the second axis
    output = (X - self.running_mean.view(shape)) * scale.view(shape)
    return output if self.bias is None else output + self.bias.view(shape)


class LineIntegral(NamedTuple):
    """Result of `integrate`."""

    parts: Array
    split_error: Array
    n_evaluations: int
    converged: bool


class _Panel(NamedTuple):
    parts: Array
    errors: Array  # of each part and of their sum, in that order


def integrate(line: Line, allowed: Array, max_evaluations: int) -> LineIntegral:
    """Integrate the slopes over [0, 1] by Simpson's rule, halving the panel with the largest error.

    Panels have five nodes. The difference between Simpson's rule on the two halves and on the
    whole is used as the error of the halves, without the usual division by 15, which requires
    four derivatives. The losses at the ends of a panel determine the sum of its parts, so the
    error of the sum is known, not estimated.

    Nodes are not aligned with the jumps of the slopes, so the errors of panels have no common
    sign, and their squares are added. `scipy.integrate.quad_vec` adds absolute values, and its
    Gauss-Kronrod rules overestimate them where the integrand jumps: on a ResNet with ReLU it
    did not reach a tolerance of 1e-3 with 1,800 nodes, where this function needs about 400.

    Parameters
    ----------
    line : Line
        The line to integrate along.
    allowed : ndarray of shape (n_groups,)
        The error allowed for each group, above 0.
    max_evaluations : int
        Passes over the data, at least 9, for the first two panels.
    """
    panels = {ends: _panel(line, *ends) for ends in ((0.0, 0.5), (0.5, 1.0))}
    queue = [(_rank(found, allowed), ends) for ends, found in panels.items()]
    heapq.heapify(queue)
    while True:
        error = np.sum([found.errors[:, -1] for found in panels.values()], axis=0)
        squares = np.sum([found.errors**2 for found in panels.values()], axis=0)
        split_error = np.sqrt(squares.max(axis=1))
        converged = bool((np.maximum(np.abs(error), split_error) <= allowed).all())
        # Halving a panel needs four nodes.
        if converged or len(line.nodes) + 4 > max_evaluations:
            break
        _, (left, right) = heapq.heappop(queue)
        del panels[left, right]
        middle = (left + right) / 2
        for ends in ((left, middle), (middle, right)):
            panels[ends] = _panel(line, *ends)
            heapq.heappush(queue, (_rank(panels[ends], allowed), ends))
    parts = np.sum([found.parts for found in panels.values()], axis=0)
    return LineIntegral(parts, split_error, len(line.nodes), converged)


def _panel(line: Line, left: float, right: float) -> _Panel:
    values = [line.evaluate(left + (right - left) * k / 4) for k in range(5)]
    a, b, c, d, e = (slopes for _, slopes in values)
    halves = (right - left) / 12 * (a + 4 * b + 2 * c + 4 * d + e)
    whole = (right - left) / 6 * (a + 4 * c + e)
    sum_error = halves.sum(axis=1) - (values[4][0] - values[0][0])
    return _Panel(halves, np.column_stack([halves - whole, sum_error]))


def _rank(found: _Panel, allowed: Array) -> float:
    """Return the negative error, so that the heap yields the largest error first."""
    return -float((np.abs(found.errors) / allowed[:, np.newaxis]).max())
