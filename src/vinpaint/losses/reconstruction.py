"""How far a completed clip is from the truth, inside the hole and outside it."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

Normalisation = Literal["full", "mask"]

SMALLEST_AREA = 1e-6
"""Below this share of the frame a region counts as empty: its loss is 0 and not 0/0."""


def masked_l1(completed: Tensor, frames: Tensor, region: Tensor, *, area: Tensor | float | None = None) -> Tensor:
    """Average absolute error over a region of the frames.

    Args:
        completed: what a network made, ``(..., 3, H, W)``, any range.
        frames: the truth, same shape and range.
        region: where to look, ``(..., 1, H, W)`` in {0, 1}.
        area: the share of all pixels that the region covers; measured on ``region`` when ``None``. Whoever splits a
            batch (over devices or into micro-batches) gives the share of the whole batch, and the mean of the parts is
            then the loss of the whole.

    Returns:
        A scalar in the unit of the frames: the mean over region pixels and channels. 0 where the region is empty.

    Raises:
        ValueError: if the shapes do not fit.

    Source: STTN (arXiv:2007.10247), equations 6 and 7, as in the public training code: mean error over the frame
    divided by the share of the region, pooled over the batch. The paper divides a sum over three channels by a count
    of pixels and is therefore three times larger; an empty region divides by zero in both and gives 0 here.
    """
    _check(completed, frames, region)
    share = torch.as_tensor(region.mean() if area is None else area, dtype=frames.dtype, device=frames.device)
    return ((completed - frames) * region).abs().mean() / share.clamp(min=SMALLEST_AREA)


def hole_l1(completed: Tensor, frames: Tensor, masks: Tensor, *, area: Tensor | float | None = None) -> Tensor:
    """Average absolute error inside the holes (see :func:`masked_l1`; ``masks`` are 1 in the hole)."""
    return masked_l1(completed, frames, masks, area=area)


def valid_l1(completed: Tensor, frames: Tensor, masks: Tensor, *, area: Tensor | float | None = None) -> Tensor:
    """Average absolute error outside the holes.

    ``area`` is, as in :func:`hole_l1`, the share of the *hole*; everything else as in :func:`masked_l1`.
    """
    return masked_l1(completed, frames, 1 - masks, area=None if area is None else 1 - area)


def region_l1(completed: Tensor, frames: Tensor, region: Tensor, *, normalisation: Normalisation = "full") -> Tensor:
    """Average absolute error over a region, clip by clip.

    Args:
        completed: what a network made, ``(B, ..., 3, H, W)``, any range.
        frames: the truth, same shape and range.
        region: where to look, ``(B, ..., 1, H, W)`` in {0, 1}.
        normalisation: ``full``: the mean over all pixels, those outside the region counting as 0, so that a large
            region costs more; ``mask``: the mean over the region alone, for each of the B clips, 0 where it is empty.

    Returns:
        A scalar in the unit of the frames. The values of equal parts of a batch average to that of the whole, although
        no part knows the others.

    Raises:
        ValueError: if the shapes do not fit, or ``normalisation`` is neither.

    Source: STRA-Net, supplementary A.1, equations 3 to 5 and 8, where norms are sums. Weights of this family come from
    partial convolutions (arXiv:1804.07723), which divide by the number of all pixels: ``full``.
    """
    _check(completed, frames, region)
    if normalisation not in get_args(Normalisation):
        raise ValueError(f"normalisation={normalisation!r}: choose one of {', '.join(get_args(Normalisation))}")
    # chosen, not multiplied: a NaN outside the region stays outside
    error = torch.where(region > 0, completed - frames, 0.0).abs().flatten(1).mean(dim=1)
    if normalisation == "mask":
        error = error / region.float().flatten(1).mean(dim=1).clamp(min=SMALLEST_AREA)
    return error.mean()


def _check(completed: Tensor, frames: Tensor, region: Tensor) -> None:
    if completed.shape != frames.shape or region.shape[-2:] != frames.shape[-2:]:
        raise ValueError(
            f"completed {tuple(completed.shape)}, frames {tuple(frames.shape)}, region {tuple(region.shape)}: "
            "give frames of one shape and a region of the same height and width"
        )
