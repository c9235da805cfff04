"""The net's interface for callbacks, and the base class of callbacks with state."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import nn

from sk_prunefair.ranks import Ranks

if TYPE_CHECKING:
    import pandas as pd
    from skorch.history import History

    from sk_prunefair.data.dataset import GroupDataset
    from sk_prunefair.outcome import Outcome

Phase = Literal["before", "after"]
Lifetime = Literal["epoch", "training", "fit"]


@dataclass(frozen=True)
class Training:
    """Description of a training at its beginning.

    Parameters
    ----------
    phase : {"before", "after"}
        Whether the dense net is trained, before pruning, or the pruned one is fine-tuned.
    epochs : int
        Requested number of epochs.
    goal : float
        Share of the weights that is removed at the end of the training.
    first_epoch : int, default=0
        Number of rows in ``net.history`` before it.
    follows_schedule : bool, default=False
        Whether a `sk_prunefair.pruning.PruningSchedule` spreads the pruning over the epochs.
    has_labels : bool, default=True
        False for a fine-tuning on a teacher's outputs only.
    """

    phase: Phase
    epochs: int
    goal: float = 0.0
    first_epoch: int = 0
    follows_schedule: bool = False
    has_labels: bool = True


class TrainingNet(Protocol):
    """The part of the net that callbacks may use; `FairPrunedClassifier` implements it.

    ``history`` holds the epochs of the current training: the dense training, or the fine-tuning
    since the last ``prune``. Outside a training it holds both, one after the other.
    """

    device: Any
    train_split: Any
    groups_: pd.Index
    batch_size: int
    criterion_: Any

    @property
    def ranks(self) -> Ranks:
        """The processes that train the net together; one, unless training is distributed."""

    @property
    def module_(self) -> nn.Module:
        """The current net."""

    @property
    def dense_module_(self) -> nn.Module:
        """The net before pruning; the same object as ``module_`` if nothing was pruned."""

    @property
    def optimizer_(self) -> torch.optim.Optimizer:
        """The optimizer of ``module_``."""

    @property
    def history(self) -> History:
        """One row per epoch."""

    @property
    def training_(self) -> Training:
        """The current training."""

    @property
    def prune_rate_(self) -> float:
        """Share of the prunable weights that is currently removed."""

    @property
    def zeroed_(self) -> dict[str, torch.Tensor]:
        """Masks of the parameters of ``module_`` that are held at zero, True where kept."""

    @property
    def may_have_validation_groups(self) -> bool:
        """Whether ``train_split`` makes a validation set that may have groups."""

    def sample_losses(self, y_pred: Any, y_true: torch.Tensor) -> torch.Tensor:
        """Return the criterion's loss of each sample, part of the graph."""

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Run ``module_`` on the inputs of a batch."""

    def with_module(self, module: nn.Module | None) -> Any:
        """Return a view of the net with another module, for ``infer``."""

    def get_params_for(self, prefix: str) -> dict[str, Any]:
        """Return the parameters of a prefix, such as "iterator_train"."""

    def outcomes(self, data: GroupDataset, *modules: nn.Module) -> list[Outcome]:
        """Return the losses and the encoded predictions of nets, sample by sample."""

    def raise_rate(self, rate: float, data: GroupDataset) -> None:
        """Remove more weights of ``module_`` during a fine-tuning."""


@dataclass
class _State:
    default: Any
    lives: Lifetime
    rewinds: bool
    adds_up: bool


_SPANS: dict[Lifetime, tuple[Lifetime, ...]] = {
    "epoch": ("epoch",),
    "training": ("epoch", "training"),
    "fit": ("epoch", "training", "fit"),
}


class Hook(Callback):
    """A skorch callback whose state is declared once and reset automatically.

    A subclass declares its state in ``initialize``, with `add_state`; the net resets it
    when an epoch, a training or a ``fit`` begins, saves the state with ``lives="fit"`` at the end
    of the dense training, and restores it before every ``prune``. State of an epoch or a
    training is removed when the training ends, so that it is not pickled with the net.

    ``on_batch_end`` gets one argument more than in other callbacks: ``losses``, the loss of each
    sample of the batch, shape (batch_size,), without weights and outside the graph.

    Where several processes train the net (`sk_prunefair.distributed`), each of them calls the
    hooks with other rows: together, the processes' ``on_batch_end`` get each row of an epoch
    once, also in the validation set. State that is summed over batches is declared with
    ``adds_up=True``; it is the sum over all processes when ``on_epoch_end`` is called. A hook that
    does so, and draws no random numbers, ends each epoch with the same state in every
    process. A hook that needs more data of the other processes uses ``net.ranks``, a
    `sk_prunefair.ranks.Ranks`.

    Examples
    --------
    >>> class CountRows(Hook):
    ...     def initialize(self):
    ...         super().initialize()
    ...         self.add_state("n_rows_", 0, lives="epoch", adds_up=True)
    ...         return self
    ...
    ...     def on_batch_end(self, net, training, losses, **kwargs):
    ...         self.n_rows_ += training * len(losses)
    >>> hook = CountRows().initialize()
    >>> hook.on_batch_end(None, training=True, losses=torch.ones(3))
    >>> hook.n_rows_
    3
    >>> hook.reset_states("epoch")
    >>> hook.n_rows_
    0
    """

    def initialize(self) -> Any:
        """Reset all state; called by every new ``fit``. Subclasses declare their state here."""
        self.states_: dict[str, _State] = {}
        self.dense_states_: dict[str, Any] | None = None
        return self

    def add_state(
        self,
        name: str,
        default: Any,
        *,
        lives: Lifetime = "training",
        rewinds: bool = True,
        adds_up: bool = False,
    ) -> None:
        """Declare an attribute of the hook, and set it to its default.

        Parameters
        ----------
        name : str
            Name of the attribute, which must end in an underscore, as learned values are not
            parameters.
        default : object
            Initial value; copied each time.
        lives : {"epoch", "training", "fit"}, default="training"
            When it is reset: at the beginning of each epoch, of each training (the dense one,
            or a fine-tuning), or only of ``fit``.
        rewinds : bool, default=True
            Whether state with ``lives="fit"`` is reset to its value at the end of the dense
            training before the net is pruned again.
        adds_up : bool, default=False
            Whether it is a number, an array or a tensor that is summed over the batches of an
            epoch and must be summed over the processes as well; needs ``lives="epoch"``.
            A value of None is not summed.

        Raises
        ------
        ValueError
            If the name does not end in an underscore, `lives` is unknown, or `adds_up` is True for
            state that is not reset every epoch.
        """
        if not name.endswith("_"):
            raise ValueError(f"name must end in an underscore, got {name!r}")
        if lives not in _SPANS:
            raise ValueError(f"lives must be one of {sorted(_SPANS)}, got {lives!r}")
        if adds_up and lives != "epoch":
            raise ValueError(f"adds_up=True needs lives='epoch', got {lives!r}")
        self.states_[name] = _State(default, lives, rewinds, adds_up)
        setattr(self, name, copy.deepcopy(default))

    def reset_states(self, begins: Lifetime) -> None:
        """Reset the state that ends at the beginning of an epoch, a training or a fit."""
        for name, state in self.states_.items():
            if state.lives in _SPANS[begins]:
                setattr(self, name, copy.deepcopy(state.default))

    def sum_states(self, ranks: Ranks) -> None:
        """Sum the state with ``adds_up=True`` over the processes, at the end of each epoch."""
        for name, state in self.states_.items():
            value = getattr(self, name)
            if not state.adds_up or value is None or ranks.count == 1:
                continue
            total = ranks.sum(torch.as_tensor(value))
            if isinstance(value, np.ndarray):
                value = total.numpy()
            else:
                value = total if isinstance(value, torch.Tensor) else total.item()
            setattr(self, name, value)

    def copy_states(self) -> dict[str, Any]:
        """Return copies of the state with ``lives="fit"``, by name."""
        return {
            name: copy.deepcopy(getattr(self, name))
            for name, state in self.states_.items()
            if state.lives == "fit"
        }

    def remember_dense(self) -> None:
        """Save the state at the end of the dense training."""
        self.dense_states_ = self.copy_states()

    def rewind(self) -> None:
        """Restore the state at the end of the dense training; called by ``prune``.

        Without a dense training, as for a pretrained net, this is the default.
        """
        dense = self.dense_states_ or {}
        for name, state in self.states_.items():
            if state.lives == "fit" and state.rewinds:
                setattr(self, name, copy.deepcopy(dense.get(name, state.default)))
