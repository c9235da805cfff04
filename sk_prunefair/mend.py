"""mend_head: fit the last layer of a pruned net again, with equal weights for all groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from sk_prunefair.checks import check_count, check_number
from sk_prunefair.classifier import FairPrunedClassifier
from sk_prunefair.data.group_means import group_sizes
from sk_prunefair.losses import first_output
from sk_prunefair.requests import Request, encode


def mend_head(
    clf: FairPrunedClassifier,
    X: Any,
    y: Any = None,
    sensitive_features: Any = None,
    *,
    strength: float = 0.01,
    max_iter: int = 100,
) -> FairPrunedClassifier:
    r"""Fit the last layer of a net again on held-out rows, with equal weights for all groups.

    The training losses of a net that has memorized its training data do not reflect its groups,
    while its features may suffice for all of them (Kirichenko, Izmailov and Wilson, *Last layer
    re-training is sufficient for robustness to spurious correlations*, ICLR 2023). The objective,
    minimised over the layer's weights, is

    .. math:: \frac{1}{G} \sum_a J(\theta; D_a) + \lambda\, \mathbb{E}\,\|z(x) - z_0(x)\|^2,

    the mean of the groups' losses plus the squared change of the layer's outputs z, averaged over
    groups alike, so that few rows change little. Removed weights stay removed. The net without this
    layer runs once over the data.

    Parameters
    ----------
    clf : FairPrunedClassifier
        Fitted classifier, pruned or not; only its net is changed.
    X, y : array-like
        Held-out rows, as in ``fit``; as many as a tenth of the training data are enough.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample; None takes the groups in the items of X.
    strength : float, default=0.01
        λ, at least 0.
    max_iter : int, default=100
        Largest number of L-BFGS steps.

    Returns
    -------
    FairPrunedClassifier
        The classifier.

    Raises
    ------
    ValueError
        If an argument is malformed, or the output of the net's last linear layer is neither the
        output of the net nor its logits.

    Examples
    --------
    >>> from sk_prunefair.datasets import load_digits
    >>> from sk_prunefair.modules import MLP
    >>> digits = load_digits()
    >>> X, y = digits.data, digits.target
    >>> clf = FairPrunedClassifier(
    ...     MLP, criterion=nn.CrossEntropyLoss, lr=0.5, verbose=0, random_state=0
    ... )
    >>> clf = clf.fit(X[:1000], y[:1000]).prune(0.9)
    >>> before = clf.score(X[1400:], y[1400:])
    >>> clf = mend_head(clf, X[1000:1400], y[1000:1400], y[1000:1400])
    >>> bool(clf.score(X[1400:], y[1400:]) > before)
    True
    """
    check_number("strength", strength, least=0)
    check_count("max_iter", max_iter)
    clf.check_is_fitted()
    given = Request(X, y, sensitive_features, None)
    if given.sensitive_features is None:
        raise ValueError("sensitive_features must be given: the group of each sample")
    schema, data = encode(clf, given)
    head = _Head(clf, data)
    sizes = group_sizes(data, len(schema.groups) if schema.groups is not None else 1)
    n_present = int(np.count_nonzero(sizes))
    weight = 1 / (n_present * torch.from_numpy(sizes)[data.group_codes].double())
    head.fit(weight.to(head.features), torch.from_numpy(data.y), strength, max_iter)
    return clf


class _Head:
    """The last linear layer of a classifier's net, and its inputs for some data."""

    def __init__(self, clf: FairPrunedClassifier, data: Any) -> None:
        self.clf = clf
        was_training = clf.module_.training
        clf.module_.eval()
        try:
            self.name, self.layer = _last_linear(clf, data)
            self.features, self.is_logits = self._run(data)
        finally:
            clf.module_.train(was_training)

    @torch.no_grad()
    def _run(self, data: Any) -> tuple[torch.Tensor, bool]:
        seen: list[tuple[torch.Tensor, torch.Tensor]] = []
        hook = self.layer.register_forward_hook(lambda _, args, out: seen.append((args[0], out)))
        outputs = []
        try:
            for X, _ in self.clf.get_iterator(data, training=False):
                outputs.append(first_output(self.clf.exact().infer(X)))
        finally:
            hook.remove()
        scores, own = torch.cat(outputs), torch.cat([out for _, out in seen])
        if own.shape[:1] == scores.shape[:1] and own.numel() == scores.numel():
            for is_logits, found in ((True, own), (False, own.softmax(-1))):
                if torch.allclose(found.reshape(scores.shape), scores, atol=1e-5, rtol=1e-4):
                    return torch.cat([features for features, _ in seen]), is_logits
        raise ValueError(
            f"the last linear layer {self.name!r} must return the output of the net, or its "
            f"logits; it returns shape {tuple(own.shape)}, the net {tuple(scores.shape)}"
        )

    def fit(self, weight: torch.Tensor, y: torch.Tensor, strength: float, max_iter: int) -> None:
        """Fit the layer's weights; removed ones stay zero."""
        start = {name: p.detach().clone() for name, p in self.layer.named_parameters()}
        moved = {name: value.clone().requires_grad_() for name, value in start.items()}
        prefix = f"{self.name}." if self.name else ""
        zeroed = self.clf.zeroed_
        masks = {name: zeroed[prefix + name] for name in start if prefix + name in zeroed}
        y, before = y.to(self.features.device), self._outputs(start)
        optimizer = torch.optim.LBFGS(
            moved.values(), max_iter=max_iter, line_search_fn="strong_wolfe"
        )

        def worn() -> dict[str, torch.Tensor]:
            return {
                name: value * masks[name] if name in masks else value
                for name, value in moved.items()
            }

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            z = self._outputs(worn())
            losses = self.clf.sample_losses(z if self.is_logits else z.softmax(-1), y)
            distance = (z - before).square().flatten(1).sum(1)
            objective = (weight * (losses + strength * distance)).sum()
            objective.backward()
            return objective

        optimizer.step(closure)
        with torch.no_grad():
            for name, value in worn().items():
                self.layer.get_parameter(name).copy_(value)
        self.clf.enforce()

    def _outputs(self, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.func.functional_call(self.layer, tensors, (self.features,))


@torch.no_grad()
def _last_linear(clf: FairPrunedClassifier, data: Any) -> tuple[str, nn.Module]:
    """Return the linear layer that runs last."""
    ran: list[nn.Module] = []
    layers = {part: name for name, part in clf.module_.named_modules() if _is_linear(part)}
    hooks = [part.register_forward_hook(lambda part, *_: ran.append(part)) for part in layers]
    try:
        X, _ = next(iter(clf.get_iterator(data.subset([0]), training=False)))
        clf.exact().infer(X)
    finally:
        for hook in hooks:
            hook.remove()
    if not ran:
        raise ValueError("the net must have a linear layer, found none")
    return layers[ran[-1]], ran[-1]


def _is_linear(part: nn.Module) -> bool:
    return isinstance(part, nn.Linear) and "weight" in part._parameters
