"""Flat gradients, Hessian-vector products and Lanczos against matrices worked out in full."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import torch

import sk_prunefair.autodiff
from sk_prunefair.autodiff import EachSample, flat_gradient, hessian_vector_product, lanczos
from sk_prunefair.constraints._autograd import top_eigenvector


def diagonal(values):
    return torch.diag(torch.tensor(values, dtype=torch.float64))


def test_autodiff_imports_nested_inputs_alone():
    tree = ast.parse(Path(sk_prunefair.autodiff.__file__).read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    own = [name for name in modules if (name or "").startswith("sk_prunefair")]
    assert own == ["sk_prunefair.nested"]


def test_each_sample_function_that_vmap_cannot_run_equals_the_loop():
    def function(shared, x):
        return {"square": x["a"].square() if bool(x["a"].sum() > 0) else shared}

    X = {"a": torch.tensor([[1.0, 2.0], [-1.0, -2.0]])}
    each = EachSample(function)
    found = each(torch.zeros(2), X)["square"]
    assert found.tolist() == [[1.0, 4.0], [0.0, 0.0]]
    assert not each.is_batched


def test_flat_gradient_unused_parameter_is_zero():
    used, unused = (torch.tensor([[2.0], [3.0]], requires_grad=True) for _ in range(2))
    found = flat_gradient((used**2).sum(), [used, unused])
    assert found.tolist() == [4.0, 6.0, 0.0, 0.0]


def test_flat_gradient_outputs_without_graph_is_zero():
    x = torch.ones(3, dtype=torch.float64, requires_grad=True)
    found = flat_gradient(torch.tensor(1.0), [x])
    assert found.tolist() == [0.0] * 3
    assert found.dtype == torch.float64


@pytest.mark.parametrize("create_graph", [False, True])
def test_hessian_vector_product_equals_whole_hessian(create_graph):
    torch.manual_seed(0)
    x, vector = torch.randn(5).double().requires_grad_(), torch.randn(5).double()

    def value(x):
        return (x.sin() * x.roll(1)).sum() ** 2

    gradient = flat_gradient(value(x), [x], create_graph=True)
    found = hessian_vector_product(gradient, [x], vector, create_graph=create_graph)
    expected = torch.autograd.functional.hessian(value, x.detach()) @ vector
    torch.testing.assert_close(found.detach(), expected)
    assert found.requires_grad == create_graph


def test_hessian_vector_product_linear_function_is_zero():
    x = torch.ones(2, requires_grad=True)
    gradient = flat_gradient((3 * x).sum(), [x], create_graph=True)
    assert hessian_vector_product(gradient, [x], torch.ones(2)).tolist() == [0.0, 0.0]


def test_lanczos_most_negative_eigenvalue_is_not_the_largest():
    matrix = diagonal([-5.0, -4.0, 0.1, 0.5, 1.0])
    start = torch.ones(5, dtype=torch.float64)
    found = lanczos(lambda v: matrix @ v, start, 2, 1e-8, 50)
    np.testing.assert_allclose(found.values, [1.0, 0.5], atol=1e-8)
    assert found.converged


@pytest.mark.parametrize(
    ("values", "k", "expected"),
    [
        ([0.0] * 6, 2, [0.0, 0.0]),
        ([3.0] * 6, 2, [3.0, 3.0]),  # every vector spans an invariant space
        ([2.0, 2.0, 1.0, 1.0, 1.0, 0.0], 3, [2.0, 1.0, 0.0]),  # each is found once
        ([7.0], 1, [7.0]),
    ],
)
def test_lanczos_invariant_subspace_goes_on(values, k, expected):
    matrix = diagonal(values)
    generator = torch.Generator().manual_seed(0)
    start = torch.arange(1.0, len(values) + 1, dtype=torch.float64)
    found = lanczos(lambda v: matrix @ v, start, k, 1e-9, 50, generator)
    np.testing.assert_allclose(found.values, expected, atol=1e-8)


def test_lanczos_product_not_finite_returns_nan_and_start():
    start = torch.tensor([3.0, 4.0])
    found = lanczos(lambda v: v * torch.nan, start, 1, 1e-3, 10)
    assert np.isnan(found.values).all()
    assert not found.converged
    torch.testing.assert_close(found.vector, start / 5)


@pytest.mark.parametrize("n_iter", [1, 3, 7])
def test_top_eigenvector_is_best_of_krylov_space(n_iter):
    torch.manual_seed(0)
    root = torch.randn(9, 9).double()
    matrix, start = root + root.T, torch.randn(9).double()
    vector = top_eigenvector(lambda v: matrix @ v, start, n_iter)
    powers = [start]
    for _ in range(n_iter - 1):
        powers.append(matrix @ powers[-1])
    basis = torch.linalg.qr(torch.stack(powers, dim=1)).Q
    best = torch.linalg.eigvalsh(basis.T @ matrix @ basis)[-1]
    assert float(vector.norm()) == pytest.approx(1)
    assert float(vector @ matrix @ vector) == pytest.approx(float(best))


def test_top_eigenvector_zero_start_returns_zero():
    # All weights of the chosen layers can be pruned.
    vector = top_eigenvector(lambda v: 2 * v, torch.zeros(4), n_iter=3)
    assert vector.tolist() == [0.0] * 4
