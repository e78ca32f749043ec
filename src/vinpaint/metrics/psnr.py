"""Peak signal-to-noise ratio."""

from __future__ import annotations

import torch
from torch import Tensor

from vinpaint.metrics.base import Average, AveragedMetric
from vinpaint.metrics.regions import Pool, Region, check_region, region_mean, squared_error

CAP = 120.0
"""Decibels given to identical frames. No 8-bit frame up to full HD that differs anywhere reaches it: one level in one
channel of one pixel is 103 dB at 432x240 and 116 dB at 1920x1080, so published values are untouched."""


def psnr_of_error(mean_squared_error: Tensor, *, cap: float = CAP) -> Tensor:
    """Turn the mean squared error of frames in [0, 1] into decibels, at most ``cap``; NaN stays NaN."""
    return (-10.0 * torch.log10(mean_squared_error)).clamp(max=cap)


def psnr(
    completed: Tensor,
    truth: Tensor,
    *,
    masks: Tensor | None = None,
    region: Region = "whole",
    pool: Pool = "frame",
    cap: float = CAP,
) -> Tensor:
    """Compare one clip with its truth in decibels.

    Args:
        completed: ``(T, 3, H, W)`` in [0, 1].
        truth: the same shape and range.
        masks: ``(T, 1, H, W)``, 1 = hole; needed for the hole.
        region: the whole frame, or the hole alone.
        pool: one value per frame, or the error pooled over the clip.
        cap: value of identical frames, dB, and the most any frame gets.

    Returns:
        ``(T,)`` float64 dB, NaN for a frame without a hole when only the hole counts; ``(1,)`` when pooled.

    Raises:
        UndefinedError: if only the hole counts and there is none.
        UserError: if only the hole counts and no masks are given.

    Source: ``20 log10(255 / sqrt(mse))`` over all pixels and channels in double precision, as the evaluators of
    FuseFormer, E2FGVI and ProPainter have it; there one frame without error makes every mean infinite, hence the cap.
    """
    error = region_mean(squared_error, completed, truth=truth, masks=masks, region=region, pool=pool)
    return psnr_of_error(error, cap=cap)


class PSNR(AveragedMetric):
    """Peak signal-to-noise ratio, dB.

    The defaults are the published protocol: per frame, over the whole frame, averaged over frames. For the hole alone
    the error is best pooled over the clip, so that a frame with a sliver of hole does not weigh as much as a full one.

    Args:
        region: the whole frame, or the hole alone.
        pool: score each frame, or pool the squared error over the clip first.
        average: weigh frames alike, or videos; makes no difference when errors are pooled over the clip.
        cap: value of identical frames, dB, and the most any score gets, so that no mean is infinite.
    """

    higher_is_better = True

    def __init__(
        self, *, region: Region = "whole", pool: Pool = "frame", average: Average = "frames", cap: float = CAP
    ) -> None:
        super().__init__(average=average)
        check_region(region, pool)
        self.region = region
        self.pool = pool
        self.cap = cap

    def scores(self, completed: Tensor, truth: Tensor, masks: Tensor) -> Tensor:
        """Score one clip, see :func:`psnr`."""
        values = psnr(completed, truth, masks=masks, region=self.region, pool=self.pool, cap=self.cap)
        return values.unsqueeze(0)
