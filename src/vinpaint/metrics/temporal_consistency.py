"""Temporal consistency without a network: does the hole change from frame to frame as the truth does."""

from __future__ import annotations

import torch
from torch import Tensor

from vinpaint.metrics.base import Average, AveragedMetric, UndefinedError
from vinpaint.metrics.psnr import CAP, psnr_of_error
from vinpaint.metrics.regions import Pool, check_region, region_mean, squared_error


def temporal_consistency(
    completed: Tensor, truth: Tensor, *, masks: Tensor, pool: Pool = "clip", cap: float = CAP
) -> Tensor:
    """Compare the frame differences inside the hole with those of the truth, in decibels.

    A completion that flickers or swims scores low even where each frame alone looks right; a constant error of colour
    costs nothing. A pixel counts where it lies in the hole of either frame of a pair.

    Args:
        completed: ``(T, 3, H, W)`` in [0, 1].
        truth: the same shape and range.
        masks: ``(T, 1, H, W)``, 1 = hole.
        pool: one value per pair of neighbouring frames, or the squared error pooled over the clip.
        cap: value where the differences agree exactly, dB, and the most any pair gets.

    Returns:
        ``(T - 1,)`` float64 dB relative to a peak of 1, NaN for a pair without a hole; ``(1,)`` when pooled.

    Raises:
        UndefinedError: if there is only one frame, or no mask has a hole.
    """
    if len(completed) < 2:
        raise UndefinedError("a clip of one frame has no frame differences; give two frames or more")
    either = torch.maximum(masks[1:], masks[:-1])
    error = region_mean(
        squared_error,
        completed[1:] - completed[:-1],
        truth=truth[1:] - truth[:-1],
        masks=either,
        region="hole",
        pool=pool,
    )
    return psnr_of_error(error, cap=cap)


class TemporalConsistency(AveragedMetric):
    """Peak signal-to-noise ratio of frame differences inside the hole, dB.

    Args:
        pool: score each pair of frames, or pool the squared error over the clip first.
        average: weigh pairs alike, or videos; makes no difference when errors are pooled over the clip.
        cap: value where the differences agree exactly, dB, and the most any score gets.
    """

    higher_is_better = True

    def __init__(self, *, pool: Pool = "clip", average: Average = "frames", cap: float = CAP) -> None:
        super().__init__(average=average)
        check_region("hole", pool)
        self.pool = pool
        self.cap = cap

    def scores(self, completed: Tensor, truth: Tensor, masks: Tensor) -> Tensor:
        """Score one clip, see :func:`temporal_consistency`."""
        return temporal_consistency(completed, truth, masks=masks, pool=self.pool, cap=self.cap).unsqueeze(0)
