"""The cost volume against the public code, against its definition, and its gradient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vinpaint.ops.correlation import local_correlation


def by_definition(source: Tensor, target: Tensor, radius: int) -> Tensor:
    N, _, H, W = source.shape
    steps = range(-radius, radius + 1)
    volume = source.new_zeros(N, len(steps) ** 2, H, W)
    for channel, (dy, dx) in enumerate((dy, dx) for dy in steps for dx in steps):
        for y in range(max(0, -dy), min(H, H - dy)):
            for x in range(max(0, -dx), min(W, W - dx)):
                volume[:, channel, y, x] = (source[:, :, y, x] * target[:, :, y + dy, x + dx]).mean(dim=1)
    return volume


def test_it_equals_the_public_cost_volume(golden_dir: Path) -> None:
    with np.load(golden_dir / "irr_ops.npz") as stored:
        a, b, expected = (stored[key] for key in ("corr_a", "corr_b", "cost_volume"))
    volume = local_correlation(torch.from_numpy(a), torch.from_numpy(b), radius=4)
    np.testing.assert_allclose(volume.numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (7, 17), (16, 9)])
@pytest.mark.parametrize("radius", [0, 1, 4])
def test_it_equals_its_definition_at_any_size(size: tuple[int, int], radius: int) -> None:
    source, target = torch.randn(2, 2, 3, *size, dtype=torch.float64)
    expected = by_definition(source, target, radius)
    torch.testing.assert_close(local_correlation(source, target, radius=radius), expected)


def test_displacements_run_row_by_row() -> None:
    source = torch.tensor([[[[2.0, 0.0, 3.0]]]])
    target = torch.tensor([[[[5.0, 7.0, 11.0]]]])
    volume = local_correlation(source, target, radius=1)[0, :, 0]
    expected = torch.zeros(9, 3)
    expected[3:6] = torch.tensor([[0.0, 0.0, 21.0], [10.0, 0.0, 33.0], [14.0, 0.0, 0.0]])  # dy = 0; dx = -1, 0, 1
    assert torch.equal(volume, expected)


def test_gradients_are_right() -> None:
    features = [torch.randn(1, 2, 3, 9, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(lambda a, b: local_correlation(a, b, radius=2), features)


def test_features_of_two_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"source \(1, 2, 4, 4\) and target \(1, 2, 4, 5\): expected one shape"):
        local_correlation(torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 5))
