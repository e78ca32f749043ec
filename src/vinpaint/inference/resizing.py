"""Frames of one size for a network of another, without a glimpse under the hole."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vinpaint.ops.compositing import hide_holes


def resize_visible(frames: Tensor, masks: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Resize frames and holes so that every pixel outside the new hole is made of known pixels alone.

    Args:
        frames: ``(N, 3, H, W)`` in [0, 1].
        masks: ``(N, 1, H, W)`` in {0, 1}, 1 = hole.
        size: (height, width) wanted.

    Returns:
        Frames ``(N, 3, *size)`` in [0, 1], bicubic with the filter widened when shrinking, 0 in the hole; and masks
        ``(N, 1, *size)`` that are 1 wherever the hole covers any part of a pixel. Equal sizes return equal values.
        What lay under the hole has no influence.

    Source: normalised convolution (Knutsson & Westin, 1993): known pixels are filtered and divided by the filtered map
    of what is known.
    """
    if frames.shape[-2:] == size:
        return hide_holes(frames, masks), masks
    covered = F.adaptive_max_pool2d(masks, size)
    known = 1 - masks
    weighted, weight = (
        F.interpolate(image, size, mode="bicubic", align_corners=False, antialias=True)
        for image in (hide_holes(frames, masks), known)
    )
    # where no hole touches a pixel, its own sources alone weigh more than one half
    resized = (weighted / weight.clamp_min(0.5)).clamp_(0, 1)
    return hide_holes(resized, covered), covered


def resize_completed(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize completed frames ``(N, 3, h, w)`` to ``(N, 3, *size)``, bicubic, clamped to [0, 1]."""
    if frames.shape[-2:] == size:
        return frames
    resized: Tensor = F.interpolate(frames, size, mode="bicubic", align_corners=False, antialias=True)
    return torch.clamp(resized, 0, 1)
