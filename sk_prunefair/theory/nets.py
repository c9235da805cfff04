"""The two nets of a classifier in a form for the functions of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sk_prunefair.bound import BoundNet, Infer
from sk_prunefair.losses import (
    first_output,
    full_precision,
    plain_criterion,
    takes_probabilities,
)

if TYPE_CHECKING:
    from sk_prunefair.pruning.pruned import Pruned


def comparable(clf: Any) -> tuple[nn.Module, nn.Module, Any]:
    """Return the dense and the pruned net of a classifier, and its criterion.

    With these, the functions of `sk_prunefair.theory` give the excessive risks of
    `FairPrunedClassifier.fairness_report`, for nets that return logits, for nets that return
    probabilities, for nets with removed channels, and for classifiers that override ``infer``.

    Parameters
    ----------
    clf : FairPrunedClassifier
        Fitted classifier; not changed.

    Returns
    -------
    dense, pruned : torch.nn.Module
        Nets of one architecture, whose outputs the criterion takes: a net with removed channels has
        zeros in their place, and one that returns probabilities is changed to return their
        logarithms.
    criterion : torch.nn.Module or callable
        Function of ``(output, labels)``.

    Examples
    --------
    >>> from sk_prunefair import FairPrunedClassifier
    >>> from sk_prunefair.datasets import load_digits
    >>> from sk_prunefair.modules import MLP
    >>> from sk_prunefair.theory import risk_attribution
    >>> digits = load_digits()
    >>> X, y = digits.data.astype("float32"), digits.target
    >>> clf = FairPrunedClassifier(
    ...     MLP, criterion=nn.CrossEntropyLoss, lr=0.5, verbose=0, random_state=0
    ... )
    >>> clf = clf.fit(X, y, sensitive_features=y < 5).prune(0.5)
    >>> dense, pruned, criterion = comparable(clf)
    >>> shares = risk_attribution(dense, pruned, X, y, y < 5, criterion=criterion)
    >>> report = clf.fairness_report(X, y, sensitive_features=y < 5)
    >>> bool((shares.sum(axis=1) - report.excessive_risk).abs().max() < 1e-3)
    True
    """
    clf.check_is_fitted()
    dense, pruned = clf.dense_module_, clf.module_
    known: Pruned | None = clf.pruned_
    if known is not None:
        pruned = known.plan.expand(dense, pruned)
    criterion = plain_criterion(clf.criterion_)
    has_own_infer = not getattr(type(clf).infer, "__module__", "").startswith("sk_prunefair.")
    if has_own_infer or takes_probabilities(criterion):
        infer = _as_criterion_takes(clf)
        return BoundNet(dense, infer), BoundNet(pruned, infer), criterion
    return dense, pruned, criterion


def _as_criterion_takes(clf: Any) -> Infer:
    """Return a function that runs a module up to the input of the criterion's formula."""

    def infer(module: nn.Module, X: Any) -> torch.Tensor:
        output = first_output(clf.exact(module).infer(X))
        if takes_probabilities(clf.criterion_):
            output = full_precision(output)
            output = torch.log(output + torch.finfo(output.dtype).eps)
        return output

    return infer
