"""Closeness of groups to the decision boundary, and bounds on their Hessians."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from sk_prunefair.autodiff import flat_gradient, hessian_vector_product, lanczos
from sk_prunefair.theory._per_sample import squared_gradient_norms
from sk_prunefair.theory.grouped import GroupedNet
from sk_prunefair.theory.hessians import EigenvalueSearch, hessian_eigenvalues


def boundary_closeness(
    module: nn.Module,
    X: Any,
    y: Any,
    sensitive_features: Any,
    *,
    batch_size: int | None = None,
) -> pd.Series:
    r"""Return the closeness of each group to the decision boundary, as a mean over its samples.

    For two classes it is :math:`f(1 - f)` with f the probability of one of them, at most 1/4: the
    term of Theorem 2 of Tran, Fioretto, Kim and Naidu. For more classes it is one minus the margin
    between the two most probable ones, at most 1.

    Parameters
    ----------
    module : torch.nn.Module
        A net that returns logits, one per class, or a single one for two classes.
    X : array-like of shape (n_samples, ...)
        Features.
    y : array-like of shape (n_samples,), integer dtype
        Labels; ignored, as closeness does not depend on them.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample; columns intersect.
    batch_size : int, default=None
        Samples per chunk; None chooses by the size of the net's activations.

    Returns
    -------
    pandas.Series
        ``boundary_closeness`` by group.

    Raises
    ------
    ValueError
        If an argument is malformed.

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Linear(1, 2, bias=False)
    >>> net.weight.data = torch.tensor([[1.0], [-1.0]])
    >>> boundary_closeness(net, [[0.0], [3.0]], [0, 0], ["near", "far"]).round(3).to_dict()
    {'far': 0.002, 'near': 0.25}
    """
    return mean_closeness(GroupedNet(module, X, y, sensitive_features, _any_loss, batch_size))


def mean_closeness(net: GroupedNet) -> pd.Series:
    """Return the result of `boundary_closeness`; the criterion is not used."""
    means = [
        float(torch.cat([closeness(scores) for scores in _scores(net, code)]).mean())
        for code in range(len(net.groups))
    ]
    return pd.Series(means, index=net.groups, name="boundary_closeness")


def closeness(scores: torch.Tensor) -> torch.Tensor:
    """Return the closeness of each sample from its logits, shape (n_samples,)."""
    if scores.shape[1] <= 2:
        f = torch.sigmoid(logit(scores).double())
        return f * (1 - f)
    top = scores.double().softmax(1).topk(2).values
    return 1 - (top[:, 0] - top[:, 1])


def logit(scores: torch.Tensor) -> torch.Tensor:
    """Return the logit z of class 1, with f = sigmoid(z) its probability, shape (n_samples,)."""
    if scores.ndim != 2:
        raise ValueError(
            "module must return scores of shape (n_samples, 1) or (n_samples, 2), got shape "
            f"{tuple(scores.shape)}"
        )
    return scores[:, 0] if scores.shape[1] == 1 else scores[:, 1] - scores[:, 0]


def boundary_bounds(
    module: nn.Module,
    X: Any,
    y: Any,
    sensitive_features: Any,
    *,
    form: Literal["logit", "printed"] = "logit",
    max_samples: int | None = 100,
    tol: float = 1e-2,
    batch_size: int | None = None,
    random_state: int = 0,
    verbose: int = 0,
) -> pd.DataFrame:
    r"""Return Theorem 2's bound on each group's top Hessian eigenvalue, beside the true eigenvalue.

    Theorem 2 of Tran, Fioretto, Kim and Naidu (eq. 5), for two classes and cross entropy, states
    that groups near the decision boundary, or with many errors, may have large Hessians. With z the
    logit, :math:`p = \sigma(z)` and :math:`\ell` the cross entropy, the derivatives
    :math:`\partial\ell/\partial z = p - y` and :math:`\partial^2\ell/\partial z^2 = p(1-p)` give
    by the chain rule

    .. math:: \nabla^2\ell = p(1-p)\,\nabla z\,\nabla z^\top + (p - y)\,\nabla^2 z .

    The largest eigenvalue of a sum is at most the sum of the largest eigenvalues (Weyl), that of
    the first term is :math:`p(1-p)\|\nabla z\|^2`, and the mean over the group gives, for every net
    that is twice differentiable where it is evaluated,

    .. math:: \lambda(H_a) \le \frac{1}{|D_a|} \sum_{D_a} p(1-p)\,\|\nabla z\|^2 +
        |p - y|\;\lambda\bigl(\operatorname{sign}(p - y)\,\nabla^2 z\bigr) .

    That is ``form="logit"``. The theorem as printed, ``form="printed"``, has f = p in place of
    z (:math:`f(1-f)\|\nabla f\|^2 + |f - y|\,\lambda(\nabla^2 f)`); it was violated in experiments,
    and is included for comparison.

    Parameters
    ----------
    module : torch.nn.Module
        A net that returns two logits or one; evaluated with batch norm frozen, not changed.
    X : array-like of shape (n_samples, ...)
        Features.
    y : array-like of shape (n_samples,), integer dtype
        Labels 0 and 1.
    sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
        The group of each sample; columns intersect.
    form : {"logit", "printed"}, default="logit"
        Which inequality, see above.
    max_samples : int, default=100
        Number of samples drawn from each group, as λ(∇²z) needs about ten products for each. Both
        sides of the inequality are for the drawn samples. None takes all.
    tol : float, default=1e-2
        Accepted relative residual of λ(∇²z) of a sample. The residual is added to it,
        so that the bound remains valid.
    batch_size : int, default=None
        Samples per chunk; None chooses by the size of the net's activations.
    random_state : int, default=0
        Seed of the draws and start vectors.
    verbose : int, default=0
        Above 0, a progress bar over samples, in a terminal.

    Returns
    -------
    pandas.DataFrame
        By group: ``n_samples``, means of ``boundary_closeness``, ``squared_gradient_norm`` (of z,
        or f as printed), ``mean_error`` (``|f - y|``), ``sample_curvature`` (the λ of each sample);
        ``boundary_bound`` and its standard error over samples, ``bound_se``;
        ``hessian_max_eigenvalue`` and whether the inequality ``holds``.

    Raises
    ------
    ValueError
        If there are more than two classes, or an argument is malformed.

    Examples
    --------
    The logit of a linear net has no curvature: the bound is p(1 - p)‖∇z‖².

    >>> import torch
    >>> net = torch.nn.Linear(1, 2, bias=False)
    >>> _ = torch.nn.init.zeros_(net.weight)
    >>> frame = boundary_bounds(net, [[2.0], [4.0]], [0, 1], ["a", "b"])
    >>> frame[["boundary_bound", "hessian_max_eigenvalue"]].round(3)
                       boundary_bound  hessian_max_eigenvalue
    sensitive_feature
    a                             2.0                     2.0
    b                             8.0                     8.0
    """
    if form not in ("logit", "printed"):
        raise ValueError(f"form must be 'logit' or 'printed', got {form!r}")
    net = GroupedNet(module, X, y, sensitive_features, _two_class_loss, batch_size)
    return theorem2_terms(net, form, max_samples, tol, random_state, verbose)


def theorem2_terms(
    net: GroupedNet,
    form: Literal["logit", "printed"] = "logit",
    max_samples: int | None = 100,
    tol: float = 1e-2,
    random_state: int = 0,
    verbose: int = 0,
) -> pd.DataFrame:
    """Return the result of `boundary_bounds`; the net is not changed."""
    net = net.with_criterion(_two_class_loss)
    n_scores = net.n_scores
    if n_scores > 2 or int(net.y.max()) > 1:
        raise ValueError(
            f"module must return one or two logits for the labels 0 and 1, got {n_scores} scores "
            f"and labels up to {int(net.y.max())}; the bound is for two classes"
        )
    net = net.sampled(max_samples, random_state)
    if not 0 < tol < 1:
        raise ValueError(f"tol must be in (0, 1), got {tol!r}")
    generator = torch.Generator().manual_seed(random_state)
    bar = tqdm(total=len(net.y), desc="curvature", disable=None if verbose else True)
    with bar:
        rows = [_terms(net, code, form, tol, generator, bar) for code in range(len(net.groups))]
    frame = pd.DataFrame(rows, index=net.groups)
    true = hessian_eigenvalues(net, EigenvalueSearch(tol=1e-4))
    frame["hessian_max_eigenvalue"] = true["eigenvalue"]
    slack = 1e-4 * frame["hessian_max_eigenvalue"].abs()
    frame["holds"] = frame["hessian_max_eigenvalue"] <= frame["boundary_bound"] + slack
    return frame


def _terms(
    net: GroupedNet,
    code: int,
    form: str,
    tol: float,
    generator: torch.Generator,
    bar: Any,
) -> dict[str, float]:
    rows = net.rows(code)
    z = torch.cat([logit(scores) for scores in _scores(net, code)]).double()
    f, label = torch.sigmoid(z), net.y[rows].double()
    squared = torch.cat([squared_gradient_norms(net, X, logit) for X, _ in net.chunks(rows)])
    squared = squared.double()
    if form == "printed":
        squared = squared * (f * (1 - f)) ** 2
    curvature = []
    for row, sign in zip(rows.tolist(), torch.sign(f - label).tolist(), strict=True):
        # As printed, the bound does not depend on the sign of the error.
        curvature.append(
            _sample_curvature(net, row, sign if form == "logit" else 1.0, form, tol, generator)
        )
        bar.update()
    samples = pd.DataFrame(
        {
            "boundary_closeness": (f * (1 - f)).cpu().numpy(),
            "squared_gradient_norm": squared.cpu().numpy(),
            "mean_error": (f - label).abs().cpu().numpy(),
            "sample_curvature": curvature,
        }
    )
    bound = (
        samples["boundary_closeness"] * samples["squared_gradient_norm"]
        + samples["mean_error"] * samples["sample_curvature"]
    )
    means = {str(name): float(values.mean()) for name, values in samples.items()}
    spread = float(np.std(bound, ddof=1)) if len(rows) > 1 else np.nan
    return (
        {"n_samples": len(rows)}
        | means
        | {
            "boundary_bound": float(bound.mean()),
            "bound_se": spread / len(rows) ** 0.5,
        }
    )


def _sample_curvature(
    net: GroupedNet, row: int, sign: float, form: str, tol: float, generator: torch.Generator
) -> float:
    """Return λ(sign · ∇²z) of one sample, or of f as printed, rounded up by its residual."""
    z = logit(net.scores(net.rows_of(slice(row, row + 1))[0]))[0]
    value, parameters = z if form == "logit" else torch.sigmoid(z), list(net.parameters.values())
    gradient = flat_gradient(value, parameters, create_graph=True)
    if not gradient.requires_grad:
        return 0.0

    def product(vector: torch.Tensor) -> torch.Tensor:
        return sign * hessian_vector_product(gradient, parameters, vector, retain_graph=True)

    start = torch.randn(net.n_parameters, generator=generator, dtype=torch.float64).to(gradient)
    # One sample's Hessian has low rank, and a random start lies almost outside its range.
    found = lanczos(product, start, 1, tol, 60, generator, min_products=10)
    return float(found.values[0] + found.residuals[0])


def _scores(net: GroupedNet, code: int) -> list[torch.Tensor]:
    with torch.no_grad():
        found = [net.scores(X) for X, _ in net.chunks(net.rows(code))]
    if not all(bool(scores.isfinite().all()) for scores in found):
        raise ValueError("module must return finite scores, got NaN or infinite values")
    return found


def _two_class_loss(scores: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return nn.functional.binary_cross_entropy_with_logits(
        logit(scores), y.to(scores.dtype), reduction="none"
    )


def _any_loss(scores: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return scores.sum(1)
