"""Dense inverse search: it follows what moves, at any size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from vinpaint.errors import UserError
from vinpaint.models.flow.dis import DISFlow
from vinpaint.models.flow.estimator import FlowEstimator


def texture(height: int, width: int) -> Tensor:
    noise = gaussian_filter(np.random.default_rng(0).random((3, height, width)), (0, 2, 2))
    noise = (noise - noise.min()) / (noise.max() - noise.min())
    return torch.from_numpy(noise).float().unsqueeze(0)


def test_a_shifted_texture_gives_its_shift() -> None:
    scene = texture(96, 128)
    first, second = scene[..., 10:74, 10:106], scene[..., 13:77, 6:102]  # content moves by +4 in x and -3 in y
    flow = DISFlow().estimate(first, second)
    assert flow.shape == (1, 2, 64, 96)
    inner = flow[0, :, 12:-12, 12:-12]
    assert (inner[0] - 4).abs().mean() < 0.2
    assert (inner[1] + 3).abs().mean() < 0.2


def test_both_is_estimate_twice() -> None:
    scene = texture(80, 100)
    first, second = scene[..., 4:68, 4:68].repeat(2, 1, 1, 1), scene[..., 6:70, 3:67].repeat(2, 1, 1, 1)
    both = DISFlow(preset="fast").both(first, second)
    torch.testing.assert_close(both.forward, DISFlow(preset="fast").estimate(first, second), rtol=0, atol=0)
    torch.testing.assert_close(both.backward, DISFlow(preset="fast").estimate(second, first), rtol=0, atol=0)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (12, 40), (17, 31), (40, 12), (239, 431)])
@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
def test_any_size_works_and_equal_frames_do_not_move(size: tuple[int, int], preset: str) -> None:
    frame = texture(*size)
    flow = DISFlow(preset=preset).estimate(frame, frame)  # type: ignore[arg-type]
    assert flow.shape == (1, 2, *size)
    assert flow.abs().max() < 1e-3


def test_no_frames_give_no_flow() -> None:
    assert DISFlow().estimate(torch.zeros(0, 3, 20, 30), torch.zeros(0, 3, 20, 30)).shape == (0, 2, 20, 30)


def test_it_is_a_flow_estimator() -> None:
    assert isinstance(DISFlow(), FlowEstimator)


def test_wrong_frames_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected two of the same shape \(N, 3, H, W\)"):
        DISFlow().estimate(torch.zeros(1, 3, 20, 30), torch.zeros(1, 3, 20, 31))


def test_wrong_options_are_refused() -> None:
    with pytest.raises(UserError, match="preset=slow: expected ultrafast, fast, medium"):
        DISFlow(preset="slow")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="finest_scale=-1"):
        DISFlow(finest_scale=-1)
