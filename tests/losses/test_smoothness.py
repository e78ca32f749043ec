from __future__ import annotations

import pytest
import torch

from vinpaint.losses import total_variation
from vinpaint.ops.compositing import composite


def test_hand_worked_variation() -> None:
    image = torch.tensor([[0.0, 1.0], [0.0, 0.5]]).view(1, 1, 2, 2)
    # across: 1 and 0.5; down: 0 and 0.5
    assert total_variation(image).item() == pytest.approx(1.5 / 2 + 0.5 / 2)


def test_a_flat_picture_costs_nothing_and_a_single_row_has_no_neighbours_below() -> None:
    assert total_variation(torch.full((2, 3, 4, 4), 0.3)).item() == 0
    assert total_variation(torch.tensor([0.0, 1.0, 0.0]).view(1, 1, 3)).item() == pytest.approx(1.0)
    assert total_variation(torch.rand(1, 1, 1)).item() == 0


def test_gradient_is_right_and_of_a_composite_reaches_the_hole_only() -> None:
    image = torch.rand(2, 3, 4, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(total_variation, image)
    completed, frames = torch.rand(1, 3, 5, 5, requires_grad=True), torch.rand(1, 3, 5, 5)
    masks = torch.zeros(1, 1, 5, 5)
    masks[..., 1:3, 2:4] = 1
    total_variation(composite(frames, completed, masks)).backward()
    assert (completed.grad[masks.expand_as(completed) == 0] == 0).all()
    assert completed.grad.abs().sum() > 0


def test_a_plane_without_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"images \(4, 4\): expected \(..., C, H, W\)"):
        total_variation(torch.rand(4, 4))
