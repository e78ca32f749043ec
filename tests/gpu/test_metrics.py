"""Every metric on a GPU against float64 on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from device_agreement import relative_error, tf32
from vinpaint.metrics import (
    L1,
    LPIPS,
    PSNR,
    SSIM,
    VFID,
    TemporalConsistency,
    VideoMetric,
    WarpError,
    frechet_distance,
    lpips,
)
from vinpaint.models.flow.dis import DISFlow

pytestmark = pytest.mark.gpu

CPU = torch.device("cpu")


def clips(batch: int = 3, num_frames: int = 9) -> tuple[Tensor, Tensor, Tensor]:
    """Whole levels, so that no device rounds one another way: completed and true frames, and holes, float64."""
    truth = torch.randint(0, 256, (batch, num_frames, 3, 72, 80)).double() / 255
    masks = torch.zeros(batch, num_frames, 1, 72, 80, dtype=torch.float64)
    masks[..., 12:30, 20:45] = 1
    other = torch.randint(0, 256, truth.shape).double() / 255
    return torch.where(masks > 0, other, truth), truth, masks


Clips = tuple[Tensor, Tensor, Tensor]


def value(metric: VideoMetric, clips: Clips, device: torch.device, dtype: torch.dtype) -> Tensor:
    completed, truth, masks = (part.to(device, dtype) for part in clips)
    metric = metric.to(device)
    metric.update(completed, truth, masks=masks, names=[str(index) for index in range(len(completed))])
    result: Tensor = metric.compute()
    return result.reshape(-1)


METRICS: dict[str, Callable[[], VideoMetric]] = {
    "PSNR": PSNR,
    "PSNR, hole": lambda: PSNR(region="hole", pool="clip"),
    "SSIM": SSIM,
    "SSIM, Gaussian, hole": lambda: SSIM(window="gaussian", region="hole"),
    "L1": L1,
    "temporal consistency": TemporalConsistency,
    "warp error": lambda: WarpError(DISFlow()),
}


@pytest.mark.parametrize("name", METRICS)
def test_metric_agrees_with_float64_on_the_cpu(name: str, device: torch.device, errors: list[Any]) -> None:
    drawn = clips()
    with tf32(False):
        found = value(METRICS[name](), drawn, device, torch.float32)
    error = relative_error([found], [value(METRICS[name](), drawn, CPU, torch.float64)])
    errors.append((name, "float32", error, 1e-4))
    assert error < 1e-4


def test_lpips_agrees_with_float64_on_the_cpu(device: torch.device, errors: list[Any]) -> None:
    drawn, metric = clips(), LPIPS(weights="random")
    exact = metric.network.double()
    expected = torch.stack([lpips(completed, truth, exact).mean() for completed, truth, _ in zip(*drawn, strict=True)])
    with tf32(False):
        found = value(LPIPS(weights="random"), drawn, device, torch.float32)
    error = relative_error([found], [expected.mean().reshape(1)])
    errors.append(("LPIPS of clips", "float32", error, 1e-4))
    assert error < 1e-4


def test_vfid_agrees_with_float64_on_the_cpu(device: torch.device, errors: list[Any]) -> None:
    drawn, network = clips(), VFID(weights="random").network.double()
    with torch.no_grad():
        fake, real = (network.features(part.transpose(1, 2), bn_mode="eval") for part in drawn[:2])
    with tf32(False):
        found = value(VFID(weights="random", bn_mode="eval"), drawn, device, torch.float32)
    error = relative_error([found], [frechet_distance(real, fake).reshape(1)])
    errors.append(("VFID", "float32", error, 1e-3))
    assert error < 1e-3  # a difference of traces: it loses a digit
