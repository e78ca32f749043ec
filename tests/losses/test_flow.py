from __future__ import annotations

import pytest
import torch

from vinpaint.losses import LEVEL_WEIGHTS, end_point_error, multi_scale_end_point_error


def test_the_error_is_the_distance_between_ends() -> None:
    truth = torch.zeros(1, 2, 2, 2)
    flow = truth.clone()
    flow[0, :, 0, 0] = torch.tensor([3.0, 4.0])
    assert end_point_error(flow, truth).item() == pytest.approx(5 / 4)
    weight = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    assert end_point_error(flow, truth, weight).item() == pytest.approx(5 / 2)
    assert end_point_error(flow, truth, torch.zeros(1, 1, 2, 2)).item() == 0


def test_the_weights_are_those_of_the_public_codes() -> None:
    assert LEVEL_WEIGHTS == (0.32, 0.08, 0.02, 0.01, 0.005, 0.0003125)


def test_levels_are_summed_over_their_pixels() -> None:
    truth = torch.zeros(2, 2, 128, 64)
    levels = [torch.zeros(2, 2, 2, 1), torch.zeros(2, 2, 128, 64)]
    levels[0][:, 0] = 3.0
    levels[1][:, 1] = 1.0
    # per 64x64 pixels: one pixel of the coarse level that is 3 off, 4096 of the fine one that are 1 off
    loss = multi_scale_end_point_error(levels, truth, level_weights=(0.5, 0.01), unit=1.0)
    assert loss.item() == pytest.approx(0.5 * 3 + 0.01 * 4096)
    robust = multi_scale_end_point_error(levels, truth, level_weights=(0.5, 0.01), unit=1.0, robust=True)
    assert robust.item() == pytest.approx(0.5 * 3.01**0.4 + 0.01 * 4096 * 1.01**0.4, rel=1e-5)


def test_the_mean_of_what_a_pixel_covers_costs_nothing() -> None:
    truth = torch.randn(1, 2, 8, 8)
    exact = [truth.unfold(2, 4, 4).unfold(3, 4, 4).mean(dim=(-1, -2)), truth]
    assert multi_scale_end_point_error(exact, truth, level_weights=(1, 1)).item() == pytest.approx(0, abs=1e-4)


def test_pixels_without_weight_are_as_if_they_were_not_there() -> None:
    truth, other = torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 8, 8)
    other[..., :4] = 100.0  # half of what the coarse pixels of the left cover
    weight = torch.ones(1, 1, 8, 8)
    weight[..., :4] = 0
    levels = [torch.rand(1, 2, 1, 1, requires_grad=True), torch.rand(1, 2, 8, 8, requires_grad=True)]
    losses = [multi_scale_end_point_error(levels, t, weight, level_weights=(1, 1)) for t in (truth, other)]
    torch.testing.assert_close(losses[0], losses[1])
    losses[0].backward()
    assert levels[1].grad is not None
    assert (levels[1].grad[..., :4] == 0).all()
    assert (levels[1].grad[..., 4:] != 0).all()


def test_the_gradient_is_right() -> None:
    levels = [torch.randn(1, 2, 2, 2, dtype=torch.double, requires_grad=True)]
    truth = torch.randn(1, 2, 4, 4)
    for robust in (False, True):
        assert torch.autograd.gradcheck(
            lambda level, robust=robust: multi_scale_end_point_error([level], truth, level_weights=(1,), robust=robust),
            levels, eps=1e-3, atol=1e-2, rtol=1e-2,
        )  # fmt: skip


def test_an_exact_flow_sends_a_gradient_that_is_a_number() -> None:
    level = torch.zeros(1, 2, 4, 4, requires_grad=True)
    multi_scale_end_point_error([level], torch.zeros(1, 2, 4, 4), level_weights=(1,)).backward()
    assert level.grad is not None
    assert level.grad.isfinite().all()


def test_what_does_not_fit_is_refused() -> None:
    truth = torch.zeros(1, 2, 8, 8)
    with pytest.raises(ValueError, match="2 levels and 6 weights"):
        multi_scale_end_point_error([truth, truth], truth)
    with pytest.raises(ValueError, match=r"level \(1, 2, 3, 8\) of flow \(1, 2, 8, 8\)"):
        multi_scale_end_point_error([torch.zeros(1, 2, 3, 8)], truth, level_weights=(1,))
    with pytest.raises(ValueError, match=r"weight \(1, 2, 8, 8\): expected"):
        end_point_error(truth, truth, truth)
