"""What a callback may ask of the net that is trained, and the base of callbacks with state."""

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
    """What is known of a training when it begins.

    Parameters
    ----------
    phase : {"before", "after"}
        Whether the dense net is trained, before pruning, or the pruned one is fine-tuned.
    epochs : int
        How many were asked for.
    goal : float
        The share of the weights that is removed when the training ends.
    first_epoch : int, default=0
        Rows that ``net.history`` holds already.
    follows_schedule : bool, default=False
        Whether a `sk_prunefair.pruning.PruningSchedule` spreads the pruning over the epochs.
    has_labels : bool, default=True
        False for a fine-tuning that follows a teacher alone.
    """

    phase: Phase
    epochs: int
    goal: float = 0.0
    first_epoch: int = 0
    follows_schedule: bool = False
    has_labels: bool = True


class TrainingNet(Protocol):
    """What a callback of this library may ask of the net; `FairPrunedClassifier` is one.

    ``history`` holds the epochs of the training that runs: the dense training, or the fine-tuning
    since the last ``prune``. Outside a training it holds both, one after the other.
    """

    device: Any
    train_split: Any
    groups_: pd.Index
    batch_size: int
    criterion_: Any

    @property
    def ranks(self) -> Ranks:
        """The processes that train the net together; one, unless it is accelerated."""

    @property
    def module_(self) -> nn.Module:
        """The net as it is."""

    @property
    def dense_module_(self) -> nn.Module:
        """The net before pruning; the same as ``module_`` where nothing was pruned."""

    @property
    def optimizer_(self) -> torch.optim.Optimizer:
        """The optimizer of ``module_``."""

    @property
    def history(self) -> History:
        """One row per epoch."""

    @property
    def training_(self) -> Training:
        """The training that runs."""

    @property
    def prune_rate_(self) -> float:
        """Share of the prunable weights that is removed now."""

    @property
    def zeroed_(self) -> dict[str, torch.Tensor]:
        """Masks of the parameters of ``module_`` that are held at zero, True where kept."""

    @property
    def may_have_validation_groups(self) -> bool:
        """Whether ``train_split`` makes a validation set that is not known to lack groups."""

    def sample_losses(self, y_pred: Any, y_true: torch.Tensor) -> torch.Tensor:
        """Return the criterion's loss of each sample, part of the graph."""

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Run ``module_`` on the inputs of a batch."""

    def with_module(self, module: nn.Module | None) -> Any:
        """Return a view of the net with another module, to ``infer`` with."""

    def get_params_for(self, prefix: str) -> dict[str, Any]:
        """Return the parameters of a prefix, such as "iterator_train"."""

    def outcomes(self, data: GroupDataset, *modules: nn.Module) -> list[Outcome]:
        """Return the losses and the encoded predictions of nets, sample by sample."""

    def raise_rate(self, rate: float, data: GroupDataset) -> None:
        """Remove more weights of ``module_`` in the middle of a fine-tuning."""


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
    """A skorch callback whose state is declared once and then cared for.

    A subclass declares what it remembers in ``initialize``, with `add_state`; the net sets it back
    when an epoch, a training or a ``fit`` begins, keeps what lives for a fit at the end of the
    dense training, and returns to that before every ``prune``. State that lives for an epoch or a
    training is gone when the training ends, so that it is not pickled with the net.

    ``on_batch_end`` is given one argument more than other callbacks: ``losses``, the loss of each
    sample of the batch, shape (batch_size,), without weights and outside the graph.

    Where several processes train the net (`sk_prunefair.distributed`), each of them calls the
    hooks with other rows: all together, ``on_batch_end`` of every process sees each row of an epoch
    once, in the validation set as well. What is counted or summed up over batches is declared with
    ``adds_up=True``; it is the sum over all processes when ``on_epoch_end`` is called. A hook that
    does so, and draws no random numbers of its own, ends each epoch with the same state in every
    process, and needs nothing else. A hook that must know more of the others asks ``net.ranks``, a
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
        """Forget all state; a new ``fit`` calls this. Subclasses declare their state here."""
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
            The attribute; it ends in an underscore, as nothing that was learned is a parameter.
        default : object
            What it is set to; copied each time.
        lives : {"epoch", "training", "fit"}, default="training"
            When it is set back: at the beginning of each epoch, of each training (the dense one,
            or a fine-tuning), or of ``fit`` alone.
        rewinds : bool, default=True
            Whether something that lives for a fit goes back to what it was at the end of the dense
            training when the net is pruned again.
        adds_up : bool, default=False
            Whether it is a number, an array or a tensor that is summed up over the batches of an
            epoch, so that it is to be summed over the processes as well; it must live for an epoch.
            None is left as it is.

        Raises
        ------
        ValueError
            If the name does not end in an underscore, the lifetime is unknown, or a state that adds
            up outlives its epoch.
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
        """Set back what does not outlive the beginning of an epoch, a training or a fit."""
        for name, state in self.states_.items():
            if state.lives in _SPANS[begins]:
                setattr(self, name, copy.deepcopy(state.default))

    def sum_states(self, ranks: Ranks) -> None:
        """Sum what adds up over the processes; the net calls this at the end of each epoch."""
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
        """Return copies of what lives for a fit, by name."""
        return {
            name: copy.deepcopy(getattr(self, name))
            for name, state in self.states_.items()
            if state.lives == "fit"
        }

    def remember_dense(self) -> None:
        """Keep the state at the end of the dense training."""
        self.dense_states_ = self.copy_states()

    def rewind(self) -> None:
        """Go back to the state at the end of the dense training; ``prune`` calls this.

        Where this hook has seen no dense training, as with a pretrained net, that is the default.
        """
        dense = self.dense_states_ or {}
        for name, state in self.states_.items():
            if state.lives == "fit" and state.rewinds:
                setattr(self, name, copy.deepcopy(dense.get(name, state.default)))
