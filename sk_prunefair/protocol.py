"""The net's interface for the other parts of the core."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy.typing as npt
import torch
from skorch.history import History
from torch import nn

from sk_prunefair.data.dataset import GroupDataset
from sk_prunefair.data.schema import Schema
from sk_prunefair.hooks import TrainingNet
from sk_prunefair.pruning.pruned import Pruned
from sk_prunefair.pruning.pruner import Planner


class CoreNet(TrainingNet, Protocol):
    """The state and the methods of a net; `sk_prunefair.net.Net` has all of them.

    Loop, objective, engine, files and checks are functions of this protocol, so that none of them
    imports the net.
    """

    # parameters
    callbacks: Any
    classes: Any
    criterion: Any
    prune_rate: float | None
    pruner: Any
    finetune_epochs: int
    finetune_lr: float | None
    finetune_schedule: Any
    rewind_epoch: int | None
    max_epochs: int
    batch_size: int
    predict_nonlinearity: Any
    warm_start: bool
    compile: bool
    autocast: Any

    # state
    module_: nn.Module
    optimizer_: torch.optim.Optimizer
    criterion_: Any
    callbacks_: list[tuple[str, Any]]
    history_: Any
    pruned_: Pruned | None
    schema_: Schema | None
    snapshots_: dict[int, nn.Module]
    seed_: int | None
    training_: Any
    objective_: Any
    step_: Any
    is_output_checked_: bool
    is_initializing_: bool
    compiled_: Any
    _modules: list[str]
    _criteria: list[str]
    _optimizers: list[str]

    @property
    def initialized_(self) -> bool: ...  # noqa: D102
    @property
    def classes_(self) -> npt.NDArray[Any]: ...  # noqa: D102
    @property
    def history(self) -> History: ...  # noqa: D102
    @property
    def phase_(self) -> Any: ...  # noqa: D102
    @property
    def has_own_loss(self) -> bool: ...  # noqa: D102
    @property
    def is_scored_from_cache(self) -> bool: ...  # noqa: D102

    def initialize(self) -> Any: ...  # noqa: D102
    def initialize_module(self) -> Any: ...  # noqa: D102
    def _get_predict_nonlinearity(self) -> Callable[[torch.Tensor], torch.Tensor]: ...
    def _current_init_context(self, name: str) -> AbstractContextManager[None]: ...
    def check_is_fitted(self) -> None: ...  # noqa: D102
    def check_training_readiness(self) -> None: ...  # noqa: D102
    def enforce(self) -> None: ...  # noqa: D102
    def notify(self, method_name: str, **kwargs: Any) -> None: ...  # noqa: D102
    def fit_loop(self, X: Any, y: Any, epochs: int, **kwargs: Any) -> Any: ...  # noqa: D102
    def train(self, data: GroupDataset, epochs: int, *args: Any, **options: Any) -> None: ...  # noqa: D102
    def trained_parts(self) -> dict[str, Any]: ...  # noqa: D102
    def make_pruner(self) -> Planner: ...  # noqa: D102
    def initialize_optimizer(self) -> Any: ...  # noqa: D102
    def get_params_for(self, prefix: str) -> dict[str, Any]: ...  # noqa: D102
    def get_dataset(self, X: Any, y: Any = None) -> GroupDataset: ...  # noqa: D102
    def get_iterator(self, dataset: Any, training: bool = False) -> Any: ...  # noqa: D102
    def with_module(self, module: nn.Module | None) -> Any: ...  # noqa: D102
    def exact(self, module: nn.Module | None = None) -> Any: ...  # noqa: D102
    def torch_compile(self, module: nn.Module, name: str) -> Any: ...  # noqa: D102
    def scratch(self) -> Any: ...  # noqa: D102

    @property
    def wrap_inputs(self) -> Callable[[Any], Any]: ...  # noqa: D102
