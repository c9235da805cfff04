"""Gradients and Hessian-vector products as flat vectors, and eigenvalues from such products."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from sk_prunefair.nested import concatenate, map_tensors, n_rows, take

# After few products a Ritz value can lie inside the spectrum with a small residual: stopped after
# three, the top eigenvalue of a single sample of Adult was 0.05 instead of 3.10.
MIN_PRODUCTS = 6


def plain_attention() -> AbstractContextManager[None]:
    """Return a context in which attention uses plain arithmetic operations.

    The faster forms of `torch.nn.functional.scaled_dot_product_attention` have no second derivative
    and no rule for `torch.func.vmap`, and torch's operation counter does not support all of them.

    Examples
    --------
    >>> q = torch.ones(1, 2, 4, requires_grad=True)
    >>> with plain_attention():
    ...     out = torch.nn.functional.scaled_dot_product_attention(q, q, q).sum()
    >>> [gradient] = torch.autograd.grad(out, q, create_graph=True)
    >>> torch.autograd.grad(gradient.square().sum(), q)[0].shape
    torch.Size([1, 2, 4])
    """
    return sdpa_kernel(SDPBackend.MATH)


def flat_gradient(
    outputs: torch.Tensor,
    parameters: Sequence[torch.Tensor],
    grad_outputs: torch.Tensor | None = None,
    *,
    create_graph: bool = False,
    retain_graph: bool | None = None,
) -> torch.Tensor:
    """Return the gradient of ``outputs · grad_outputs`` as one vector.

    Parameters
    ----------
    outputs : torch.Tensor
        Outputs, with or without a graph.
    parameters : sequence of torch.Tensor
        Tensors to differentiate with respect to.
    grad_outputs : torch.Tensor, default=None
        Weights of the outputs, of the same shape; None for a single output.
    create_graph : bool, default=False
        Whether the gradient can be differentiated again.
    retain_graph : bool, default=None
        Whether the graph of the outputs can be used again; None takes `create_graph`.

    Returns
    -------
    torch.Tensor of shape (n_parameters,)
        Gradient; zero where the outputs do not depend on a parameter.

    Examples
    --------
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> flat_gradient((x**2).sum(), [x])
    tensor([2., 4.])
    >>> flat_gradient(x**2, [x], torch.tensor([1.0, 10.0]))
    tensor([ 2., 40.])
    """
    if not outputs.requires_grad:
        return torch.cat([torch.zeros_like(value).reshape(-1) for value in parameters])
    gradients = torch.autograd.grad(
        outputs,
        parameters,
        grad_outputs,
        create_graph=create_graph,
        retain_graph=retain_graph,
        allow_unused=True,
        materialize_grads=True,
    )
    return torch.cat([gradient.reshape(-1) for gradient in gradients])


def hessian_vector_product(
    gradient: torch.Tensor,
    parameters: Sequence[torch.Tensor],
    vector: torch.Tensor,
    *,
    create_graph: bool = False,
    retain_graph: bool | None = None,
) -> torch.Tensor:
    """Return the Hessian times a vector, by differentiating a gradient.

    Parameters
    ----------
    gradient : torch.Tensor of shape (n_parameters,)
        The result of `flat_gradient` with ``create_graph=True``. One without a graph belongs to a
        linear function, whose Hessian is zero.
    parameters : sequence of torch.Tensor
        The parameters that the gradient was taken with respect to.
    vector : torch.Tensor of shape (n_parameters,)
        The vector.
    create_graph, retain_graph : bool
        As for `flat_gradient`.

    Returns
    -------
    torch.Tensor of shape (n_parameters,)
        The product.

    Examples
    --------
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> gradient = flat_gradient((x**3).sum(), [x], create_graph=True)
    >>> hessian_vector_product(gradient, [x], torch.tensor([1.0, 1.0]))
    tensor([ 6., 12.])
    """
    return flat_gradient(
        gradient, parameters, vector, create_graph=create_graph, retain_graph=retain_graph
    )


class Eigenvalues(NamedTuple):
    """Result of `lanczos`.

    Attributes
    ----------
    values : ndarray of shape (k,)
        Eigenvalues, the largest first.
    residuals : ndarray of shape (k,)
        ‖Hv - θv‖: an eigenvalue lies within this of θ.
    vector : torch.Tensor of shape (n,)
        Unit vector of the first value.
    n_products : int
        Number of products with the matrix.
    converged : bool
        Whether all residuals are within the tolerance.
    """

    values: npt.NDArray[np.float64]
    residuals: npt.NDArray[np.float64]
    vector: torch.Tensor
    n_products: int
    converged: bool


def lanczos(
    product: Callable[[torch.Tensor], torch.Tensor],
    start: torch.Tensor,
    k: int,
    tol: float,
    max_iter: int,
    generator: torch.Generator | None = None,
    min_products: int = MIN_PRODUCTS,
) -> Eigenvalues:
    r"""Return the k algebraically largest eigenvalues of a symmetric matrix.

    Power iteration finds the eigenvalue of largest absolute value, which may be the most negative.
    Lanczos finds both ends at once. Its vectors are orthogonalised twice against all before them,
    as rounding would otherwise produce copies of eigenvalues. After m products, the Ritz value θ
    with the vector s of the m × m matrix has the residual :math:`\beta_m |s_m|`, and an eigenvalue
    lies within it. It stops when all k residuals are at most ``tol`` times the largest :math:`|θ|`.
    Equal eigenvalues are found once, unless there are no others.

    Parameters
    ----------
    product : callable
        Function of a vector v of shape (n,) that returns the matrix times v.
    start : torch.Tensor of shape (n,)
        First vector, of any length.
    k : int
        Number of eigenvalues.
    tol : float
        Largest residual, relative to the largest absolute Ritz value; with 0, `max_iter`
        products are taken.
    max_iter : int
        Most products, at least `k`.
    generator : torch.Generator, default=None
        Draws the next vector where `start` lies in an invariant space of less than k dimensions.
    min_products : int, default=6
        Number of products before residuals are compared with `tol`.

    Returns
    -------
    Eigenvalues
        NaN, with the normalised start for a vector, if a product is not finite.

    Examples
    --------
    >>> matrix = torch.diag(torch.tensor([-5.0, 1.0, 3.0]))
    >>> found = lanczos(lambda v: matrix @ v, torch.ones(3), k=2, tol=1e-6, max_iter=10)
    >>> found.values.round(3).tolist(), found.n_products
    ([3.0, 1.0], 3)
    """
    n = len(start)
    enough = min(n, max(min_products, k + 2), max_iter)
    noise = 10 * torch.finfo(start.dtype).eps
    basis = [start / start.norm().clamp(min=torch.finfo(start.dtype).tiny)]
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        image = product(basis[-1])
        diagonal.append(float(basis[-1].double() @ image.double()))
        span = torch.stack(basis)
        rest = _orthogonal(image, span)
        beta = float(rest.norm())
        m = len(basis)
        if not math.isfinite(diagonal[-1] + beta):
            unknown = np.full(min(k, m), np.nan)
            return Eigenvalues(unknown, unknown, basis[0], m, False)
        is_invariant = False
        # The norm of the matrix is at least the largest |θ|; with it, most early checks are
        # skipped.
        if m >= enough or beta <= noise * max(math.hypot(*diagonal, *beside, *beside), 1e-30):
            theta, ritz = _ritz_values(diagonal, beside)
            largest = np.abs(theta).max()
            is_invariant = beta <= noise * max(largest, 1e-30)
            residuals = (0.0 if is_invariant else beta) * np.abs(ritz[-1])
            top = slice(None, -k - 1, -1)
            # The residuals do not include the rounding errors of the products.
            done = m >= k and bool((residuals[top] <= tol * largest).all())
            if (done and (m >= enough or is_invariant)) or m == min(max_iter, n):
                vector = torch.from_numpy(ritz[:, -1]).to(span) @ span
                return Eigenvalues(theta[top], residuals[top], vector, m, done)
        if is_invariant:
            # The Krylov space has fewer than k dimensions: continue from a random vector.
            rest = torch.randn(n, generator=generator, dtype=torch.float64).to(start)
            rest = _orthogonal(rest, span)
            beside.append(0.0)
        else:
            beside.append(beta)
        basis.append(rest / rest.norm())


def _ritz_values(
    diagonal: list[float], beside: list[float]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return eigenvalues and vectors of a symmetric tridiagonal matrix."""
    matrix = np.diag(diagonal)
    if beside:
        matrix = matrix + np.diag(beside, 1) + np.diag(beside, -1)
    return np.linalg.eigh(matrix)


def _orthogonal(vector: torch.Tensor, span: torch.Tensor) -> torch.Tensor:
    """Return the component of the vector that is orthogonal to the rows of `span`."""
    rest = vector - span.T @ (span @ vector)
    return rest - span.T @ (span @ rest)  # again, to remove the rounding errors of the first pass


class EachSample:
    """A function of shared values and one sample, mapped over the samples of a batch.

    All samples are computed at once by `torch.func.vmap`. Where that cannot run the function, as
    with nets that branch on the values of a mask, it is called sample by sample from then on.

    Parameters
    ----------
    function : callable
        Function of the shared values and one row of each further argument that returns tensors.

    Examples
    --------
    >>> EachSample(lambda shared, x: shared * x)(torch.tensor(2.0), torch.arange(3.0))
    tensor([0., 2., 4.])
    >>> looks = EachSample(lambda shared, x: x if x > shared else shared)
    >>> looks(torch.tensor(1.0), torch.arange(3.0))
    tensor([1., 1., 2.])
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.is_batched = True

    def __call__(self, shared: Any, *batches: Any) -> Any:
        """Return the function's outputs, with the samples as the first dimension."""
        if self.is_batched:
            try:
                in_dims = (None, *(0 for _ in batches))
                with plain_attention():
                    return torch.func.vmap(self.function, in_dims=in_dims)(shared, *batches)
            except Exception:  # any error of the net; the call sample by sample reports it
                self.is_batched = False
        rows = [
            self.function(shared, *(take(batch, row) for batch in batches))
            for row in range(n_rows(batches[0]))
        ]
        return concatenate([map_tensors(lambda tensor: tensor[None], row) for row in rows])
