"""Training one net with several processes, by Hugging Face accelerate.

Every process runs the same script and is given the same whole data, best a memory map, which they
share: ``torchrun --nproc_per_node 2 train.py``, or ``accelerate launch`` on GPUs. Such a process is
a *rank*; rank 0 is the main one. `AcceleratedFairPrunedClassifier` is what skorch's
``AccelerateMixin`` makes of `sk_prunefair.FairPrunedClassifier`; a class of the user's,
``class Net(AccelerateMixin, FairPrunedClassifier)``, is the same.

What is split, and what is the same on every rank:

- **Batches.** As accelerate has it, ``batch_size`` is the rows of one rank; with
  ``DataLoaderConfiguration(split_batches=True)`` it is those of all ranks. All ranks draw the same
  order from the same generator, the constraint's draws included, cut it into batches of all ranks,
  and take the rows of a batch that are theirs: each row is one rank's. A batch with fewer than two
  rows for each rank is done by all, and counted once.
- **The loss** is the mean over the batch of all ranks, as the criterion takes it: parts of unequal
  size count by their rows, and class weights and ``ignore_index`` by what the whole batch has of
  them. Gradients are averaged by torch's DistributedDataParallel.
- **Constraints.** Each rank adds up its rows' losses by group. At the end of an epoch the sums are
  reduced over the ranks, in one operation, and every rank takes the same step: multipliers are the
  same bit for bit. A group of which one rank alone has rows is nothing special. What must know the
  whole batch asks for it: ``violation="absolute"`` for sums by group, `AccuracyGapConstraint` for
  which predictions were right, `Distillation` in every fourth batch for how far the net follows its
  teacher. `EqualGradientConstraint` and `EqualCurvatureConstraint` compare the groups within a
  rank's own rows, as if batches were that much smaller. A constraint of the user's needs nothing,
  or ``adds_up=True``: see `sk_prunefair.hooks.Hook`.
- **Validation.** Each rank runs its rows of every batch, and all get the outputs of all; scores,
  early stops and checkpoints decide the same everywhere.
- **Pruning.** Criteria that look at data look at all of it on each rank, at the same time; the plan
  is rank 0's. Masks are enforced on every rank after every step. Schedules, rewinding and averaged
  weights follow from weights and multipliers that are the same. Running averages of batch norms are
  averaged over the ranks after each epoch.
- **Predictions and reports** ask nobody: a rank predicts all of what it is given. They may be made
  on every rank or on one.
- **Files.** ``save_params``, checkpoints, `sk_prunefair.export` and a report's methods write on the
  main rank alone. Call ``accelerator.wait_for_everyone()`` before another rank reads.
  ``save_params`` and ``load_params`` wait by themselves, and so are to be called on all ranks.
  A checkpoint's ``f_pickle`` alone is written by every rank.

``fit``, ``partial_fit``, ``prune`` and ``initialize`` are to be called on all ranks, curves and
searches as well, one job at a time; a split at random needs a seed, or ranks have other rows, which
raises. If one of them dies, ``torchrun`` ends the others and shows its error.

One process is a plain `FairPrunedClassifier`, and several train on the same batches of all ranks as
one would, as long as the net draws no random numbers of its own, as dropout does.
"""

from __future__ import annotations

from typing import Any

from skorch.hf import AccelerateMixin

from sk_prunefair.classifier import FairPrunedClassifier

try:
    import accelerate  # noqa: F401 (an accelerator is made by it)
except ImportError as error:
    raise ImportError(
        "training on several processes needs accelerate: install the extra, "
        "pip install 'sk-prunefair[distributed]'"
    ) from error

__all__ = ["AcceleratedFairPrunedClassifier"]


class AcceleratedFairPrunedClassifier(AccelerateMixin, FairPrunedClassifier):
    """A `sk_prunefair.FairPrunedClassifier` that several processes train together.

    What is pickled holds the accelerator, which works in a process that has made one of its own;
    `sk_prunefair.export.save_compact` needs none.

    Parameters
    ----------
    module, **kwargs
        As for `sk_prunefair.FairPrunedClassifier`; ``device`` is left to the accelerator.
    accelerator : accelerate.Accelerator
        Finds the processes, and says in which precision is trained. Kinds of training that keep a
        part of the net on each process (FSDP, DeepSpeed) raise ValueError.
    unwrap_after_train : bool, default=True
        As skorch has it; the net is always unwrapped.

    Examples
    --------
    >>> import torch
    >>> from accelerate import Accelerator
    >>> from sk_prunefair.datasets import load_digits
    >>> from sk_prunefair.modules import MLP
    >>> digits = load_digits()
    >>> clf = AcceleratedFairPrunedClassifier(
    ...     MLP,
    ...     criterion=torch.nn.CrossEntropyLoss,
    ...     accelerator=Accelerator(cpu=True),
    ...     max_epochs=2,
    ...     verbose=0,
    ... )
    >>> clf = clf.fit(digits.data, digits.target).prune(0.5)
    >>> clf.sparsity_.__round__(2), clf.ranks.count
    (0.5, 1)
    """

    def __init__(self, module: Any, *, accelerator: Any, **kwargs: Any) -> None:
        super().__init__(module, accelerator=accelerator, **kwargs)
