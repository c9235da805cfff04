"""Resume: a training that was killed goes on where it was, and ends with the same net."""

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
from sk_prunefair.snapshot import put_files_back, set_generators, set_state, state_of

if TYPE_CHECKING:
    from sk_prunefair.data.dataset import GroupDataset
    from sk_prunefair.protocol import CoreNet

# Parameters that say how a training is shown, or when it is asked for, not what it does.
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
    """Take a training up again where it was killed, and end with the net of one that was not.

    After each epoch a file in `dirname` keeps all that the rest of the training depends on: the
    weights of every module and criterion, the optimizer's state, masks and the rate so far, what
    callbacks remember (multipliers, averaged weights, schedules, best scores), the history, and
    torch's, numpy's and Python's random generators. Call ``fit``, ``partial_fit`` or ``prune``
    again with the same arguments, in a new process, and it goes on after the last epoch that was
    finished: bit for bit the same net, on the same machine with the same number of threads.

    Each training has a file of its own, the dense one and every fine-tuning, named by a fingerprint
    of its start: weights, parameters, seed and data. So a file is never taken for another training:
    change a parameter or the data, and training begins anew. A training that ended is not repeated.
    Delete the folder when all is done.

    skorch's ``Checkpoint`` with ``LoadInitState`` is another thing: it loads the weights of the
    best epoch and trains for ``max_epochs`` more, with fresh random numbers.

    Parameters
    ----------
    dirname : str or path-like
        Folder of the files, which are pickles: load those alone that you trust. About three times
        the size of the net's weights for each training.
    every : int, default=1
        Epochs between two writings, at least 1.

    Raises
    ------
    ValueError
        If the net has no ``random_state``: it would never begin the same way again.

    Notes
    -----
    Of callbacks that are neither skorch's nor a `sk_prunefair.hooks.Hook`, those attributes are
    kept that end in an underscore and can be pickled. They do not count in the fingerprint, but a
    training that is taken up warns where their code or parameters (numbers, strings, functions)
    are not those of its beginning. Of a torch Dataset its attributes count, not its items.

    Files of a ``Checkpoint`` with ``load_best=True`` are kept with the training that wrote them.

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
        """Check the parameters; a new ``fit`` calls this."""
        super().initialize()
        KeptFolder(self.dirname)
        if check_epochs(self.every, "every") < 1:
            raise ValueError(f"every must be at least 1, got {self.every!r}")
        self.add_state("key_", None, lives="training")
        self.add_state("generators_", None, lives="training")
        return self

    def take_up(self, net: CoreNet, data: GroupDataset, epochs: int) -> int:
        """Set a net to where its training was, if it was under way before.

        Parameters
        ----------
        net : CoreNet
            At the beginning of its training.
        data : GroupDataset
            What it is trained on.
        epochs : int
            How many it is to be trained.

        Returns
        -------
        int
            The epochs that are left.
        """
        if net.seed_ is None:
            raise ValueError("Resume needs a reproducible training: set random_state, got None")
        self.key_ = fingerprint(_start(net, data))
        kept = KeptFolder(self.dirname).read(self.key_)
        n_rows = torch.tensor([0 if kept is None else len(kept["history"])])
        is_same = len(net.ranks.concatenate(n_rows).unique()) == 1
        if kept is None or not is_same:  # killed while some ranks had written an epoch, some not
            return epochs
        set_state(net, kept)
        if net.ranks.is_main:
            put_files_back(kept)
        if kept["users"] != fingerprint(users_callbacks(net)):
            warnings.warn(
                f"the training in {KeptFolder(self.dirname).path(self.key_)} is resumed, but the "
                "user's callbacks, or their parameters or code, differ from those at its start; "
                "delete the file to train from the beginning",
                UserWarning,
                stacklevel=2,
            )
        self.generators_ = kept["generators"]
        return epochs - (len(net.history) - net.training_.first_epoch)

    def go_on(self, net: Any) -> None:
        """Draw on from where the training was; called once the data is split as it was before."""
        if self.generators_ is not None:
            set_generators(net, self.generators_)
            self.generators_ = None

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Write down where the training is; the net calls this after all other callbacks."""
        done = len(net.history) - net.training_.first_epoch
        if self.key_ is not None and (done % self.every == 0 or done == net.training_.epochs):
            users = fingerprint(users_callbacks(net))
            KeptFolder(self.dirname).write(self.key_, state_of(net) | {"users": users})


def take_up(net: CoreNet, data: GroupDataset, epochs: int) -> int:
    """Return how many epochs are left of a training, taken up again where a callback has kept it.

    Parameters
    ----------
    net, data, epochs
        As for `Resume.take_up`.
    """
    found = [callback for _, callback in net.callbacks_ if isinstance(callback, Resume)]
    if len(found) > 1:
        raise ValueError(f"callbacks must hold one Resume at most, got {len(found)}")
    return found[0].take_up(net, data, epochs) if found else epochs


def what_is_known(net: Any) -> list[Any]:
    """Return all that a net's next training or pruning depends on, beside data, for a fingerprint.

    Parameters
    ----------
    net : CoreNet
        Initialized.
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
        _accelerator_is_known(net),
        pruned and [pruned.dense, pruned.plan.pack(), pruned.parts, pruned.schedules],
        net.snapshots_,
    ]


def _accelerator_is_known(net: Any) -> list[Any]:
    """Return how an accelerator trains, not how far it has come."""
    accelerator = getattr(net, "accelerator", None)
    names = ("num_processes", "mixed_precision", "gradient_accumulation_steps", "split_batches")
    return [getattr(accelerator, name, None) for name in names]


def counts(callback: Any) -> bool:
    """Tell whether a callback's parameters say what a training does: one of ours, or skorch's."""
    return is_library(callback) and not isinstance(callback, Resume)


def users_callbacks(net: Any) -> list[Any]:
    """Return what is known of callbacks that are not in `what_is_known`, for a fingerprint.

    Parameters
    ----------
    net : CoreNet
        Initialized.
    """
    own = [each for each in net.callbacks_ if not is_library(each[1])]
    return [(name, type(callback), _parameters(callback)) for name, callback in own]


def _parameters(callback: Any) -> dict[str, Any]:
    # skorch's get_params would return all attributes, what changes in a training as well.
    names = inspect.signature(type(callback)).parameters
    return {k: v for k, v in plain_attributes(callback).items() if k in names}


def data_is_known(data: GroupDataset) -> list[Any]:
    """Return what is known of data without reading items, for a fingerprint.

    Parameters
    ----------
    data : GroupDataset
        Arrays count with all they hold, a data set with its attributes.
    """
    return [data.source, data.rows, data.targets, data.group, data.sample_weight]


def _start(net: CoreNet, data: GroupDataset) -> list[Any]:
    training = net.training_
    return [
        (training.phase, training.epochs, training.goal, training.follows_schedule),
        (training.first_epoch, training.has_labels, net.ranks.index),
        what_is_known(net),
        data_is_known(data),
    ]
