"""Resume: continue a killed training, with the same result."""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any

import torch

from sk_prunefair.checks import check_epochs
from sk_prunefair.fingerprint import fingerprint, plain_attributes
from sk_prunefair.hooks import Hook
from sk_prunefair.kept import KeptFolder
from sk_prunefair.restore import is_library
from sk_prunefair.snapshot import restore_files, set_generators, set_state, state_of

if TYPE_CHECKING:
    from sk_prunefair.data.dataset import GroupDataset
    from sk_prunefair.protocol import CoreNet

# Parameters that control output or repetition, not the result.
_SILENT = {
    "accelerator",
    "callbacks",
    "finetune_epochs",
    "max_epochs",
    "prune_rate",
    "random_state",
    "verbose",
    "warm_start",
}


class Resume(Hook):
    """Continue a training after its process was killed, with the same final net.

    After each epoch a file in `dirname` stores the whole state of the training: the
    weights of every module and criterion, the optimizer's state, masks and the current rate, the
    state of callbacks (multipliers, averaged weights, schedules, best scores), the history, and
    torch's, numpy's and Python's random generators. Call ``fit``, ``partial_fit`` or ``prune``
    again with the same arguments, in a new process, and it continues after the last finished
    epoch, with a bitwise equal net on the same machine with the same number of threads.

    Each training, the dense one and every fine-tuning, has its own file, named by a fingerprint
    of its start: weights, parameters, seed and data. So a file is never used for another training:
    with another parameter or other data, training starts from the beginning. A finished training is
    not repeated. Delete the folder at the end.

    skorch's ``Checkpoint`` with ``LoadInitState`` is different: it loads the weights of the
    best epoch and trains for ``max_epochs`` more, with new random numbers.

    Parameters
    ----------
    dirname : str or path-like
        Folder of the files, which are pickles: load only those that you trust. They need about
        three times the size of the net's weights for each training.
    every : int, default=1
        Number of epochs between two writes, at least 1.

    Raises
    ------
    ValueError
        If the net has no ``random_state``, as its training would not be reproducible.

    Notes
    -----
    For callbacks that are neither skorch's nor a `sk_prunefair.hooks.Hook`, attributes that end in
    an underscore and can be pickled are stored. They do not enter the fingerprint, but a
    resumed training warns if their code or parameters (numbers, strings, functions)
    have changed since its start. A torch Dataset enters with its attributes, not its items.

    Files of a ``Checkpoint`` with ``load_best=True`` are stored with the training that wrote them.

    Examples
    --------
    >>> import tempfile
    >>> import torch
    >>> from sk_prunefair import FairPrunedClassifier
    >>> from sk_prunefair.datasets import load_digits
    >>> from sk_prunefair.modules import MLP
    >>> digits = load_digits()
    >>> def train(dirname):
    ...     clf = FairPrunedClassifier(
    ...         MLP,
    ...         criterion=torch.nn.CrossEntropyLoss,
    ...         max_epochs=2,
    ...         callbacks=[("resume", Resume(dirname))],
    ...         verbose=0,
    ...         random_state=0,
    ...     )
    ...     return clf.fit(digits.data, digits.target)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first, again = train(folder), train(folder)  # the second one trains no epoch
    >>> first.history[:, "dur"] == again.history[:, "dur"]
    True
    """

    key_: str | None
    generators_: dict[str, Any] | None

    def __init__(self, dirname: Any, every: int = 1) -> None:
        self.dirname = dirname
        self.every = every

    def initialize(self) -> Any:
        """Check the parameters; called by every new ``fit``."""
        super().initialize()
        KeptFolder(self.dirname)
        if check_epochs(self.every, "every") < 1:
            raise ValueError(f"every must be at least 1, got {self.every!r}")
        self.add_state("key_", None, lives="training")
        self.add_state("generators_", None, lives="training")
        return self

    def resume_training(self, net: CoreNet, data: GroupDataset, epochs: int) -> int:
        """Restore the state of a net's training if it was interrupted.

        Parameters
        ----------
        net : CoreNet
            The net, at the beginning of its training.
        data : GroupDataset
            The training data.
        epochs : int
            Number of epochs of the training.

        Returns
        -------
        int
            Number of remaining epochs.
        """
        if net.seed_ is None:
            raise ValueError("Resume needs a reproducible training: set random_state, got None")
        self.key_ = fingerprint(_start(net, data))
        kept = KeptFolder(self.dirname).read(self.key_)
        n_rows = torch.tensor([0 if kept is None else len(kept["history"])])
        is_same = len(net.ranks.concatenate(n_rows).unique()) == 1
        if kept is None or not is_same:  # killed after only some ranks had written an epoch
            return epochs
        set_state(net, kept)
        if net.ranks.is_main:
            restore_files(kept)
        if kept["users"] != fingerprint(user_callback_values(net)):
            warnings.warn(
                f"the training in {KeptFolder(self.dirname).path(self.key_)} is resumed, but the "
                "user's callbacks, or their parameters or code, differ from those at its start; "
                "delete the file to train from the beginning",
                UserWarning,
                stacklevel=2,
            )
        self.generators_ = kept["generators"]
        return epochs - (len(net.history) - net.training_.first_epoch)

    def restore_generators(self, net: Any) -> None:
        """Restore the random generators; called after the data is split as before."""
        if self.generators_ is not None:
            set_generators(net, self.generators_)
            self.generators_ = None

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Save the state of the training; the net calls this after all other callbacks."""
        done = len(net.history) - net.training_.first_epoch
        if self.key_ is not None and (done % self.every == 0 or done == net.training_.epochs):
            users = fingerprint(user_callback_values(net))
            KeptFolder(self.dirname).write(self.key_, state_of(net) | {"users": users})


def resume_training(net: CoreNet, data: GroupDataset, epochs: int) -> int:
    """Return the number of remaining epochs, after restoring an interrupted training.

    Parameters
    ----------
    net, data, epochs
        As for `Resume.resume_training`.
    """
    found = [callback for _, callback in net.callbacks_ if isinstance(callback, Resume)]
    if len(found) > 1:
        raise ValueError(f"callbacks must hold one Resume at most, got {len(found)}")
    return found[0].resume_training(net, data, epochs) if found else epochs


def training_values(net: Any) -> list[Any]:
    """Return all values that determine a net's next training or pruning, except data.

    Parameters
    ----------
    net : CoreNet
        Initialized net.
    """
    params = {
        name: value
        for name, value in net.get_params(deep=True).items()
        if name not in _SILENT and not name.startswith("callbacks__")
    }
    callbacks = [each for each in net.callbacks_ if counts(each[1])]
    hooks = [callback for _, callback in callbacks if isinstance(callback, Hook)]
    pruned = net.pruned_
    return [
        params,
        callbacks,
        [(hook.copy_states(), hook.dense_states_) for hook in hooks],
        net.seed_,
        len(net.history),
        net.trained_parts(),
        _accelerator_values(net),
        pruned and [pruned.dense, pruned.plan.pack(), pruned.parts, pruned.schedules],
        net.snapshots_,
    ]


def _accelerator_values(net: Any) -> list[Any]:
    """Return the settings of an accelerator, without its progress."""
    accelerator = getattr(net, "accelerator", None)
    names = ("num_processes", "mixed_precision", "gradient_accumulation_steps", "split_batches")
    return [getattr(accelerator, name, None) for name in names]


def counts(callback: Any) -> bool:
    """Tell whether a callback's parameters determine its effect: skorch's and this library's."""
    return is_library(callback) and not isinstance(callback, Resume)


def user_callback_values(net: Any) -> list[Any]:
    """Return parameters and code of callbacks that are not in `training_values`, for a fingerprint.

    Parameters
    ----------
    net : CoreNet
        Initialized net.
    """
    own = [each for each in net.callbacks_ if not is_library(each[1])]
    return [(name, type(callback), _parameters(callback)) for name, callback in own]


def _parameters(callback: Any) -> dict[str, Any]:
    # skorch's get_params would return all attributes, including those that change in training.
    names = inspect.signature(type(callback)).parameters
    return {k: v for k, v in plain_attributes(callback).items() if k in names}


def data_values(data: GroupDataset) -> list[Any]:
    """Return the values of data without reading items, for a fingerprint.

    Parameters
    ----------
    data : GroupDataset
        Arrays enter with all values, a data set with its attributes.
    """
    return [data.source, data.rows, data.targets, data.group, data.sample_weight]


def _start(net: CoreNet, data: GroupDataset) -> list[Any]:
    training = net.training_
    return [
        (training.phase, training.epochs, training.goal, training.follows_schedule),
        (training.first_epoch, training.has_labels, net.ranks.index),
        training_values(net),
        data_values(data),
    ]
