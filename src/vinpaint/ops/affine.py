"""Sampling frames along an affine map."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def affine_warp(images: Tensor, theta: Tensor, *, align_corners: bool, size: tuple[int, int] | None = None) -> Tensor:
    """Sample ``images`` at the positions an affine map gives.

    Convention:
        ``warped[p] = image[theta @ (x, y, 1)]``: ``theta`` maps normalised coordinates of the result to those of the
        image. -1 and 1 are the centres of the outermost pixels with ``align_corners=True`` and the outer edges of the
        image without. Samples are bilinear; outside the image they are 0.

    Args:
        images: ``(N, C, H, W)``, any range.
        theta: ``(N, 2, 3)``.
        align_corners: which of the two conventions ``theta`` follows. A map means the same at every size only without.
        size: (height, width) of the result; None: that of the images.

    Returns:
        ``(N, C, *size)`` float32.

    Raises:
        ValueError: if the shapes are not these.

    Source: spatial transformer networks (arXiv:1506.02025), equation 1. All of it is float32, under autocast too: a
    half-precision grid is wrong by a pixel on wide frames.
    """
    if images.ndim != 4 or theta.shape != (images.shape[0], 2, 3):
        raise ValueError(f"images {tuple(images.shape)}, theta {tuple(theta.shape)}: expected (N, C, H, W), (N, 2, 3)")
    height, width = size or images.shape[-2:]
    with torch.autocast(images.device.type, enabled=False):
        grid = F.affine_grid(
            theta.float(), [images.shape[0], images.shape[1], height, width], align_corners=align_corners
        )
        return F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=align_corners)
