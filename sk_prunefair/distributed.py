"""Training one net with several processes, by Hugging Face accelerate.

Every process runs the same script with the same full data, preferably a memory map, which they
share: ``torchrun --nproc_per_node 2 train.py``, or ``accelerate launch`` on GPUs. Such a process is
a *rank*; rank 0 is the main one. `AcceleratedFairPrunedClassifier` combines skorch's
``AccelerateMixin`` and `sk_prunefair.FairPrunedClassifier`; a user's class,
``class Net(AccelerateMixin, FairPrunedClassifier)``, works the same way.

These parts are split over the ranks, or equal on all of them:

- **Batches.** As in accelerate, ``batch_size`` is the number of rows of one rank; with
  ``DataLoaderConfiguration(split_batches=True)`` it is that of all ranks. All ranks draw the same
  order from the same generator, including the constraint's draws, split it into batches of all
  ranks, and take their own rows of each batch: each row belongs to one rank. A batch with fewer
  than two rows for each rank is computed by all, and counted once.
- **The loss** is the criterion's mean over the batch of all ranks: parts of unequal
  size are weighted by their numbers of rows, and class weights and ``ignore_index`` are normalised
  over the whole batch. Gradients are averaged by torch's DistributedDataParallel.
- **Constraints.** Each rank adds up its rows' losses by group. At the end of an epoch the sums are
  reduced over the ranks, in one operation, and every rank takes the same step: multipliers are
  bitwise equal. A group may have rows on a single rank only. Some constraints exchange data in
  every batch: ``violation="absolute"`` its sums by group, `AccuracyGapConstraint`
  the correct predictions, `Distillation`, in every fourth batch, how well the net fits its
  teacher. `EqualGradientConstraint` and `EqualCurvatureConstraint` compare the groups within a
  rank's own rows, as if batches were smaller. A user's constraint needs no change,
  or ``adds_up=True``: see `sk_prunefair.hooks.Hook`.
- **Validation.** Each rank runs its rows of every batch, and outputs are gathered on all ranks;
  scores, early stopping and checkpoints decide equally on all ranks.
- **Pruning.** Criteria that use data use all of it on each rank, at the same time; the plan
  comes from rank 0. Masks are enforced on every rank after every step. Schedules, rewinding and
  averaged weights depend on weights and multipliers only, which are equal. Running averages of
  batch norms are averaged over the ranks after each epoch.
- **Predictions and reports** need no other rank: a rank predicts for all rows that it is given.
  They may be made on every rank or on one of them.
- **Files.** ``save_params``, checkpoints, `sk_prunefair.export` and a report's methods write on the
  main rank only. Call ``accelerator.wait_for_everyone()`` before another rank reads.
  ``save_params`` and ``load_params`` synchronize, so they must be called on all ranks.
  Only a checkpoint's ``f_pickle`` is written by every rank.

``fit``, ``partial_fit``, ``prune`` and ``initialize`` must be called on all ranks, curves and
searches as well, one job at a time; a random split needs a seed, as ranks with different rows
raise an error. If one process fails, ``torchrun`` ends the others and shows its error.

With one process it equals a plain `FairPrunedClassifier`; several processes train on the same
batches as one, as long as the net draws no random numbers, such as those of dropout.
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

    A pickled classifier holds the accelerator, which works only in a process that has created one;
    `sk_prunefair.export.save_compact` needs none.

    Parameters
    ----------
    module, **kwargs
        As for `sk_prunefair.FairPrunedClassifier`; ``device`` is left to the accelerator.
    accelerator : accelerate.Accelerator
        Detects the processes and sets the precision of the training. Kinds of training that keep a
        part of the net on each process (FSDP, DeepSpeed) raise ValueError.
    unwrap_after_train : bool, default=True
        As in skorch; the net is always unwrapped.

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
