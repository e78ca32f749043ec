"""Maps estimated on reduced frames, read at the places of full-size ones.

A reduced frame is made of means over squares of ``scale`` x ``scale`` pixels. Pixel centres are integers at either
size, so the place ``q`` at full size is the place ``(q + 0.5) / scale - 0.5`` of the reduced frame.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def reduced_places(places: Tensor, scale: int) -> Tensor:
    """Where places ``(N, 2)`` of a full-size frame (px, x first) lie in the reduced one."""
    return (places + 0.5) / scale - 0.5


def full_size_places(places: Tensor, scale: int) -> Tensor:
    """Where places ``(N, 2)`` of a reduced frame (px, x first) lie in the full-size one."""
    return (places + 0.5) * scale - 0.5


def lift_affine(theta: Tensor, size: tuple[int, int]) -> Tensor:
    """Turn an affine map that holds for one size into one that means the same at every size.

    Convention:
        In: normalised coordinates that are -1 and 1 at the centres of the outermost pixels (``align_corners=True``).
        Out: -1 and 1 are the outer edges (``align_corners=False``), the same for a frame and its reduced one.

    Args:
        theta: ``(..., 2, 3)``, from the target to the reference.
        size: (height, width) of the frames it was estimated on.

    Returns:
        ``(..., 2, 3)``: ``D A D^-1`` and ``D b`` with ``D`` the ratio of the two units, (size - 1) / size.

    Source: STRA-Net (BMVC 2021), which shares alignment between sizes and leaves the conversion open: used as it is at
    four times the size, a map is off by up to a quarter of a pixel, which blurs what is carried along it.
    """
    height, width = size
    unit = theta.new_tensor([(width - 1) / width, (height - 1) / height])
    linear = theta[..., :2] * unit[:, None] / unit.clamp_min(1e-12)
    return torch.cat((linear, (theta[..., 2] * unit)[..., None]), dim=-1)


def affine_places(theta: Tensor, places: Tensor, size: tuple[int, int]) -> Tensor:
    """Apply an affine map to places in pixels.

    Args:
        theta: ``(2, 3)``, normalised without aligned corners, as :func:`lift_affine` gives it.
        places: ``(N, 2)`` px, x first.
        size: (height, width) of the frame the places are of.

    Returns:
        ``(N, 2)`` float32 px in a frame of the same size.
    """
    sides = places.new_tensor([size[1], size[0]])
    normalised = (2 * places + 1) / sides - 1
    return ((normalised @ theta[:, :2].T + theta[:, 2] + 1) * sides - 1) / 2


def sample_at(image: Tensor, places: Tensor) -> Tensor:
    """Sample an image bilinearly at places; beyond its border it continues as it ends.

    Args:
        image: ``(C, H, W)``, any range.
        places: ``(N, 2)`` px, x first, pixel centres are integers.

    Returns:
        ``(C, N)`` float32. Sampling is float32 under autocast too, since half-precision grids are wrong by a pixel on
        wide frames.
    """
    sides = torch.tensor([image.shape[-1], image.shape[-2]], dtype=torch.float32, device=image.device)
    with torch.autocast(image.device.type, enabled=False):
        grid = ((2 * places.float() + 1) / sides - 1)[None, None]  # (1, 1, N, 2)
        return F.grid_sample(image.float()[None], grid, padding_mode="border", align_corners=False)[0, :, 0]


def inside(places: Tensor, size: tuple[int, int]) -> Tensor:
    """Tell which places ``(N, 2)`` px lie between the centres of a frame's outermost pixels: ``(N,)`` bool."""
    height, width = size
    x, y = places.unbind(-1)
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
