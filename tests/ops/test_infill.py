"""Continuing fields smoothly into what is not known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.sparse.linalg import spsolve
from torch import Tensor

from vinpaint.ops.infill import harmonic_infill


def laplace(values: Tensor, known: Tensor) -> Tensor:
    """The exact solution on a grid whose border repeats itself, by a sparse system."""
    H, W = values.shape
    rows, columns, weights = [], [], []
    right = np.zeros(H * W)
    for y in range(H):
        for x in range(W):
            here = y * W + x
            if known[y, x]:
                rows, columns, weights = [*rows, here], [*columns, here], [*weights, 1.0]
                right[here] = values[y, x]
                continue
            around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            inside = [(v, u) for v, u in around if 0 <= v < H and 0 <= u < W]
            rows += [here] * (len(inside) + 1)
            columns += [here, *(v * W + u for v, u in inside)]
            weights += [float(len(inside)), *([-1.0] * len(inside))]
    system = sparse.csr_matrix((weights, (rows, columns)), shape=(H * W, H * W))
    return torch.from_numpy(spsolve(system, right).reshape(H, W)).float()


@pytest.mark.parametrize("size", [(24, 32), (17, 29)])
def test_it_is_near_the_solution_of_laplaces_equation(size: tuple[int, int]) -> None:
    H, W = size
    y, x = torch.meshgrid(torch.linspace(-1, 1, H), torch.linspace(-1, 1, W), indexing="ij")
    values = torch.sin(3 * x) + y * y + 0.3 * x * y
    known = torch.ones(H, W)
    known[4:14, 6:22] = 0
    exact = laplace(values, known)
    spread = values.max() - values.min()
    garbage = torch.where(known > 0, values, 1e6)
    errors = [
        (harmonic_infill(garbage[None, None], known[None, None], sweeps=sweeps)[0, 0] - exact).abs().max() / spread
        for sweeps in (4, 60)
    ]
    assert errors[0] < 0.08
    assert errors[1] < 0.02


def test_known_values_stay_and_a_constant_is_continued() -> None:
    values = torch.rand(2, 3, 13, 7)
    known = (torch.rand(2, 1, 13, 7) > 0.4).float()
    assert torch.equal(harmonic_infill(values, known)[known.expand_as(values) > 0], values[known.expand_as(values) > 0])
    constant = torch.full((1, 2, 13, 7), 0.7)
    torch.testing.assert_close(harmonic_infill(constant, known[:1]), constant)


def test_what_stands_in_the_unknown_has_no_influence_and_gets_no_gradient() -> None:
    values = torch.rand(1, 2, 9, 9)
    known = torch.zeros(1, 1, 9, 9)
    known[..., :3, :] = 1
    broken = torch.where(known > 0, values, torch.nan).requires_grad_()
    filled = harmonic_infill(broken, known)
    assert torch.equal(filled, harmonic_infill(values, known))
    filled.sum().backward()  # type: ignore[no-untyped-call]
    assert broken.grad is not None
    assert not broken.grad[known.expand_as(values) == 0].any()


def test_nothing_known_is_zero() -> None:
    assert not harmonic_infill(torch.rand(1, 2, 5, 6), torch.zeros(1, 1, 5, 6)).any()
