"""Maps read at full size: against ``affine_grid``, against enlarged flow, and against the naive reuse."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vinpaint.ops.lifting import affine_places, full_size_places, inside, lift_affine, reduced_places, sample_at
from vinpaint.ops.residuals import enlarge_frames, identity_places

SIZE, SCALE = (60, 108), 4
FULL = (SIZE[0] * SCALE, SIZE[1] * SCALE)


def theta() -> Tensor:
    return torch.tensor([[1.05 * math.cos(0.1), -0.08, 0.03], [0.11, 0.97 * math.cos(0.1), -0.02]])


def pixels_of_grid(grid: Tensor, size: tuple[int, int], *, align_corners: bool) -> Tensor:
    """Pixels ``(N, 2)`` that a sampling grid means."""
    sides = torch.tensor([size[1], size[0]], dtype=torch.float32)
    return ((grid + 1) / 2 * (sides - 1) if align_corners else ((grid + 1) * sides - 1) / 2).reshape(-1, 2)


def test_the_lifted_map_means_what_the_network_meant() -> None:
    grid = F.affine_grid(theta()[None], [1, 3, *SIZE], align_corners=True)
    meant = pixels_of_grid(grid, SIZE, align_corners=True)
    lifted = affine_places(lift_affine(theta(), SIZE), identity_places(*SIZE), SIZE)
    assert float((lifted - meant).abs().max()) < 1e-3


def test_the_lifted_map_agrees_between_sizes() -> None:
    lifted = lift_affine(theta(), SIZE)
    places = identity_places(*FULL)
    at_full = affine_places(lifted, places, FULL)
    at_reduced = full_size_places(affine_places(lifted, reduced_places(places, SCALE), SIZE), SCALE)
    assert float((at_full - at_reduced).abs().max()) < 1e-3
    grid = F.affine_grid(lifted[None], [1, 3, *FULL], align_corners=False)
    assert float((at_full - pixels_of_grid(grid, FULL, align_corners=False)).abs().max()) < 1e-3


def test_naive_reuse_at_full_size_is_off() -> None:
    grid = F.affine_grid(theta()[None], [1, 3, *FULL], align_corners=True)
    naive = pixels_of_grid(grid, FULL, align_corners=True)
    right = affine_places(lift_affine(theta(), SIZE), identity_places(*FULL), FULL)
    assert float((naive - right).abs().max()) > 0.1


def test_the_identity_stays_the_identity() -> None:
    identity = torch.eye(3)[:2]
    assert torch.equal(lift_affine(identity, SIZE), identity)
    places = identity_places(*FULL)
    assert float((affine_places(identity, places, FULL) - places).abs().max()) < 1e-3


def test_flow_at_full_size_is_the_enlarged_flow_times_the_scale() -> None:
    flow = torch.randn(2, *SIZE)
    places = identity_places(*FULL)
    inner = reduced_places(places, SCALE)
    lifted = full_size_places(inner + sample_at(flow, inner).T, SCALE) - places
    expected = SCALE * enlarge_frames(flow[None], SCALE, FULL)[0].flatten(1).T
    assert float((lifted - expected).abs().max()) < 1e-3


def test_samples_at_whole_pixels_are_the_pixels_and_the_border_continues() -> None:
    image = torch.rand(3, 5, 7)
    assert torch.allclose(sample_at(image, identity_places(5, 7)).reshape(3, 5, 7), image, atol=1e-6)
    outside = torch.tensor([[-3.0, 2.0], [9.0, 9.0]])
    assert torch.allclose(sample_at(image, outside), torch.stack((image[:, 2, 0], image[:, 4, 6]), dim=1), atol=1e-6)


@pytest.mark.parametrize(
    ("place", "expected"), [((0.0, 0.0), True), ((6.0, 4.0), True), ((6.1, 4.0), False), ((3.0, -0.1), False)]
)
def test_inside_ends_at_the_centres_of_the_outermost_pixels(place: tuple[float, float], expected: bool) -> None:
    assert bool(inside(torch.tensor([place]), (5, 7))[0]) is expected
