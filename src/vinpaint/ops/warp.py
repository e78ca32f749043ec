"""Sampling frames along optical flow."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def backward_warp(image: Tensor, flow: Tensor, *, padding_mode: str = "zeros") -> tuple[Tensor, Tensor]:
    """Sample ``image`` at the positions ``flow`` points to.

    Convention:
        ``warped[y, x] = image[y + v, x + u]`` with ``flow = (u, v)`` in pixels; pixel centres are integers
        (``align_corners=True``), samples are bilinear.

    Args:
        image: frames to sample, ``(N, C, H, W)``, any range.
        flow: displacement in pixels, ``(N, 2, H, W)``, channel 0 = x.
        padding_mode: ``zeros`` or ``border``, what a sample outside the image takes.

    Returns:
        The warped frames ``(N, C, H, W)`` in the type of ``image``, and a validity mask ``(N, 1, H, W)`` in {0, 1}
        that is 0 where the sample lies outside the image.

    Raises:
        ValueError: if the two batch or spatial sizes differ.

    Source: PWC-Net (arXiv:1709.02371), section 3. Sampling is float32 whatever the input: half-precision grids are
    wrong by a pixel on wide frames, and half-precision ``grid_sample`` on CPU returns garbage.
    """
    if flow.shape[1] != 2 or image.shape[0] != flow.shape[0] or image.shape[-2:] != flow.shape[-2:]:
        raise ValueError(
            f"image {tuple(image.shape)} and flow {tuple(flow.shape)}: expected (N, C, H, W) and (N, 2, H, W)"
        )
    H, W = image.shape[-2:]
    flow = flow.float()
    x = torch.arange(W, device=flow.device, dtype=torch.float32) + flow[:, 0]
    y = torch.arange(H, device=flow.device, dtype=torch.float32).unsqueeze(1) + flow[:, 1]
    inside = ((x >= 0) & (x <= W - 1) & (y >= 0) & (y <= H - 1)).unsqueeze(1)
    grid = torch.stack((x * (2 / max(W - 1, 1)) - 1, y * (2 / max(H - 1, 1)) - 1), dim=-1)
    warped = F.grid_sample(image.float(), grid, mode="bilinear", padding_mode=padding_mode, align_corners=True)
    return warped.to(image.dtype), inside.to(image.dtype)
