"""Net: run and train a net; each override of skorch's methods with its reason."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from skorch.dataset import Dataset as SkorchDataset
from skorch.utils import to_device
from torch import nn
from torch.utils.data import DataLoader

from sk_prunefair import losses as criteria
from sk_prunefair import nested
from sk_prunefair.acceleration import run_module
from sk_prunefair.autodiff import plain_attention
from sk_prunefair.data.batches import LoadedBatches
from sk_prunefair.data.dataset import GroupDataset
from sk_prunefair.data.inputs import is_dataset
from sk_prunefair.data.loading import load_batches, own_dataset, split_labels
from sk_prunefair.data.schema import Schema
from sk_prunefair.evaluation import evaluate
from sk_prunefair.hooks import Hook, Training
from sk_prunefair.loop import Step, run_epoch
from sk_prunefair.nested import float_dtype, tensors_of
from sk_prunefair.net_state import NetState
from sk_prunefair.objective import Objective, labels_on, objective_loss
from sk_prunefair.outcome import Outcome
from sk_prunefair.packed import PackedNet, is_stale
from sk_prunefair.parts import make_module, trained_parts
from sk_prunefair.pruning import engine
from sk_prunefair.requests import known_schema, settled
from sk_prunefair.resume import Resume
from sk_prunefair.training import train


class Net(NetState):
    """skorch's classifier with groups in its batches, constraints in its loss, and enforced masks.

    It trains on `GroupDataset`, whose labels are already encoded; `FairPrunedClassifier` does the
    encoding. User's callbacks, `infer` and `get_loss` get the same arguments as in skorch: batches
    are pairs ``(X, y)`` of the user's X.
    """

    training_: Training | None = None
    objective_: Objective | None = None
    step_: Step | None = None
    is_output_checked_: bool = True

    def initialized_instance(self, instance_or_cls: Any, kwargs: dict[str, Any]) -> Any:
        """Create the module, or another part, as `sk_prunefair.parts.make_module` does."""
        create = super().initialized_instance
        if instance_or_cls is not self.module:
            return create(instance_or_cls, kwargs)
        return make_module(self, instance_or_cls, kwargs, create)

    # -------------------------------------------------------------------- data

    def check_data(self, X: Any, y: Any = None) -> None:
        """Do nothing, as the data was checked before it became a `GroupDataset`."""

    def get_dataset(self, X: Any, y: Any = None) -> GroupDataset:
        """Return X, and y if given, as a `GroupDataset`, checked and encoded."""
        if isinstance(X, GroupDataset):
            return X
        schema = known_schema(self)
        inputs = schema.check_inputs(X, self.scratch())
        labels = None if y is None else schema.check_labels(inputs, y, self)
        return schema.encode(self.wrap_inputs(settled(self, schema, inputs)), labels)

    def wrap_inputs(self, inputs: Any) -> Any:
        """Return the inputs, converted by the user's ``dataset`` parameter if it is set."""
        if is_dataset(inputs) or self.dataset is SkorchDataset:
            return inputs
        return super().get_dataset(inputs)

    def get_split_datasets(
        self, X: GroupDataset, y: Any = None, **fit_params: Any
    ) -> tuple[GroupDataset, Any]:
        """Split off a validation set; skorch's own split is stratified by label × group."""
        if not self.train_split or not X.has_labels:
            return X, None
        parts = self.train_split(X, split_labels(X, self.train_split), **fit_params)
        train_part, valid = (own_dataset(part, self.schema_ or Schema()) for part in parts)
        return train_part, valid

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Return an iterator over whole batches; training data is shuffled by default."""
        prefix = "iterator_train" if training else "iterator_valid"
        iterator = getattr(self, prefix)
        if not isinstance(dataset, GroupDataset):
            return super().get_iterator(dataset, training=training)
        if not (isinstance(iterator, type) and issubclass(iterator, DataLoader)):
            if training and self.ranks.count > 1:
                raise ValueError(
                    f"iterator_train must be a torch DataLoader where {self.ranks.count} processes "
                    f"share its batches, got {iterator!r}"
                )
            return LoadedBatches(super().get_iterator(dataset, training=training))
        options = {"batch_size": self.batch_size} | self.get_params_for(prefix)
        draws = functools.partial(self._draw_weights, dataset) if training else None
        return load_batches(dataset, iterator, options, training, draws, self.ranks)

    def _draw_weights(self, data: GroupDataset) -> torch.Tensor | None:
        return None if self.objective_ is None else self.objective_.draw_weights(data)

    # ---------------------------------------------------------------- the loop

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Call the callbacks, as in skorch, and enforce the masks afterwards.

        At the end of a training the callbacks of this library are called first: they may load
        averaged weights, and callbacks that restore the best ones must come after them, in any
        given order.
        """
        if method_name == "on_epoch_begin":
            for _, callback in getattr(self, "callbacks_", []):
                if isinstance(callback, Hook):
                    callback.reset_states("epoch")
                if isinstance(callback, Resume):
                    callback.restore_generators(self)
        getattr(self, method_name)(self, **kwargs)
        callbacks = [callback for _, callback in self.callbacks_]
        if method_name == "on_epoch_end":
            for callback in callbacks:
                if isinstance(callback, Hook):
                    callback.sum_states(self.ranks)
        if method_name == "on_train_end":
            callbacks.sort(key=lambda callback: not isinstance(callback, Hook))
        if method_name == "on_epoch_end":  # Restores the best state after all other callbacks.
            callbacks.sort(key=lambda callback: isinstance(callback, Resume))
        for callback in callbacks:
            getattr(callback, method_name)(self, **kwargs)
        if method_name != "on_grad_computed":  # the optimizer steps afterwards
            self.enforce()

    def run_single_epoch(
        self,
        iterator: Any,
        training: bool,
        prefix: str,
        step_fn: Callable[..., dict[str, Any]],
        **fit_params: Any,
    ) -> None:
        """Iterate over the batches once, by `sk_prunefair.loop.run_epoch`."""
        if iterator is None:
            return
        is_twice = training and self.objective_ is not None and self.objective_.takes_derivatives
        with plain_attention() if is_twice else contextlib.nullcontext():
            run_epoch(self, iterator, training, prefix, step_fn, **fit_params)

    def _set_training(self, training: bool = True) -> None:
        # skorch sets the mode of all submodules before each batch; the root's flag is enough.
        if self.module_.training != training:
            super()._set_training(training)

    def forward_iter(self, X: Any, training: bool = False, device: str = "cpu") -> Iterator[Any]:
        """Yield the outputs batch by batch, in the order of X, in training mode as well."""
        self.check_is_fitted()
        self.enforce()
        for batch in self.get_iterator(self.get_dataset(X), training=False):
            output = self.evaluation_step(batch, training=training)
            if isinstance(output, Mapping):
                output = criteria.first_output(output)
            yield to_device(output, device=device)

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Run the module on the inputs of a batch, with floats in the module's precision."""
        if not tensors_of(x):  # arrays, packed sequences: skorch converts them
            return super().infer(x, **fit_params)
        return run_module(self, nested.to(x, self.device, float_dtype(self.module_)), **fit_params)

    def torch_compile(self, module: nn.Module, name: str) -> Any:
        """Compile a module, as in skorch; ``module_`` itself is not replaced.

        The compiled module is kept in a cache and used by `infer`.
        """
        compiled = super().torch_compile(module, name=name)
        if name != "module" or compiled is module:
            return compiled
        self.compiled_.add(module, self.get_params_for("compile"), compiled)
        return module

    # ---------------------------------------------------------------- the loss

    def sample_losses(self, y_pred: Any, y_true: torch.Tensor) -> torch.Tensor:
        """Return the criterion's loss of each sample.

        Parameters
        ----------
        y_pred : torch.Tensor of shape (n_samples, n_classes), or tuple
            Output of the module; for a tuple, its first entry.
        y_true : torch.Tensor of shape (n_samples,), dtype int64
            Encoded labels.

        Returns
        -------
        torch.Tensor of shape (n_samples,)
            Losses, part of the graph.
        """
        y_true = labels_on(y_true, self.device)
        return criteria.sample_losses(self.criterion_, criteria.first_output(y_pred), y_true)

    def get_loss(
        self,
        y_pred: Any,
        y_true: torch.Tensor,
        X: Any = None,
        *args: Any,
        training: bool = False,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Return the criterion's mean loss, in training with the active constraints.

        No hook of skorch can change the loss. The mean is the criterion's own: with class weights
        the weighted sum over the sum of the weights. A ``reduction`` of "sum" is kept; with "none"
        a user's ``get_loss``, which calls this one, gets the losses of the samples.
        """
        return objective_loss(self, y_pred, y_true, training)

    # ------------------------------------------------------------- a training

    def train(self, data: GroupDataset, epochs: int, *args: Any, **options: Any) -> None:
        """Train for some epochs, by `sk_prunefair.training.train`."""
        train(self, data, epochs, *args, **options)

    def raise_rate(self, rate: float, data: GroupDataset) -> None:
        """Remove more weights of ``module_`` during a fine-tuning.

        Parameters
        ----------
        rate : float
            Share of the weights that is removed afterwards, in [0, 1).
        data : GroupDataset
            The training data, for criteria that use data.
        """
        engine.raise_rate(self, rate, data)

    def trained_parts(self) -> dict[str, Any]:
        """Return modules, criteria and optimizers by the names of their attributes."""
        return trained_parts(self)

    @property
    def has_own_loss(self) -> bool:
        """Whether a subclass overrides ``get_loss``."""
        return type(self).get_loss is not Net.get_loss

    def outcomes(self, data: GroupDataset, *modules: nn.Module) -> list[Outcome]:
        """Return the losses and the encoded predictions of nets, sample by sample.

        Parameters
        ----------
        data : GroupDataset
            Data with encoded labels, read once for all nets.
        *modules : torch.nn.Module
            Nets, such as the dense and the pruned one.
        """
        return evaluate(self, data, *modules).outcomes

    # ------------------------------------------------------------------- files

    def _get_module(self, name: str, msg: str) -> Any:
        # skorch saves and loads the returned objects; a pruned net has more state than its module.
        module = super()._get_module(name, msg)
        return PackedNet(self) if name.rstrip("_") == "module" else module

    def load_params(self, *args: Any, checkpoint: Any = None, **kwargs: Any) -> None:
        """Load from files, as in skorch, and enforce the masks.

        A callback that restores the best epoch restores one of the current training, or none.
        """
        if checkpoint is not None and is_stale(self, checkpoint):
            return
        own = self.history_ if self.training_ is not None and self.pruned_ is not None else None
        super().load_params(*args, checkpoint=checkpoint, **kwargs)
        if own is not None and not own:  # LoadInitState: a fine-tuning has its own epochs
            self.history_ = own
        self.enforce()

    def trim_for_prediction(self) -> None:
        """Drop the parts that only training needs, as in skorch; predictions do not change."""
        self.check_is_fitted()
        # skorch derives the nonlinearity from the criterion, and then drops the criterion.
        self.predict_nonlinearity = self._get_predict_nonlinearity()
        super().trim_for_prediction()
        self.snapshots_ = {}
        if self.pruned_ is not None:
            self.pruned_ = replace(self.pruned_, dense_history=(), parts={}, schedules={})
