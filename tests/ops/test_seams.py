"""Completed and known pixels brought together."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from vinpaint.ops.seams import meet_border


def scene(height: int = 48, width: int = 64) -> tuple[Tensor, Tensor]:
    """A smooth frame ``(1, 3, H, W)`` and a round hole."""
    y, x = torch.meshgrid(torch.linspace(0, 3, height), torch.linspace(0, 4, width), indexing="ij")
    frame = torch.stack((0.5 + 0.2 * torch.sin(2 * x), 0.4 + 0.2 * torch.cos(3 * y), 0.3 + 0.1 * x * y / 2))
    hole = ((x - 2) ** 2 + (y - 1.4) ** 2 < 0.8).float()
    return frame.unsqueeze(0), hole[None, None]


def test_another_exposure_is_undone() -> None:
    frame, hole = scene()
    shift = torch.tensor([0.1, -0.15, 0.05]).view(1, 3, 1, 1)
    result = meet_border(frame * (1 - hole), frame + shift, hole)
    torch.testing.assert_close(result, frame, atol=1e-5, rtol=0)


def test_a_light_that_changes_over_the_frame_is_undone() -> None:
    frame, hole = scene()
    slope = torch.linspace(-0.2, 0.2, frame.shape[-1])
    result = meet_border(frame, frame + slope, hole)
    assert (result - frame).abs().max() < 0.02
    assert slope.abs().max() == pytest.approx(0.2)


def test_it_is_near_opencvs_seamless_cloning() -> None:
    frame, hole = scene(72, 96)
    texture = torch.from_numpy(np.random.default_rng(0).random((1, 3, 72, 96), np.float32)) * 0.2
    source = (0.5 * frame + 0.3 + texture).clamp(0, 1)
    levels = [(image[0].movedim(0, -1).numpy() * 255).round().astype(np.uint8) for image in (source, frame)]
    ys, xs = np.nonzero(hole[0, 0].numpy())
    middle = ((int(xs.min()) + int(xs.max()) + 1) // 2, (int(ys.min()) + int(ys.max()) + 1) // 2)
    cloned = cv2.seamlessClone(*levels, (hole[0, 0].numpy() * 255).astype(np.uint8), middle, cv2.NORMAL_CLONE)
    result = meet_border(frame, source, hole)[0].movedim(0, -1).numpy() * 255
    inside = hole[0, 0].numpy() > 0
    pasted = np.abs(levels[0][inside].astype(float) - cloned[inside]).mean()
    assert np.abs(result[inside] - cloned[inside]).mean() < 6
    assert pasted > 20


def test_known_pixels_stay_and_what_lies_under_the_hole_has_no_influence() -> None:
    frame, hole = scene()
    completed = torch.rand_like(frame)
    result = meet_border(frame, completed, hole)
    assert torch.equal(result[(hole == 0).expand_as(frame)], frame[(hole == 0).expand_as(frame)])
    assert torch.equal(meet_border(torch.where(hole > 0, torch.nan, frame), completed, hole), result)
    assert result.min() >= 0
    assert result.max() <= 1


def test_where_nothing_is_known_nothing_is_shifted() -> None:
    completed = torch.rand(1, 3, 9, 7)
    assert torch.equal(meet_border(torch.zeros(1, 3, 9, 7), completed, torch.ones(1, 1, 9, 7)), completed)
