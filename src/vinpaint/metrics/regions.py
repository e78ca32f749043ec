"""Errors averaged over the whole frame or over the hole, per frame or pooled over the clip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from vinpaint.errors import UserError
from vinpaint.metrics.base import UndefinedError

Region = Literal["whole", "hole"]
"""``whole``: known pixels count too (published PSNR and SSIM). ``hole``: only what was completed does."""

Pool = Literal["frame", "clip"]
"""``frame``: one score per frame. ``clip``: errors of all frames form one score, so large holes weigh more."""


def check_region(region: Region, pool: Pool) -> None:
    """Refuse misspelt options.

    Raises:
        UserError: if one is unknown.
    """
    if region not in ("whole", "hole"):
        raise UserError(f"region={region}: choose whole or hole")
    if pool not in ("frame", "clip"):
        raise UserError(f"pool={pool}: choose frame or clip")


def region_mean(
    error: Callable[[Tensor, Tensor], Tensor],
    completed: Tensor,
    *,
    truth: Tensor,
    masks: Tensor | None,
    region: Region,
    pool: Pool,
) -> Tensor:
    """Average the error of each pixel in double precision.

    Args:
        error: maps a frame ``(C, H, W)`` float64 and its truth to errors of the same shape.
        completed: ``(T, C, H, W)``.
        truth: the same shape.
        masks: ``(T, 1, H, W)``, 1 = hole; none where the whole frame counts.
        region: what is averaged.
        pool: over what.

    Returns:
        ``(T,)`` float64, NaN for a frame without the region; ``(1,)`` when pooled over the clip.

    Raises:
        UndefinedError: if no frame has a hole and the region is the hole.
        UserError: if the region is the hole and no masks are given.
    """
    hole = _hole(masks) if region == "hole" else None
    num_frames, channels, height, width = completed.shape
    sums = torch.zeros(num_frames, dtype=torch.float64, device=completed.device)
    counts = torch.full_like(sums, channels * height * width)
    if hole is not None:
        counts = hole.sum(dim=(1, 2, 3)).double() * channels
    for index, (one, other) in enumerate(zip(completed, truth, strict=True)):  # a frame stays in the processor's cache
        values = error(one.double(), other.double())
        if hole is not None:
            values = values * hole[index]
        sums[index] = values.sum()
    return sums / counts if pool == "frame" else (sums.sum() / counts.sum()).unsqueeze(0)


def squared_error(completed: Tensor, truth: Tensor) -> Tensor:
    """Square the difference of every value."""
    return (completed - truth).square_()


def _hole(masks: Tensor | None) -> Tensor:
    if masks is None:
        raise UserError("region=hole: give masks (T, 1, H, W)")
    hole = masks > 0.5
    if not hole.any():
        raise UndefinedError("no mask has a hole")
    return hole
