"""The state of a net between trainings: parameters, weights, the nets before and after pruning."""

from __future__ import annotations

import copy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import pandas as pd
from sklearn.utils import check_random_state
from skorch.history import History
from torch import nn

from sk_prunefair.acceleration import CompiledModules, autocast_dtype, compile_parts
from sk_prunefair.data.dataset import GroupDataset
from sk_prunefair.data.schema import Schema
from sk_prunefair.hooks import Phase
from sk_prunefair.pruning import Pruned, sparsity
from sk_prunefair.pruning.masks import Masks
from sk_prunefair.pruning.pruner import Planner, as_planner, get_pruner
from sk_prunefair.ranks import ALONE, Ranks
from sk_prunefair.seeds import seeded

if TYPE_CHECKING:
    from sk_prunefair._skorch import NeuralNetClassifier
else:
    from skorch import NeuralNetClassifier


class NetState(NeuralNetClassifier):
    """skorch's classifier with a pruner, and with a net before and after pruning.

    It stores them and uses no data; `sk_prunefair.net.Net` runs and trains them.
    """

    # Attributes with tensors of the device, which skorch maps when loading on another machine.
    cuda_dependent_attributes_ = ["pruned_", "snapshots_"]  # noqa: RUF012 (skorch rebinds it)
    prefixes_ = [*NeuralNetClassifier.prefixes_, "pruner"]  # noqa: RUF012
    prune_rate: float | None
    pruner: Any
    finetune_epochs: int
    rewind_epoch: int | None
    finetune_lr: float | None
    finetune_schedule: Any
    random_state: Any
    pruned_: Pruned | None = None
    snapshots_: dict[int, nn.Module]
    groups_: pd.Index
    is_initializing_: bool = False
    schema_: Schema | None = None
    seed_: int | None = None
    autocast: Any = None
    compiled_: CompiledModules
    ranks: Ranks = ALONE

    # scikit-learn requires that __init__ sets only parameters; skorch sets these besides.
    history_: Any = None
    virtual_params_: Any = MappingProxyType({})

    def __init__(self, module: type[nn.Module] | nn.Module, **kwargs: Any) -> None:
        super().__init__(module, **kwargs)
        for name in ("history_", "virtual_params_"):
            if self.__dict__[name] is None or self.__dict__[name] == {}:
                del self.__dict__[name]

    @property
    def initialized_(self) -> bool:
        """Whether there is a net; skorch detects its own ``__init__`` by this not existing yet."""
        return self._initialized

    @initialized_.setter
    def initialized_(self, value: bool) -> None:
        self._initialized = value

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copy each attribute; skorch would pickle the net, which fails for some modules."""
        twin = object.__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update({name: copy.deepcopy(each, memo) for name, each in vars(self).items()})
        return twin

    def _get_param_names(self) -> list[str]:
        return [name for name in super()._get_param_names() if not name.startswith("_")]

    def get_params(self, deep: bool = True, **kwargs: Any) -> dict[str, Any]:
        """Return the parameters; ``pruner__…`` options override those of the pruner object."""
        params = super().get_params(deep=deep, **kwargs)
        given = {k: v for k, v in self.__dict__.items() if k.startswith("pruner__")}
        return params | given

    def set_params(self, **kwargs: Any) -> Self:
        """Set parameters, as in skorch; the optimizer's also apply to the next ``prune``."""
        optimizers = list(self._optimizers)
        # Changes of these parameters do not reinitialize the net.
        mine = [key for key in kwargs if key.partition("__")[0] in ("pruner", "compile")]
        options = {key: kwargs.pop(key) for key in mine}
        self.__dict__.update(options)
        super().set_params(**kwargs)
        if self.initialized_ and any(key.startswith("compile") for key in mine):
            compile_parts(self)
        # skorch updates the existing optimizer; every fine-tuning creates a new one.
        for key, value in kwargs.items():
            owner, _, name = key.partition("__")
            if owner in optimizers and name and not name.startswith("param_groups"):
                self.__dict__[key] = value
            if key == "lr" and "optimizer__lr" in vars(self):
                self.__dict__["optimizer__lr"] = value
        return self

    # ---------------------------------------------------------- initialisation

    def initialize(self) -> Self:
        """Create the net, its optimizer and its callbacks, without training.

        For a pretrained module this is enough before `prune` and `fairness_report`,
        with the parameter ``classes`` if labels are not the integers from 0.

        Returns
        -------
        FairPrunedClassifier
            This classifier, its weights drawn from ``random_state``.
        """
        self.seed_ = None
        if self.random_state is not None:
            self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        autocast_dtype(self.autocast)
        self.compiled_ = CompiledModules()
        self.is_initializing_ = True
        try:
            with seeded(self.seed_, 0, self.device):
                super().initialize()
        finally:
            self.is_initializing_ = False
        if hasattr(self, "module_"):  # a subclass may call it with other arguments, as in skorch
            self.ranks.align(self.module_)
        self.snapshots_ = {}
        self._snapshot(0)
        return self

    def _snapshot(self, epoch: int) -> None:
        wanted = {self.rewind_epoch} | ({0} if self.make_pruner().needs_initial else set())
        if epoch in wanted:
            self.snapshots_[epoch] = copy.deepcopy(self.module_)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Save the dense net of the epoch if it is needed later."""
        super().on_epoch_end(net, **kwargs)
        if self.pruned_ is None:
            self._snapshot(len(self.history))

    def initialize_history(self) -> Self:
        """Begin a new history; skorch would clear the previous net's, which may still be used."""
        if type(self.history_) is History and self.initialized_:
            self.history_ = None
        return super().initialize_history()

    def get_params_for_optimizer(self, prefix: str, named_parameters: Any) -> Any:
        """Return the optimizer's arguments; a fine-tuning may have its own learning rate."""
        args, kwargs = super().get_params_for_optimizer(prefix, named_parameters)
        if self.pruned_ is not None and self.finetune_lr is not None:
            kwargs["lr"] = self.finetune_lr
        return args, kwargs

    def make_pruner(self) -> Planner:
        """Return the pruner of the parameters ``pruner`` and ``pruner__…``."""
        return as_planner(get_pruner(self.pruner, **self.get_params_for("pruner")))

    # ----------------------------------------------------------- what is there

    @property
    def phase_(self) -> Phase:
        """The phase of a training that began now: "before" or "after" pruning."""
        return "before" if self.pruned_ is None else "after"

    def enforce(self) -> None:
        """Set the removed weights to zero; called after every possible change of weights."""
        if self.pruned_ is not None:
            self.pruned_.plan.enforce(self.module_)

    @property
    def dense_module_(self) -> nn.Module:
        """The net before pruning, θ* in the paper."""
        self.check_is_fitted()
        return self.module_ if self.pruned_ is None else self.pruned_.dense

    @property
    def masks_(self) -> Masks:
        """Boolean masks by parameter name; empty if nothing was pruned."""
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
    def may_have_validation_groups(self) -> bool:
        """Whether ``train_split`` makes a validation set that may have groups.

        A user's data set in skorch's ``predefined_split`` has labels only; the result of another
        function is known only after the split.
        """
        given = getattr(self.train_split, "keywords", {}).get("valid_ds")
        return bool(self.train_split) and (given is None or isinstance(given, GroupDataset))

    @property
    def is_scored_from_cache(self) -> bool:
        """Whether a scoring callback of skorch has replaced the model by cached outputs."""
        return "forward_iter" in vars(self)

    def scratch(self) -> Any:
        """Return a shallow copy for scikit-learn's checks, which set attributes on it."""
        return self.with_module(vars(self).get("module_"))

    def with_module(self, module: nn.Module | None) -> Any:
        """Return a view of this net with another module and otherwise the same attributes.

        The masks do not apply to another module, such as the dense one.
        """
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        if module is not None and module is not vars(self).get("module_"):
            view.__dict__.update(module_=module, pruned_=None)
        return view

    def exact(self, module: nn.Module | None = None) -> Any:
        """Return a view that runs the module not compiled, and in its own precision.

        It is for code that inspects the module or its weights: pruners, theory, checks.
        """
        view = self.with_module(vars(self).get("module_") if module is None else module)
        view.__dict__.update(compile=False, autocast=None)
        return view
