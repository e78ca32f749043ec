"""Which pixels of a warped or shrunk frame were seen."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def visible_pixels(known: Tensor) -> Tensor:
    """Tell the pixels that are mostly made of known ones.

    Args:
        known: how much of each pixel is known, in [0, 1]: a map of known pixels after a bilinear warp or resize.

    Returns:
        Same shape and type, 1 where more than half is known, else 0. No gradient passes.

    Source: Copy-and-Paste Networks (arXiv:1908.11587), released code.
    """
    return (known > 0.5).to(known.dtype)


def coarse_visibility(visible: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring a map of visible pixels to the grid of a feature map.

    Args:
        visible: ``(N, 1, H, W)`` in {0, 1}.
        size: (height, width) of the features.

    Returns:
        ``(N, 1, *size)`` in {0, 1}: bilinear samples at the centres of the cells (``align_corners=False``), more than
        half visible. On a grid four times coarser that is three of the four pixels in the middle of a cell.
    """
    return visible_pixels(F.interpolate(visible, size, mode="bilinear", align_corners=False))
