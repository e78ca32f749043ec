"""Mean absolute error."""

from __future__ import annotations

from torch import Tensor

from vinpaint.metrics.base import Average, AveragedMetric
from vinpaint.metrics.regions import Pool, Region, check_region, region_mean


def l1(
    completed: Tensor,
    truth: Tensor,
    *,
    masks: Tensor | None = None,
    region: Region = "whole",
    pool: Pool = "frame",
) -> Tensor:
    """Average the absolute difference of one clip and its truth.

    Args:
        completed: ``(T, 3, H, W)`` in [0, 1].
        truth: the same shape and range.
        masks: ``(T, 1, H, W)``, 1 = hole; needed for the hole.
        region: the whole frame, or the hole alone.
        pool: one value per frame, or pooled over the clip.

    Returns:
        ``(T,)`` float64 in [0, 1] (times 100 is the percentage some papers print), NaN for a frame without a hole when
        only the hole counts; ``(1,)`` when pooled.

    Raises:
        UndefinedError: if only the hole counts and there is none.
        UserError: if only the hole counts and no masks are given.
    """
    return region_mean(_absolute, completed, truth=truth, masks=masks, region=region, pool=pool)


def _absolute(completed: Tensor, truth: Tensor) -> Tensor:
    return (completed - truth).abs_()


class L1(AveragedMetric):
    """Mean absolute error of frames in [0, 1].

    Args:
        region: the whole frame, or the hole alone.
        pool: score each frame, or pool the error over the clip first.
        average: weigh frames alike, or videos.
    """

    higher_is_better = False

    def __init__(self, *, region: Region = "whole", pool: Pool = "frame", average: Average = "frames") -> None:
        super().__init__(average=average)
        check_region(region, pool)
        self.region = region
        self.pool = pool

    def scores(self, completed: Tensor, truth: Tensor, masks: Tensor) -> Tensor:
        """Score one clip, see :func:`l1`."""
        return l1(completed, truth, masks=masks, region=self.region, pool=self.pool).unsqueeze(0)
