from __future__ import annotations

import pytest
import torch

from vinpaint.losses import hole_l1, masked_l1, region_l1, valid_l1


def test_hand_worked_hole_and_valid_error() -> None:
    frames = torch.zeros(1, 1, 3, 2, 2)
    completed = torch.tensor([[1.0, 0.5], [0.25, 0.25]]).expand(1, 1, 3, 2, 2)
    masks = torch.tensor([[1.0, 1.0], [0.0, 0.0]]).view(1, 1, 1, 2, 2)
    assert hole_l1(completed, frames, masks).item() == pytest.approx(0.75)
    assert valid_l1(completed, frames, masks).item() == pytest.approx(0.25)


def test_is_the_paper_formula_divided_by_the_number_of_channels() -> None:
    completed, frames = torch.rand(2, 3, 3, 8, 8), torch.rand(2, 3, 3, 8, 8)
    masks = (torch.rand(2, 3, 1, 8, 8) < 0.3).float()
    paper = ((completed - frames) * masks).abs().sum() / masks.sum()
    torch.testing.assert_close(hole_l1(completed, frames, masks), paper / 3)


@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_an_empty_region_costs_nothing_and_is_finite(fill: float) -> None:
    completed, frames = torch.rand(1, 2, 3, 4, 4, requires_grad=True), torch.rand(1, 2, 3, 4, 4)
    masks = torch.full((1, 2, 1, 4, 4), fill)
    loss = (hole_l1 if fill == 0 else valid_l1)(completed, frames, masks)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(completed.grad, torch.zeros_like(completed))


def test_parts_of_a_batch_average_to_the_whole_when_told_its_area() -> None:
    completed, frames = torch.rand(4, 2, 3, 8, 8), torch.rand(4, 2, 3, 8, 8)
    masks = torch.zeros(4, 2, 1, 8, 8)
    for clip, height in enumerate((1, 3, 5, 8)):
        masks[clip, :, :, :height] = 1
    area = masks.mean()
    for loss in (hole_l1, valid_l1):
        parts = [loss(completed[i : i + 1], frames[i : i + 1], masks[i : i + 1], area=area) for i in range(4)]
        torch.testing.assert_close(torch.stack(parts).mean(), loss(completed, frames, masks))


def test_gradient_stays_in_the_region_and_is_right() -> None:
    completed = torch.rand(1, 1, 3, 3, 3, dtype=torch.double, requires_grad=True)
    frames = torch.rand(1, 1, 3, 3, 3, dtype=torch.double)
    masks = torch.zeros(1, 1, 1, 3, 3, dtype=torch.double)
    masks[..., 0] = 1
    assert torch.autograd.gradcheck(lambda x: hole_l1(x, frames, masks), completed)
    hole_l1(completed, frames, masks).backward()
    assert torch.equal(completed.grad[..., 1:], torch.zeros_like(completed[..., 1:]))


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"frames \(1, 3, 4, 4\)"):
        masked_l1(torch.rand(1, 3, 4, 5), torch.rand(1, 3, 4, 4), torch.rand(1, 1, 4, 4))


def test_hand_worked_region_of_two_clips() -> None:
    completed, frames = torch.full((2, 3, 2, 2), 0.5), torch.zeros(2, 3, 2, 2)
    region = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 0.0]]]).unsqueeze(1)
    assert region_l1(completed, frames, region).item() == pytest.approx(0.5 * 4 / 8)
    assert region_l1(completed, frames, region, normalisation="mask").item() == pytest.approx(0.5)


@pytest.mark.parametrize("normalisation", ["full", "mask"])
def test_a_region_and_the_rest_of_every_clip_average_over_equal_parts(normalisation: str) -> None:
    completed, frames = torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8, 8)
    region = (torch.rand(4, 1, 8, 8) < torch.tensor([0.0, 0.3, 0.6, 1.0]).view(4, 1, 1, 1)).float()
    parts = [
        region_l1(completed[i : i + 1], frames[i : i + 1], region[i : i + 1], normalisation=normalisation)
        for i in range(4)
    ]
    whole = region_l1(completed, frames, region, normalisation=normalisation)
    torch.testing.assert_close(torch.stack(parts).mean(), whole)
    assert parts[0].item() == 0
    if normalisation == "full":
        both = whole + region_l1(completed, frames, 1 - region)
        torch.testing.assert_close(both, (completed - frames).abs().mean())


def test_gradient_of_a_region_stays_there_and_a_nan_outside_too() -> None:
    completed = torch.rand(1, 3, 3, 3, requires_grad=True)
    frames, region = torch.rand(1, 3, 3, 3), torch.zeros(1, 1, 3, 3)
    region[..., 0] = 1
    region_l1(completed, frames, region).backward()
    sign = (completed.detach() - frames).sign() / 27
    torch.testing.assert_close(completed.grad, torch.where(region > 0, sign, 0.0))
    broken = completed.detach().masked_fill(region.expand_as(completed) == 0, float("nan")).requires_grad_(True)
    region_l1(broken, frames, region, normalisation="mask").backward()
    assert torch.isfinite(broken.grad).all()


def test_a_normalisation_that_is_neither_is_named() -> None:
    with pytest.raises(ValueError, match="normalisation='sum': choose one of full, mask"):
        region_l1(torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4), torch.rand(1, 1, 4, 4), normalisation="sum")
    with pytest.raises(ValueError, match=r"region \(1, 1, 4, 5\)"):
        region_l1(torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4), torch.rand(1, 1, 4, 5))
