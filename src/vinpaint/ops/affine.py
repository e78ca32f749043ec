"""Sampling frames along an affine map."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


def affine_warp(
    images: Tensor,
    theta: Tensor,
    *,
    align_corners: bool,
    size: tuple[int, int] | None = None,
    mode: Literal["bilinear", "bicubic"] = "bilinear",
    padding: Literal["zeros", "border"] = "zeros",
) -> Tensor:
    """Sample ``images`` at the positions an affine map gives.

    Convention:
        ``warped[p] = image[theta @ (x, y, 1)]``: ``theta`` maps normalised coordinates of the result to those of the
        image. -1 and 1 are the centres of the outermost pixels with ``align_corners=True`` and the outer edges of the
        image without.

    Args:
        images: ``(N, C, H, W)``, any range.
        theta: ``(N, 2, 3)``.
        align_corners: which of the two conventions ``theta`` follows. A map means the same at every size only without.
        size: (height, width) of the result; None: that of the images.
        mode: of samples; bicubic ones can leave the range of the images.
        padding: what a sample outside the image takes.

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
        return F.grid_sample(images.float(), grid, mode=mode, padding_mode=padding, align_corners=align_corners)


def pixel_theta(pixels: NDArray[np.floating[Any]], size: tuple[int, int]) -> Tensor:
    """Turn an affine map of pixels into what :func:`affine_warp` samples along with ``align_corners=True``.

    Args:
        pixels: ``(3, 3)``, of ``(x, y, 1)`` of the result to those of the image; pixel centres are integers.
        size: (height, width) of both.

    Returns:
        ``(1, 2, 3)`` float32.
    """
    x, y = (max(side - 1, 1) / 2 for side in (size[1], size[0]))
    to_pixels = np.array([[x, 0, x], [0, y, y], [0, 0, 1]])
    theta = np.linalg.inv(to_pixels) @ pixels @ to_pixels
    return torch.from_numpy(theta[None, :2]).float()
