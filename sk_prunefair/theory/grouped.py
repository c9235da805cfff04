"""A net with data sorted by group, and the derivatives of each group's mean loss."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.func import functional_call

from sk_prunefair import nested
from sk_prunefair.autodiff import flat_gradient, hessian_vector_product, plain_attention
from sk_prunefair.checks import check_count, check_labels
from sk_prunefair.data.dataset import as_tensor
from sk_prunefair.data.groups import as_group_frame, encode_groups
from sk_prunefair.data.sources import field_array
from sk_prunefair.losses import (
    class_scores,
    first_output,
    full_precision,
    losses_without_reduction,
    takes_one_logit,
)
from sk_prunefair.nested import map_tensors, n_rows, run, take, tensors_of

# Bound on the activations of one chunk in bytes, counted four times for double backward.
CHUNK_BYTES = 2**28


class GroupedNet:
    """A frozen copy of a net, a criterion, and data whose rows are sorted by group.

    The copy is in evaluation mode, so that batch norm uses its running averages and no sample
    affects the loss of another one; the original net is not changed. Derivatives are
    taken with respect to the parameters that require a gradient, in their order, as one vector of
    length ``n_parameters``.

    The constructor checks and sorts all data. `sampled`, `with_criterion` and `with_module` return
    views that share everything else with it, and do not change it.

    Parameters
    ----------
    module : torch.nn.Module
        A net that returns one score per class, or one logit for two; or a tuple whose first entry
        is that, or a dict with ``logits``.
    X : array-like of shape (n_samples, ...), or dict of such
        Features; floats are converted to the dtype of the parameters, all to their device. A
        dict is passed as ``module(**X)``.
    y : array-like of shape (n_samples,), integer dtype
        Labels from 0 to n_classes - 1, as the criterion takes them.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample; columns intersect.
    criterion : torch.nn.Module, class of one, or callable, default=None
        Loss of ``(scores, y)``; its ``reduction``, if any, is set to "none"; if it returns a
        single number, it is called sample by sample. None takes cross entropy on logits.
    batch_size : int, default=None
        Samples per chunk. None chooses the largest number, from 1 to 4,096, for which four times
        the outputs of all layers fit in 256 MiB.

    Attributes
    ----------
    module : torch.nn.Module
        The copy.
    groups : pandas.Index of shape (n_groups,)
        The groups, sorted.
    sizes : ndarray of shape (n_groups,), dtype int64
        Number of samples of each group, at least 1.
    parameters : dict of str to torch.Tensor
        The parameters that require a gradient, by name; they belong to the copy.
    batch_size : int
        Samples per chunk.

    Raises
    ------
    ValueError
        If an argument is malformed, or the net has no parameter that requires a gradient.
    """

    def __init__(
        self,
        module: nn.Module,
        X: Any,
        y: Any,
        sensitive_features: Any,
        criterion: Any = None,
        batch_size: int | None = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise ValueError(f"module must be a torch.nn.Module, got {type(module).__name__}")
        self.module = copy.deepcopy(module).eval()
        self.parameters = {
            name: value for name, value in self.module.named_parameters() if value.requires_grad
        }
        if not self.parameters:
            raise ValueError("module must have at least one parameter that requires a gradient")
        first = next(iter(self.parameters.values()))
        X = _as_tensors(X)
        n_samples = n_rows(X)
        if n_samples == 0:
            raise ValueError("X must hold at least one sample, got none")
        X = nested.to(X, floats=first.dtype)
        if not all(bool(tensor.isfinite().all()) for tensor in tensors_of(X)):
            raise ValueError("X must be finite, got NaN or infinite values")
        labels = np.asarray(check_labels(y, n_samples))
        if labels.dtype.kind not in "iub" or labels.min() < 0:
            raise ValueError(
                "y must hold integers from 0 to n_classes - 1, as the criterion takes them, got "
                f"{labels[:5].tolist()}"
            )
        codes, self.groups = encode_groups(as_group_frame(sensitive_features, n_samples))
        order = np.argsort(codes, kind="stable")
        self.order: npt.NDArray[np.int64] = order
        # index_select is four times as fast as an index in brackets.
        moved = map_tensors(lambda t: t.index_select(0, torch.from_numpy(order).to(t.device)), X)
        self.X = nested.to(moved, first.device)
        self.y = torch.from_numpy(labels[order].astype(np.int64)).to(first.device)
        self.sizes: npt.NDArray[np.int64] = np.bincount(codes, minlength=len(self.groups))
        self.starts: npt.NDArray[np.int64] = np.concatenate([[0], np.cumsum(self.sizes)])
        self.criterion = _as_callable(criterion)
        # A user's criterion may treat a single column in its own way.
        is_known = isinstance(self.criterion, nn.CrossEntropyLoss)
        self.is_of_classes = is_known or takes_one_logit(self.criterion)
        if batch_size is not None:
            check_count("batch_size", batch_size, " or None")
        self.batch_size = batch_size or chunk_size(self.module, self.rows_of(slice(0, 1))[0])
        self._check_losses()

    def _check_losses(self) -> None:
        with torch.no_grad():
            losses = self.losses(*self.rows_of(slice(0, 2)))
        if tuple(losses.shape) != (len(self.y[:2]),):
            raise ValueError(
                f"criterion must return one loss per sample, shape ({len(self.y[:2])},), got shape "
                f"{tuple(losses.shape)}"
            )

    @property
    def n_parameters(self) -> int:
        """Number of entries of the gradient."""
        return sum(value.numel() for value in self.parameters.values())

    def sampled(self, max_samples: int | None, random_state: int) -> GroupedNet:
        """Return a view of at most this many samples of each group, without replacement."""
        if max_samples is None:
            return self
        check_count("max_samples", max_samples, " or None")
        rng = np.random.default_rng(random_state)
        kept = np.concatenate(
            [
                start + np.sort(rng.permutation(size)[:max_samples])
                for start, size in zip(self.starts[:-1], self.sizes, strict=True)
            ]
        )
        view = copy.copy(self)
        (view.X, view.y), view.order = self.rows_of(kept), self.order[kept]
        view.sizes = np.minimum(self.sizes, max_samples)
        view.starts = np.concatenate([[0], np.cumsum(view.sizes)])
        return view

    def with_criterion(self, criterion: Any) -> GroupedNet:
        """Return a view with another loss."""
        view = copy.copy(self)
        view.criterion = _as_callable(criterion)
        view._check_losses()
        return view

    def with_module(self, module: nn.Module) -> GroupedNet:
        """Return a view with a copy of another net of the same architecture."""
        view = copy.copy(self)
        first = next(iter(self.parameters.values()))
        view.module = copy.deepcopy(module).eval().to(first.device, first.dtype)
        parameters = dict(view.module.named_parameters())
        view.parameters = {name: parameters[name] for name in self.parameters}
        return view

    def rows(self, code: int) -> torch.Tensor:
        """Return the rows of a group, positions in the sorted data."""
        return torch.arange(self.starts[code], self.starts[code + 1], device=self.y.device)

    def rows_of(self, rows: Any) -> tuple[Any, torch.Tensor]:
        """Return X and y of some rows: a slice, or positions in the sorted data."""
        return take(self.X, rows), self.y[rows]

    def chunks(self, rows: torch.Tensor) -> Iterator[tuple[Any, torch.Tensor]]:
        """Yield some rows, ``batch_size`` at a time."""
        for part in rows.split(self.batch_size):
            yield self.rows_of(part)

    @property
    def n_scores(self) -> int:
        """Number of scores per sample; two for a net with one logit."""
        with torch.no_grad():
            return int(self.scores(self.rows_of(slice(0, 1))[0]).shape[1])

    def scores(self, X: Any, tensors: Mapping[str, Any] | None = None) -> torch.Tensor:
        """Return one score per class, with some parameters or buffers replaced by `tensors`."""
        with plain_attention():
            # functional_call costs as much as a small forward pass, even without replacements.
            if not tensors:
                output = run(self.module, X)
            elif isinstance(X, Mapping):
                output = functional_call(self.module, dict(tensors), kwargs=dict(X))
            else:
                output = functional_call(self.module, dict(tensors), (X,))
        return class_scores(output) if self.is_of_classes else full_precision(first_output(output))

    def losses(
        self, X: Any, y: torch.Tensor, tensors: Mapping[str, Any] | None = None
    ) -> torch.Tensor:
        """Return one loss per sample, part of the graph."""
        return self.losses_of(self.scores(X, tensors), y)

    def losses_of(self, scores: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return one loss per sample of these scores."""
        return losses_without_reduction(self.criterion, scores, y)

    def mean_loss(self, rows: torch.Tensor) -> float:
        """Return the mean loss of some rows."""
        with torch.no_grad():
            return sum(float(self.losses(X, y).double().sum()) for X, y in self.chunks(rows)) / len(
                rows
            )

    def group_losses(self) -> npt.NDArray[np.float64]:
        """Return the mean loss of each group, shape (n_groups,)."""
        return np.array([self.mean_loss(self.rows(code)) for code in range(len(self.groups))])

    def gradient(self, rows: torch.Tensor) -> torch.Tensor:
        """Return ∇J over some rows, shape (n_parameters,)."""
        parameters = list(self.parameters.values())
        total = torch.zeros(0)
        for X, y in self.chunks(rows):
            part = flat_gradient(self.losses(X, y).sum(), parameters)
            total = part if not len(total) else total + part
        return total / len(rows)

    def hessian_product(self, rows: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        """Return ∇²J v over some rows, shape (n_parameters,), by double backward."""
        parameters = list(self.parameters.values())
        total = torch.zeros_like(vector)
        for X, y in self.chunks(rows):
            gradient = flat_gradient(self.losses(X, y).sum(), parameters, create_graph=True)
            total += hessian_vector_product(gradient, parameters, vector)
        return total / len(rows)

    def hessian(self, rows: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return the function v ↦ ∇²J v over some rows, for repeated products.

        If the rows are one chunk, the graph of their gradient is kept, and a product is one
        backward pass.
        """
        if len(rows) > self.batch_size:
            return lambda vector: self.hessian_product(rows, vector)
        parameters = list(self.parameters.values())
        gradient = flat_gradient(
            self.losses(*self.rows_of(rows)).mean(), parameters, create_graph=True
        )
        return partial(hessian_vector_product, gradient, parameters, retain_graph=True)


def chunk_size(module: nn.Module, example: Any) -> int:
    """Return the number of samples whose activations fit in the bound, from 1 to 4,096."""
    numbers = 0

    def count(_: nn.Module, __: Any, output: Any) -> None:
        nonlocal numbers
        numbers += sum(t.numel() for t in tensors_of(output))

    hooks = [part.register_forward_hook(count) for part in module.modules()]
    try:
        with torch.no_grad():
            run(module, example)
    finally:
        for hook in hooks:
            hook.remove()
    numbers += sum(tensor.numel() for tensor in tensors_of(example))
    bytes_each = 4 * numbers * max(tensor.element_size() for tensor in tensors_of(example))
    return int(np.clip(CHUNK_BYTES // max(bytes_each, 1), 1, 4096))


def _as_tensors(X: Any) -> Any:
    if isinstance(X, Mapping):
        return {name: as_tensor(field_array(values, name)) for name, values in X.items()}
    if not (isinstance(X, torch.Tensor) or tensors_of(X)):
        X = as_tensor(np.asarray(X))
    return map_tensors(torch.Tensor.detach, X)


def _as_callable(criterion: Any) -> Any:
    """Return an instance of the criterion; of cross entropy for None."""
    if criterion is None:
        return nn.CrossEntropyLoss(reduction="none")
    return criterion() if isinstance(criterion, type) else criterion
