"""PSNR, SSIM and L1 against the public evaluators, scikit-image and hand-worked frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from golden_weights import box_masks, keyed_generator, moving_clip, sha256
from vinpaint.metrics import L1, PSNR, SSIM, UndefinedError, l1, psnr, ssim
from vinpaint.metrics.psnr import CAP


@pytest.fixture(scope="module")
def stored(golden_dir: Path) -> dict[str, Any]:
    numbers: dict[str, Any] = json.loads((golden_dir / "metrics.json").read_text())
    return numbers


@pytest.fixture(scope="module")
def pairs(stored: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
    """The truth and the completed clips, (T, 3, H, W) in 0..255."""
    seed, key, size = stored["seed"], stored["key"], (stored["T"], stored["H"], stored["W"])
    truth = moving_clip(seed, key, *size)
    other = moving_clip(seed, key + "_other", *size)
    masks = box_masks(seed, key, *size, fractions=[0.1, 0.3, 0.02, 0.7, 0.2, 0.15])[..., None]
    noise = torch.randint(-20, 21, truth.shape, generator=keyed_generator(seed, key + ":noise")).numpy()
    noisy = np.clip(truth + noise, 0, 255).astype(np.uint8)
    assert sha256(truth) == stored["frames_sha256"]
    assert sha256(noisy) == stored["noisy_sha256"]
    one_off = truth.copy()
    one_off[:, 5, 7, 1] ^= 1
    half = np.float32(0.5)
    clips = {
        "noisy": noisy,
        "hole_swapped": np.where(masks > 0, other, truth),
        "half_blend_float32": truth.astype(np.float32) * half + noisy.astype(np.float32) * half,
        "hole_half_blend_float32": np.where(
            masks > 0, truth.astype(np.float32) * half + other.astype(np.float32) * half, truth.astype(np.float32)
        ),
        "identical": truth.copy(),
        "one_pixel_off": one_off,
        "inverted": 255 - truth,
    }
    as_tensor = {name: torch.from_numpy(clip).permute(0, 3, 1, 2) for name, clip in clips.items()}
    return torch.from_numpy(truth).permute(0, 3, 1, 2), as_tensor


CASES = (
    "noisy",
    "hole_swapped",
    "half_blend_float32",
    "hole_half_blend_float32",
    "identical",
    "one_pixel_off",
    "inverted",
)


@pytest.mark.parametrize("case", CASES)
def test_psnr_equals_the_public_evaluators(case: str, stored: dict[str, Any], pairs: Any) -> None:
    truth, completed = pairs[0].double() / 255, pairs[1][case].double() / 255
    expected = torch.tensor([float(v) for v in stored["pairs"][case]["e2fgvi_psnr"]], dtype=torch.float64)
    torch.testing.assert_close(psnr(completed, truth), expected.clamp(max=CAP), rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_psnr_of_float32_frames_is_as_good(case: str, stored: dict[str, Any], pairs: Any) -> None:
    truth, completed = pairs[0].float() / 255, pairs[1][case].float() / 255
    metric = PSNR()
    metric.update(completed[None], truth[None], masks=torch.ones_like(truth[None, :, :1]), names=["clip"])
    expected = min(float(stored["pairs"][case]["e2fgvi_psnr_mean"]), CAP)
    # One level in one pixel is known to 1e-4 of itself only, once frames are float32 in [0, 1].
    assert float(metric.compute()) == pytest.approx(expected, abs=1e-6 if expected < 100 else 1e-3)


@pytest.mark.parametrize("case", CASES)
def test_uniform_ssim_equals_the_public_evaluators(case: str, stored: dict[str, Any], pairs: Any) -> None:
    truth, completed = pairs[0].double() / 255, pairs[1][case].double() / 255
    expected = torch.tensor(stored["pairs"][case]["e2fgvi_ssim"], dtype=torch.float64)
    torch.testing.assert_close(ssim(completed, truth), expected, rtol=0, atol=1e-9)


@pytest.fixture
def small() -> tuple[Tensor, Tensor, Tensor]:
    """Completed, truth and masks of three 70x83 frames; the last frame has no hole."""
    truth = torch.rand(3, 3, 70, 83)
    masks = torch.zeros(3, 1, 70, 83)
    masks[0, :, 10:40, 8:50] = 1
    masks[1, :, 33:60, 30:80] = 1
    completed = torch.where(masks > 0, torch.rand(3, 3, 70, 83), truth)
    completed = (completed + 0.01 * torch.randn(3, 3, 70, 83)).clamp(0, 1)
    return completed, truth, masks


def as_images(clip: Tensor) -> np.ndarray[Any, Any]:
    return clip.permute(0, 2, 3, 1).double().numpy()


def test_psnr_equals_scikit_image(small: tuple[Tensor, Tensor, Tensor]) -> None:
    completed, truth, _ = small
    expected = [
        peak_signal_noise_ratio(t, c, data_range=1) for t, c in zip(as_images(truth), as_images(completed), strict=True)
    ]
    np.testing.assert_allclose(psnr(completed, truth).numpy(), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("window", ["uniform", "gaussian"])
def test_ssim_equals_scikit_image(window: Any, small: tuple[Tensor, Tensor, Tensor]) -> None:
    completed, truth, _ = small
    options: dict[str, Any] = {"data_range": 1.0, "channel_axis": -1}
    if window == "uniform":
        options["win_size"] = 65
    else:
        options.update(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    expected = [
        structural_similarity(t, c, **options) for t, c in zip(as_images(truth), as_images(completed), strict=True)
    ]
    np.testing.assert_allclose(ssim(completed, truth, window=window).numpy(), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("window", "radius"), [("uniform", 32), ("gaussian", 5)])
def test_ssim_of_the_hole_is_the_mean_of_the_map_there(
    window: Any, radius: int, small: tuple[Tensor, Tensor, Tensor]
) -> None:
    completed, truth, masks = small
    options: dict[str, Any] = {"data_range": 1.0, "channel_axis": -1, "full": True}
    if window == "uniform":
        options["win_size"] = 65
    else:
        options.update(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    values = ssim(completed, truth, masks=masks, window=window)
    inside = (slice(radius, -radius), slice(radius, -radius))
    for index in (0, 1):
        full = structural_similarity(as_images(truth)[index], as_images(completed)[index], **options)[1]
        hole = masks[index, 0].numpy()[inside] > 0
        assert hole.any()
        assert float(values[index]) == pytest.approx(full[inside][hole].mean(), abs=1e-9)
    assert values[2].isnan()


def test_hole_psnr_pools_the_error_over_the_clip(small: tuple[Tensor, Tensor, Tensor]) -> None:
    completed, truth, masks = small
    hole = masks.expand_as(truth) > 0
    error = (completed - truth).double()[hole].square().mean()
    pooled = psnr(completed, truth, masks=masks, region="hole", pool="clip")
    torch.testing.assert_close(pooled, -10 * torch.log10(error).unsqueeze(0), rtol=0, atol=1e-6)
    per_frame = psnr(completed, truth, masks=masks, region="hole")
    error = (completed - truth)[1].double()[hole[1]].square().mean()
    assert float(per_frame[1]) == pytest.approx(float(-10 * torch.log10(error)), abs=1e-6)
    assert per_frame[2].isnan()


def test_l1_of_hand_worked_frames() -> None:
    truth = torch.zeros(2, 3, 1, 2)
    completed = torch.zeros(2, 3, 1, 2)
    completed[0, :, 0, 1] = torch.tensor([0.3, 0.6, 0.0])
    masks = torch.tensor([[[[0.0, 1.0]]], [[[1.0, 1.0]]]])
    assert l1(completed, truth).tolist() == pytest.approx([0.15, 0.0])
    assert l1(completed, truth, masks=masks, region="hole").tolist() == pytest.approx([0.3, 0.0])
    assert l1(completed, truth, masks=masks, region="hole", pool="clip").tolist() == pytest.approx([0.1])


def test_hole_metrics_ignore_the_known_pixels(small: tuple[Tensor, Tensor, Tensor]) -> None:
    completed, truth, masks = small
    spoiled = torch.where(masks > 0, completed, 1 - truth)
    for function in (psnr, l1):
        before = function(completed, truth, masks=masks, region="hole", pool="clip")
        assert torch.equal(before, function(spoiled, truth, masks=masks, region="hole", pool="clip"))


def test_one_identical_frame_leaves_the_mean_finite() -> None:
    truth = torch.rand(2, 3, 8, 8)
    completed = truth.clone()
    completed[1] = (truth[1] + 0.1) % 1
    metric = PSNR(cap=100.0)
    metric.update(completed[None], truth[None], masks=torch.ones(1, 2, 1, 8, 8), names=["clip"])
    assert float(metric.compute()) == pytest.approx((100.0 + float(psnr(completed, truth)[1])) / 2)


def test_frames_and_videos_weigh_differently() -> None:
    truth = torch.rand(1, 4, 3, 8, 8) * 0.5
    clips = [(truth + 0.1, truth), (truth[:, :1] + 0.2, truth[:, :1])]
    frames, videos = PSNR(average="frames"), PSNR(average="videos")
    for completed, true in clips:
        for metric in (frames, videos):
            metric.update(completed, true, masks=torch.ones_like(true[:, :, :1]), names=["clip"])
    low, high = -20 * np.log10(0.2), -20 * np.log10(0.1)
    assert float(frames.compute()) == pytest.approx((4 * high + low) / 5, abs=1e-5)
    assert float(videos.compute()) == pytest.approx((high + low) / 2, abs=1e-5)


def test_a_frame_smaller_than_the_window_is_undefined() -> None:
    with pytest.raises(UndefinedError, match=r"65x65 window does not fit frames of 40x80.*gaussian"):
        ssim(torch.rand(1, 3, 80, 40), torch.rand(1, 3, 80, 40))


def test_a_hole_near_the_border_has_no_window() -> None:
    masks = torch.zeros(1, 1, 80, 80)
    masks[..., :20] = 1
    with pytest.raises(UndefinedError, match="no hole pixel lies 32 pixels"):
        ssim(torch.rand(1, 3, 80, 80), torch.rand(1, 3, 80, 80), masks=masks)


@pytest.mark.parametrize("metric", [PSNR, SSIM, L1])
def test_a_misspelt_region_names_the_choices(metric: Any) -> None:
    with pytest.raises(ValueError, match="region=holes: choose whole or hole"):
        metric(region="holes")


def test_a_misspelt_window_average_or_pool_names_the_choices() -> None:
    with pytest.raises(ValueError, match="window=box: choose uniform or gaussian"):
        SSIM(window="box")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="average=clips: choose frames or videos"):
        PSNR(average="clips")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="pool=video: choose frame or clip"):
        L1(pool="video")  # type: ignore[arg-type]


def test_the_hole_needs_masks() -> None:
    with pytest.raises(ValueError, match="give masks"):
        psnr(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8), region="hole")
