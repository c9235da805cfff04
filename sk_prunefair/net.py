"""Everything in which the training loop differs from skorch's, each override with its reason."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from sklearn.utils import check_random_state
from skorch.dataset import Dataset as SkorchDataset
from skorch.history import History
from skorch.utils import to_device, to_tensor
from torch import nn
from torch.utils.data import DataLoader

from sk_prunefair import losses as criteria
from sk_prunefair import nested
from sk_prunefair.autodiff import plain_attention
from sk_prunefair.data.batches import LoadedBatches
from sk_prunefair.data.dataset import GroupDataset
from sk_prunefair.data.inputs import is_dataset
from sk_prunefair.data.loading import load_batches, own_dataset, split_labels
from sk_prunefair.data.schema import Schema
from sk_prunefair.evaluation import evaluate
from sk_prunefair.hooks import Hook, Phase, Training
from sk_prunefair.loop import Step, run_epoch
from sk_prunefair.nested import float_dtype, run, tensors_of
from sk_prunefair.objective import Objective, objective_loss
from sk_prunefair.outcome import Outcome
from sk_prunefair.packed import PackedNet, is_stale
from sk_prunefair.parts import make_module, trained_parts
from sk_prunefair.pruning import Pruned, engine, sparsity
from sk_prunefair.pruning.masks import Masks
from sk_prunefair.pruning.pruner import Planner, as_planner, get_pruner
from sk_prunefair.requests import known_schema, settled
from sk_prunefair.seeds import seeded
from sk_prunefair.training import train

if TYPE_CHECKING:
    from sk_prunefair._skorch import NeuralNetClassifier
else:
    from skorch import NeuralNetClassifier


class Net(NeuralNetClassifier):
    """skorch's classifier with groups in its batches, constraints in its loss, and zeros that stay.

    It trains on `GroupDataset`, whose labels are already encoded; `FairPrunedClassifier` does the
    encoding. User's callbacks, `infer` and `get_loss` see what they see in skorch: batches are
    pairs ``(X, y)`` of the user's X.
    """

    # What holds tensors of the device, for skorch to load on a machine without that device.
    cuda_dependent_attributes_ = ["pruned_", "snapshots_"]  # noqa: RUF012 (skorch rebinds it)
    prefixes_ = [*NeuralNetClassifier.prefixes_, "pruner"]  # noqa: RUF012
    pruner: Any
    rewind_epoch: int | None
    finetune_lr: float | None
    finetune_schedule: Any
    random_state: Any
    pruned_: Pruned | None = None
    training_: Training | None = None
    objective_: Objective | None = None
    step_: Step | None = None
    snapshots_: dict[int, nn.Module]
    groups_: pd.Index
    is_output_checked_: bool = True
    is_initializing_: bool = False
    schema_: Schema | None = None
    seed_: int | None = None

    # scikit-learn asks that __init__ sets parameters only; skorch sets these beside them.
    history_: Any = None
    virtual_params_: Any = MappingProxyType({})

    def __init__(self, module: type[nn.Module] | nn.Module, **kwargs: Any) -> None:
        super().__init__(module, **kwargs)
        for name in ("history_", "virtual_params_"):
            if self.__dict__[name] is None or self.__dict__[name] == {}:
                del self.__dict__[name]

    @property
    def initialized_(self) -> bool:
        """Whether there is a net; skorch tells its own ``__init__`` by this not existing yet."""
        return self._initialized

    @initialized_.setter
    def initialized_(self, value: bool) -> None:
        self._initialized = value

    def __deepcopy__(self, memo: dict[int, Any]) -> Net:
        """Copy part by part; skorch would pickle the net, and not every module can be pickled."""
        twin = object.__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update({name: copy.deepcopy(each, memo) for name, each in vars(self).items()})
        return twin

    def _get_param_names(self) -> list[str]:
        return [name for name in super()._get_param_names() if not name.startswith("_")]

    def get_params(self, deep: bool = True, **kwargs: Any) -> dict[str, Any]:
        """Return the parameters; options given beside a pruner stand before the pruner's own."""
        params = super().get_params(deep=deep, **kwargs)
        given = {k: v for k, v in self.__dict__.items() if k.startswith("pruner__")}
        return params | given

    def set_params(self, **kwargs: Any) -> Net:
        """Set parameters, as in skorch; the optimizer's also hold for the next ``prune``."""
        optimizers = list(self._optimizers)
        # The pruner and its options: nothing of the net is made anew for them.
        mine = [key for key in kwargs if key == "pruner" or key.startswith("pruner__")]
        options = {key: kwargs.pop(key) for key in mine}
        self.__dict__.update(options)
        super().set_params(**kwargs)
        # skorch changes the optimizer that is there; every fine-tuning makes a new one.
        for key, value in kwargs.items():
            owner, _, name = key.partition("__")
            if owner in optimizers and name and not name.startswith("param_groups"):
                self.__dict__[key] = value
            if key == "lr" and "optimizer__lr" in vars(self):
                self.__dict__["optimizer__lr"] = value
        return self

    # ---------------------------------------------------------- initialisation

    def initialize_history(self) -> Net:
        """Begin a history; skorch would empty the one of the net before, which may be wanted."""
        if type(self.history_) is History and self.initialized_:
            self.history_ = None
        return super().initialize_history()

    def initialized_instance(self, instance_or_cls: Any, kwargs: dict[str, Any]) -> Any:
        """Create the module, or another part, as `sk_prunefair.parts.make_module` does."""
        create = super().initialized_instance
        if instance_or_cls is not self.module:
            return create(instance_or_cls, kwargs)
        return make_module(self, instance_or_cls, kwargs, create)

    # -------------------------------------------------------------------- data

    def check_data(self, X: Any, y: Any = None) -> None:
        """Do nothing: the data was checked before it became a `GroupDataset`."""

    def get_dataset(self, X: Any, y: Any = None) -> GroupDataset:
        """Return X, and y where it is given, as a `GroupDataset`, checked and encoded."""
        if isinstance(X, GroupDataset):
            return X
        schema = known_schema(self)
        inputs = schema.check_inputs(X, self.scratch())
        labels = None if y is None else schema.check_labels(inputs, y, self)
        return schema.encode(self.wrap_inputs(settled(self, schema, inputs)), labels)

    def scratch(self) -> Any:
        """Return a view of this estimator for scikit-learn's checks to set attributes on."""
        return self.with_module(vars(self).get("module_"))

    def with_module(self, module: nn.Module | None) -> Any:
        """Return a view of this net, all its attributes the same, with another module.

        What was removed from the net is no business of another module, such as the dense one.
        """
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        if module is not None and module is not vars(self).get("module_"):
            view.__dict__.update(module_=module, pruned_=None)
        return view

    def wrap_inputs(self, inputs: Any) -> Any:
        """Return the inputs, as the user's ``dataset`` parameter has them if it is set."""
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

    @property
    def may_have_validation_groups(self) -> bool:
        """Whether ``train_split`` makes a validation set, and not one that is known to lack groups.

        A data set of the user's in skorch's ``predefined_split`` has labels alone; what another
        function makes is known when it is made.
        """
        given = getattr(self.train_split, "keywords", {}).get("valid_ds")
        return bool(self.train_split) and (given is None or isinstance(given, GroupDataset))

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Return batches fetched whole; training data is shuffled unless told otherwise."""
        prefix = "iterator_train" if training else "iterator_valid"
        iterator = getattr(self, prefix)
        if not isinstance(dataset, GroupDataset):
            return super().get_iterator(dataset, training=training)
        if not (isinstance(iterator, type) and issubclass(iterator, DataLoader)):
            return LoadedBatches(super().get_iterator(dataset, training=training))
        options = {"batch_size": self.batch_size} | self.get_params_for(prefix)
        draws = functools.partial(self._draw_weights, dataset) if training else None
        return load_batches(dataset, iterator, options, training, draws)

    def _draw_weights(self, data: GroupDataset) -> torch.Tensor | None:
        return None if self.objective_ is None else self.objective_.draw_weights(data)

    # ---------------------------------------------------------------- the loop

    @property
    def phase_(self) -> Phase:
        """Either "before" or "after" pruning: what a training now would train."""
        return "before" if self.pruned_ is None else "after"

    def enforce(self) -> None:
        """Set the removed weights to zero; called after everything that may change weights."""
        if self.pruned_ is not None:
            self.pruned_.plan.enforce(self.module_)

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Call the callbacks, as skorch does, and remove again what pruning removed.

        At the end of a training the callbacks of this library come first: they may load averaged
        weights, and who restores the best ones has the last word, in whatever order they are given.
        """
        if method_name == "on_epoch_begin":
            for hook in self._hooks():
                hook.reset_states("epoch")
        getattr(self, method_name)(self, **kwargs)
        callbacks = [callback for _, callback in self.callbacks_]
        if method_name == "on_train_end":
            callbacks.sort(key=lambda callback: not isinstance(callback, Hook))
        for callback in callbacks:
            getattr(callback, method_name)(self, **kwargs)
        if method_name != "on_grad_computed":  # the optimizer's step comes after it
            self.enforce()

    def _hooks(self) -> list[Hook]:
        return [c for _, c in getattr(self, "callbacks_", []) if isinstance(c, Hook)]

    def run_single_epoch(
        self,
        iterator: Any,
        training: bool,
        prefix: str,
        step_fn: Callable[..., dict[str, Any]],
        **fit_params: Any,
    ) -> None:
        """Go through the batches once, as `sk_prunefair.loop.run_epoch` does."""
        if iterator is None:
            return
        is_twice = training and self.objective_ is not None and self.objective_.takes_derivatives
        with plain_attention() if is_twice else contextlib.nullcontext():
            run_epoch(self, iterator, training, prefix, step_fn, **fit_params)

    def _set_training(self, training: bool = True) -> None:
        # skorch walks through all submodules before each batch; the root knows the answer.
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
        """Run the module on the inputs of a batch, floats in the module's own precision."""
        if not tensors_of(x):  # arrays, a packed sequence: skorch makes tensors of what it can
            return super().infer(x, **fit_params)
        return run(self.module_, nested.to(x, self.device, float_dtype(self.module_)), **fit_params)

    # ---------------------------------------------------------------- the loss

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
        y_true = to_tensor(y_true, device=self.device)
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
        """Return the criterion's mean loss, in training with what active constraints make of it.

        No hook of skorch can change the loss. The mean is the criterion's own: with class weights
        the weighted sum over the sum of the weights. A ``reduction`` of "sum" is kept; with "none"
        a ``get_loss`` of the user's, which calls this one, is given the losses of the samples.
        """
        return objective_loss(self, y_pred, y_true, training)

    # ------------------------------------------------------------- a training

    def initialize(self) -> Net:
        """Create the net, its optimizer and its callbacks, without training.

        For a pretrained module this is all that is needed before `prune` and `fairness_report`,
        given the parameter ``classes`` where labels are not the integers from 0.

        Returns
        -------
        FairPrunedClassifier
            This classifier, its weights drawn from ``random_state``.
        """
        self.seed_ = None
        if self.random_state is not None:
            self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.is_initializing_ = True
        try:
            with seeded(self.seed_, 0, self.device):
                super().initialize()
        finally:
            self.is_initializing_ = False
        self.snapshots_ = {}
        self._snapshot(0)
        return self

    def _snapshot(self, epoch: int) -> None:
        wanted = {self.rewind_epoch} | ({0} if self.make_pruner().needs_initial else set())
        if epoch in wanted:
            self.snapshots_[epoch] = copy.deepcopy(self.module_)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Keep the dense net of the epoch where something will ask for it."""
        super().on_epoch_end(net, **kwargs)
        if self.pruned_ is None:
            self._snapshot(len(self.history))

    def train(self, data: GroupDataset, epochs: int, *args: Any, **options: Any) -> None:
        """Train for some epochs, as `sk_prunefair.training.train` does."""
        train(self, data, epochs, *args, **options)

    def get_params_for_optimizer(self, prefix: str, named_parameters: Any) -> Any:
        """Return the optimizer's arguments; a fine-tuning may have a learning rate of its own."""
        args, kwargs = super().get_params_for_optimizer(prefix, named_parameters)
        if self.pruned_ is not None and self.finetune_lr is not None:
            kwargs["lr"] = self.finetune_lr
        return args, kwargs

    def raise_rate(self, rate: float, data: GroupDataset) -> None:
        """Remove more weights of ``module_`` in the middle of a fine-tuning.

        Parameters
        ----------
        rate : float
            Share of the weights that is then removed, in [0, 1).
        data : GroupDataset
            What is trained on, for criteria that look at data.
        """
        engine.raise_rate(self, rate, data)

    def trained_parts(self) -> dict[str, Any]:
        """Return modules, criteria and optimizers by the names of their attributes."""
        return trained_parts(self)

    def make_pruner(self) -> Planner:
        """Return what makes plans as ``pruner`` and ``pruner__…`` say."""
        return as_planner(get_pruner(self.pruner, **self.get_params_for("pruner")))

    # ------------------------------------------------------------ what is there

    @property
    def dense_module_(self) -> nn.Module:
        """The net before pruning, θ* in the paper."""
        self.check_is_fitted()
        return self.module_ if self.pruned_ is None else self.pruned_.dense

    @property
    def masks_(self) -> Masks:
        """Boolean masks by parameter name; empty where nothing was pruned."""
        self.check_is_fitted()
        return {} if self.pruned_ is None else self.pruned_.masks

    @property
    def zeroed_(self) -> Masks:
        """Masks of the parameters of ``module_`` that are held at zero; none for channels."""
        return {} if self.pruned_ is None else self.pruned_.zeroed

    @property
    def prune_rate_(self) -> float:
        """The rate of the last ``prune``; 0.0 for the dense net."""
        self.check_is_fitted()
        return 0.0 if self.pruned_ is None else self.pruned_.rate

    @property
    def sparsity_(self) -> float:
        """Share of the prunable weights that is removed."""
        return sparsity(self.masks_)

    @property
    def has_own_loss(self) -> bool:
        """Whether a subclass has a ``get_loss`` of its own."""
        return type(self).get_loss is not Net.get_loss

    @property
    def is_scored_from_cache(self) -> bool:
        """Whether a scoring callback of skorch has put cached outputs in the model's place."""
        return "forward_iter" in vars(self)

    def outcomes(self, data: GroupDataset, *modules: nn.Module) -> list[Outcome]:
        """Return the losses and the encoded predictions of nets, sample by sample.

        Parameters
        ----------
        data : GroupDataset
            With encoded labels, read once for all nets.
        *modules : torch.nn.Module
            Such as the dense and the pruned net.
        """
        return evaluate(self, data, *modules).outcomes

    # ------------------------------------------------------------------- files

    def _get_module(self, name: str, msg: str) -> Any:
        # skorch saves and loads what this returns; a pruned net has more to save than its module.
        module = super()._get_module(name, msg)
        return PackedNet(self) if name.rstrip("_") == "module" else module

    def load_params(self, *args: Any, checkpoint: Any = None, **kwargs: Any) -> None:
        """Load from files, as in skorch, and remove again what pruning removed.

        A callback that restores the best epoch restores one of the training that runs, or nothing.
        """
        if checkpoint is not None and is_stale(self, checkpoint):
            return
        own = self.history_ if self.training_ is not None and self.pruned_ is not None else None
        super().load_params(*args, checkpoint=checkpoint, **kwargs)
        if own is not None and not own:  # LoadInitState: the fine-tuning has its own first epoch
            self.history_ = own
        self.enforce()

    def trim_for_prediction(self) -> None:
        """Drop what only training needs, as in skorch; predictions stay what they were."""
        self.check_is_fitted()
        # skorch asks the criterion what makes probabilities, and drops it.
        self.predict_nonlinearity = self._get_predict_nonlinearity()
        super().trim_for_prediction()
        self.snapshots_ = {}
        if self.pruned_ is not None:
            self.pruned_ = replace(self.pruned_, dense_history=(), parts={}, schedules={})
