"""A skorch classifier whose batches carry groups: the training loop under FairPrunedClassifier."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from skorch.dataset import Dataset as SkorchDataset
from skorch.history import History
from skorch.utils import to_device, to_tensor
from torch import nn
from torch.utils.data import DataLoader, Subset

from sk_prunefair.checks import encode_labels
from sk_prunefair.constraints.base import Constraint, Phase
from sk_prunefair.data.dataset import (
    Batches,
    BatchRows,
    GroupDataset,
    dataset_targets,
    identity_collate,
    split_strata,
)
from sk_prunefair.pruning import PruningState


class GroupNet(NeuralNetClassifier):
    """skorch's classifier with per-sample losses, groups in the batches, and constraints.

    It trains on `GroupDataset`, whose labels are already encoded; `FairPrunedClassifier` does the
    encoding. Two things differ from skorch: the criterion is asked for one loss per sample, and
    the active constraints add their penalty to the mean of those.
    """

    pruning_: PruningState | None = None

    # scikit-learn asks that __init__ sets parameters only; skorch sets these three beside them.
    history_: Any = None
    virtual_params_: Mapping[str, Any] = MappingProxyType({})
    batch_losses_: torch.Tensor | None = None

    def __init__(self, module: type[nn.Module] | nn.Module, **kwargs: Any) -> None:
        super().__init__(module, **kwargs)
        for name in ("history_", "virtual_params_"):
            if not self.__dict__[name]:
                del self.__dict__[name]

    @property
    def initialized_(self) -> bool:
        """Whether there is a net; skorch tells its own ``__init__`` by this not existing yet."""
        return self._initialized

    @initialized_.setter
    def initialized_(self, value: bool) -> None:
        self._initialized = value

    def _get_param_names(self) -> list[str]:
        return [name for name in super()._get_param_names() if not name.startswith("_")]

    @property
    def phase_(self) -> Phase:
        """Either "before" or "after" pruning: what a training now would train."""
        return "before" if self.pruning_ is None else "after"

    def check_data(self, X: Any, y: Any = None) -> None:
        """Do nothing: the data was checked before it became a `GroupDataset`."""

    def initialize_history(self) -> GroupNet:
        """Begin a history; skorch would empty the one of the net before, which may be wanted."""
        if isinstance(self.history_, History):
            self.history_ = None
        return super().initialize_history()

    def initialize_callbacks(self) -> GroupNet:
        """Create the callbacks from copies of the user's, which skorch would change in place."""
        given = {
            name: value
            for name, value in vars(self).items()
            if name.startswith("callbacks") and not name.endswith("_")
        }
        self.__dict__.update(copy.deepcopy(given))
        try:
            super().initialize_callbacks()
        finally:
            self.__dict__.update(given)
        return self

    def initialize_module(self) -> GroupNet:
        """Create the module, telling its class n_features and n_classes where it asks for them."""
        kwargs = self.get_params_for("module")
        module = self.module
        if isinstance(module, nn.Module) and not kwargs:
            # The user's module stays as it is, and a second fit starts where the first did.
            self.module_ = copy.deepcopy(module)
        else:
            factory = type(module) if isinstance(module, nn.Module) else module
            known = {
                "n_features": getattr(self, "n_inputs_", None),
                "n_classes": self._n_classes(),
            }
            asked = inspect.signature(factory).parameters
            found = {k: v for k, v in known.items() if k in asked and v is not None}
            self.module_ = self.initialized_instance(factory, found | kwargs)
        self.pruning_ = None
        return self

    def _n_classes(self) -> int | None:
        try:
            return len(self.classes_)
        except AttributeError:
            return None

    def initialize_criterion(self) -> GroupNet:
        """Create the criterion and ask it for one loss per sample."""
        kwargs = self.get_params_for("criterion")
        criterion: Any = copy.deepcopy(self.initialized_instance(self.criterion, kwargs))
        if hasattr(criterion, "reduction"):
            criterion.reduction = "none"
        self.criterion_ = criterion
        return self

    def get_dataset(self, X: Any, y: Any = None) -> GroupDataset:
        """Return X where it is a `GroupDataset` already; skorch passes those around."""
        if isinstance(X, GroupDataset):
            return X
        return GroupDataset(self.wrap_inputs(self._check_inputs(X)))

    def wrap_inputs(self, inputs: Any) -> Any:
        """Return the inputs, as the user's ``dataset`` parameter has them if it is set."""
        if isinstance(inputs, torch.utils.data.Dataset) or self.dataset is SkorchDataset:
            return inputs
        return super().get_dataset(inputs)

    def _check_inputs(self, X: Any) -> Any:
        return X

    def get_split_datasets(
        self, X: GroupDataset, y: Any = None, **fit_params: Any
    ) -> tuple[GroupDataset, Any]:
        """Split off a validation set, stratified by label × group."""
        if not self.train_split:
            return X, None
        folds = getattr(self.train_split, "cv", None)
        min_count = folds if isinstance(folds, int) else 2
        strata = split_strata(X.y, X.group[X.rows].numpy(), min_count)
        train, valid = self.train_split(X, strata, **fit_params)
        return self._own_data(train), self._own_data(valid)

    def _own_data(self, data: Any) -> Any:
        if isinstance(data, Subset) and isinstance(data.dataset, GroupDataset):
            return data.dataset.subset(data.indices)
        if isinstance(data, torch.utils.data.Dataset) and not isinstance(data, GroupDataset):
            # A validation set of the user's, from skorch.helper.predefined_split.
            return GroupDataset(data, encode_labels(dataset_targets(data), self.classes_))
        return data

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Return batches fetched whole; training data is shuffled unless told otherwise."""
        prefix = "iterator_train" if training else "iterator_valid"
        kwargs = self.get_params_for(prefix)
        iterator = getattr(self, prefix)
        if not (isinstance(iterator, type) and issubclass(iterator, DataLoader)):
            return super().get_iterator(dataset, training=training)
        batch_size = kwargs.setdefault("batch_size", self.batch_size)
        kwargs["batch_size"] = len(dataset) if batch_size == -1 else batch_size
        kwargs.setdefault("shuffle", training and not {"sampler", "batch_sampler"} & kwargs.keys())
        if not training:
            # A loader draws a seed even where nothing is random: not from the user's generator.
            kwargs.setdefault("generator", torch.Generator())
        if isinstance(dataset, GroupDataset):
            kwargs.setdefault("collate_fn", identity_collate)
            if not {"sampler", "batch_sampler"} & kwargs.keys():
                batching = ("batch_size", "shuffle", "drop_last", "generator")
                given = {name: kwargs.pop(name) for name in batching if name in kwargs}
                if training and given["shuffle"]:
                    given["draw_weights"] = functools.partial(self._draw_weights, dataset)
                rows = BatchRows(len(dataset), **given)
                if iterator is DataLoader and kwargs == {"collate_fn": identity_collate}:
                    # What the loader would do in this process, without what it costs per batch.
                    return Batches(dataset, rows)
                kwargs |= {"batch_sampler": rows, "generator": given.get("generator")}
        return iterator(dataset, **kwargs)

    def _draw_weights(self, data: GroupDataset) -> torch.Tensor | None:
        weights = [c.draw_weights(self, data) for c in self._active_constraints()]
        given = [weight for weight in weights if weight is not None]
        return torch.stack(given).prod(0) if given else None

    def _set_training(self, training: bool = True) -> None:
        # skorch walks through all submodules before each batch; the root knows the answer.
        if self.module_.training != training:
            super()._set_training(training)

    def run_single_epoch(
        self,
        iterator: Any,
        training: bool,
        prefix: str,
        step_fn: Callable[..., dict[str, Any]],
        **fit_params: Any,
    ) -> None:
        """Go through the batches once, as skorch does, without waiting for the device in between.

        Until the epoch is over, the batches' losses stand in ``history`` as tensors.
        """
        if iterator is None:
            return
        losses: list[torch.Tensor] = []
        first = len(self.history[-1]["batches"])
        begin, end = self._listeners("on_batch_begin"), self._listeners("on_batch_end")
        try:
            for batch in iterator:
                for listen in begin:
                    listen(self, batch=batch, training=training)
                step = step_fn(batch, **fit_params)
                losses.append(step["loss"].detach())
                row = self.history[-1]["batches"][-1]
                row |= {prefix + "_loss": losses[-1], prefix + "_batch_size": len(batch[1])}
                for listen in end:
                    listen(self, batch=batch, training=training, **step)
        finally:
            rows = self.history[-1]["batches"][first:]
            values = torch.stack(losses).tolist() if losses else []
            for row, value in zip(rows, values, strict=False):
                row[prefix + "_loss"] = value
        self.history.record(prefix + "_batch_count", len(losses))

    def _listeners(self, hook: str) -> list[Callable[..., None]]:
        # Most callbacks do nothing in most hooks; asking each of them adds up over the batches.
        listening = [
            callback
            for _, callback in self.callbacks_
            if getattr(type(callback), hook) is not getattr(Callback, hook)
        ]
        return [getattr(listener, hook) for listener in (self, *listening)]

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Run the module on the features of a batch; groups and weights are kept from it."""
        x = x["X"] if isinstance(x, dict) and "group" in x else x
        if isinstance(x, torch.Tensor):
            return self.module_(x.to(self.device), **fit_params)
        return super().infer(x, **fit_params)

    def sample_losses(self, y_pred: Any, y_true: torch.Tensor) -> torch.Tensor:
        """Return the criterion's loss of each sample.

        Parameters
        ----------
        y_pred : torch.Tensor of shape (n_samples, n_classes), or tuple
            What the module returned; of a tuple, the first.
        y_true : torch.Tensor of shape (n_samples,), dtype int64
            Encoded labels.

        Returns
        -------
        torch.Tensor of shape (n_samples,)
            Losses, part of the graph.
        """
        y_pred = _first(y_pred)
        y_true = to_tensor(y_true, device=self.device)
        if self._takes_probabilities():
            y_pred = torch.log(y_pred + torch.finfo(y_pred.dtype).eps)
        return self.criterion_(y_pred, y_true)

    def _takes_probabilities(self) -> bool:
        # A compiled criterion wraps the original.
        return isinstance(getattr(self.criterion_, "_orig_mod", self.criterion_), nn.NLLLoss)

    def get_loss(
        self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False
    ) -> torch.Tensor:
        """Return the weighted mean loss, in training with the penalties of active constraints."""
        losses = self.sample_losses(y_pred, y_true)
        self.batch_losses_ = losses.detach()
        batch = X if isinstance(X, dict) else {}
        active = self._active_constraints() if training else []
        factors = [constraint.weights(self, batch) for constraint in active]
        factors.append(batch.get("sample_weight"))
        weighted = losses
        for factor in factors:
            if factor is not None:
                weighted = weighted * factor.to(losses.device, non_blocking=True)
        objective = weighted.mean()
        for constraint in active:
            penalty = constraint.penalty(self, losses, batch)
            if penalty is not None:
                objective = objective + penalty
        return objective

    def _active_constraints(self) -> list[Constraint]:
        constraints = (callback for _, callback in self.callbacks_)
        return [c for c in constraints if isinstance(c, Constraint) and c.is_active(self)]

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Let go of the last batch, so that it is not pickled with the net."""
        super().on_train_end(net, X=X, y=y, **kwargs)
        self.batch_losses_ = None

    def check_constraints(self, *phases: Phase) -> None:
        """Raise ValueError where a constraint that acts in the phases cannot do what it is to."""
        for _, callback in self.callbacks_:
            if isinstance(callback, Constraint) and callback.phase in (*phases, "both"):
                callback.check(self)

    @property
    def may_have_validation_groups(self) -> bool:
        """Whether ``train_split`` makes a validation set, and not one that is known to lack groups.

        A data set of the user's in skorch's ``predefined_split`` has labels alone; what another
        function makes is known when it is made.
        """
        given = getattr(self.train_split, "keywords", {}).get("valid_ds")
        return bool(self.train_split) and (given is None or isinstance(given, GroupDataset))

    def check_output(self, data: GroupDataset) -> None:
        """Run the module once on a few rows and check that it can be trained on these labels.

        Parameters
        ----------
        data : GroupDataset
            The training data; two rows are looked at.

        Raises
        ------
        ValueError
            If the output is not (n_samples, n_classes), is not made of probabilities where the
            criterion asks for those, or the criterion has no loss per sample.
        """
        batch, y = data.__getitems__(range(min(2, len(data))))
        self._set_training(False)
        with torch.no_grad():
            y_pred = _first(self.infer(batch))
        expected = (len(y), len(self.classes_))
        if tuple(y_pred.shape) != expected:
            raise ValueError(
                f"module must return one score per class, shape {expected} for {len(y)} samples, "
                f"got {tuple(y_pred.shape)}; classes_ are {list(self.classes_)[:10]} (pass "
                "classes=... where the training data may lack some)"
            )
        if self._takes_probabilities() and not bool(((y_pred >= 0) & (y_pred <= 1)).all()):
            raise ValueError(
                "criterion=NLLLoss (the default) takes probabilities, but module returned values "
                "outside [0, 1]; for a module that returns logits, pass "
                "criterion=torch.nn.CrossEntropyLoss"
            )
        losses = self.sample_losses(y_pred, y)
        if tuple(losses.shape) != (len(y),):
            raise ValueError(
                f"criterion must give one loss per sample, shape ({len(y)},), got shape "
                f"{tuple(losses.shape)} from {type(self.criterion_).__name__}; a criterion of your "
                "own needs an attribute reduction that can be set to 'none'"
            )

    def evaluate(
        self, module: nn.Module, data: GroupDataset
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Run a net over labelled data once.

        Parameters
        ----------
        module : torch.nn.Module
            The dense or the pruned net.
        data : GroupDataset
            With encoded labels.

        Returns
        -------
        losses : ndarray of shape (n_samples,), dtype float64
            Per-sample losses.
        labels : ndarray of shape (n_samples,), dtype int64
            Encoded predictions.
        """
        was_training = module.training
        module.eval()
        losses, labels = [], []
        with torch.no_grad():
            for batch, y in self.get_iterator(data, training=False):
                output = _first(module(to_tensor(batch["X"], device=self.device)))
                losses.append(to_device(self.sample_losses(output, y), "cpu"))
                labels.append(to_device(output.argmax(1), "cpu"))
        module.train(was_training)
        return torch.cat(losses).double().numpy(), torch.cat(labels).numpy()


class LogProbabilities(nn.Module):
    """A net that returns probabilities, as one that returns their logarithms, which are logits."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return log-probabilities, as the loss takes them."""
        output = _first(self.module(X))
        return torch.log(output + torch.finfo(output.dtype).eps)


def _first(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) else output
