"""Flow carried on from frame to frame, continued into holes, and checked."""

from __future__ import annotations

import torch
from torch import Tensor

from vinpaint.models.flow.chaining import chain_flows, chain_valid, consistent_flow, flow_beyond_holes

H, W = 40, 56


def affine_flow(matrix: Tensor, shift: Tensor) -> Tensor:
    """The flow ``(1, 2, H, W)`` of ``p -> matrix p + shift``."""
    y, x = torch.meshgrid(torch.arange(H).float(), torch.arange(W).float(), indexing="ij")
    places = torch.stack((x, y))
    return (torch.einsum("ij,jhw->ihw", matrix, places) + shift[:, None, None] - places).unsqueeze(0)


FIRST = (torch.tensor([[1.01, 0.02], [-0.015, 0.99]]), torch.tensor([1.3, -0.7]))
SECOND = (torch.tensor([[0.985, -0.01], [0.02, 1.005]]), torch.tensor([-0.4, 1.1]))


def test_chained_flow_of_affine_motion_is_the_product_of_the_maps() -> None:
    chained = chain_flows(affine_flow(*FIRST), affine_flow(*SECOND))
    exact = affine_flow(SECOND[0] @ FIRST[0], SECOND[0] @ FIRST[1] + SECOND[1])
    inside = (..., slice(4, -4), slice(4, -4))
    assert (chained - exact)[inside].abs().max() < 4e-5


def test_a_chain_holds_where_both_links_do_and_stays_in_the_frame() -> None:
    flow = torch.zeros(1, 2, H, W)
    flow[:, 0] = 5
    first, second = torch.ones(1, 1, H, W), torch.ones(1, 1, H, W)
    first[..., :4, :] = 0
    second[..., 20:25] = 0
    valid = chain_valid(flow, first, second)
    expected = torch.ones(1, 1, H, W)
    expected[..., :4, :] = 0
    expected[..., 15:20] = 0  # five pixels before they reach it
    expected[..., -5:] = 0  # out of the frame
    assert torch.equal(valid, expected)


def test_flow_and_its_inverse_are_consistent_and_a_contradiction_is_not() -> None:
    forward = affine_flow(*FIRST)
    inverse = torch.linalg.inv(FIRST[0])
    backward = affine_flow(inverse, -inverse @ FIRST[1])
    inside = (..., slice(4, -4), slice(4, -4))
    assert consistent_flow(forward, backward)[inside].all()
    backward[:, 0, :, 20:30] += 3
    wrong = consistent_flow(forward, backward) == 0
    assert wrong[..., 10:30, 21:27].all()
    assert not wrong[..., 5:-5, 33:-5].any()


def test_the_tolerance_is_that_of_the_source() -> None:
    forward = torch.zeros(1, 2, 4, 4)
    for length, miss in ((0.0, 0.70), (0.0, 0.72), (1.0, 0.71), (1.0, 0.75)):
        there, back = forward.clone(), forward.clone()
        there[:, 1, 1, 1], back[:, 1] = length, miss - length
        expected = miss**2 < 0.01 * (length**2 + (miss - length) ** 2) + 0.5
        assert bool(consistent_flow(there, back)[0, 0, 1, 1]) == expected


def test_flow_in_a_hole_is_continued_from_around_it() -> None:
    flow = affine_flow(*FIRST)
    hole = torch.zeros(1, 1, H, W)
    hole[..., 12:24, 18:34] = 1
    broken = torch.where(hole > 0, 50.0, flow)
    filled = flow_beyond_holes(broken, hole, torch.zeros_like(hole), margin=2)
    assert (filled - flow).abs().max() < 0.25
    outside = (..., slice(0, 9), slice(None))
    assert torch.equal(filled[outside], flow[outside])


def test_flow_that_ends_in_a_hole_is_not_trusted() -> None:
    flow = torch.zeros(1, 2, H, W)
    flow[:, 0] = 6
    landing = torch.zeros(1, 1, H, W)
    landing[..., 10:20, 30:40] = 1
    drawn = flow.clone()
    drawn[:, 0, 10:20, 24:33] = 8  # drawn to what was made up
    filled = flow_beyond_holes(drawn, torch.zeros_like(landing), landing, margin=2)
    assert (filled - flow).abs().max() < 1e-4
