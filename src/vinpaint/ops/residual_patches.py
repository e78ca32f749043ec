"""Detail for what no reference shows: patches of the same frame, by the likeness of their surroundings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def cell_grid(size: tuple[int, int], cell: int) -> tuple[int, int]:
    """(rows, columns) of square cells that cover a frame of (height, width)."""
    return -(-size[0] // cell), -(-size[1] // cell)


def cells_touched(mask: Tensor, cell: int) -> Tensor:
    """Which cells of a frame ``(H, W)`` hold a pixel of a mask: ``(rows, columns)`` bool."""
    return F.max_pool2d(mask.float()[None, None], cell, ceil_mode=True)[0, 0] > 0


def patch_features(frame: Tensor, cell: int) -> Tensor:
    """Describe each cell of a reduced frame by hand: its colour, its edges and its contrast.

    Args:
        frame: ``(3, h, w)`` in [0, 1].
        cell: side of a cell in pixels.

    Returns:
        ``(54, rows, columns)`` float32: means over the cell of red, green, blue, horizontal and vertical absolute
        gradient and standard deviation of the grey level, of the cell and its eight neighbours.
    """
    bottom, right = (-frame.shape[-2]) % cell, (-frame.shape[-1]) % cell
    frame = F.pad(frame[None].float(), (0, right, 0, bottom), mode="replicate")
    grey = frame.mean(1, keepdim=True)
    across = F.pad((grey[..., 1:] - grey[..., :-1]).abs(), (0, 1))
    down = F.pad((grey[..., 1:, :] - grey[..., :-1, :]).abs(), (0, 0, 0, 1))
    means = F.avg_pool2d(torch.cat((frame, across, down, grey, grey.square()), 1), cell)
    contrast = (means[:, 6:7] - means[:, 5:6].square()).clamp_min(0).sqrt()
    features = torch.cat((means[:, :5], contrast), 1)
    around = F.pad(features, (1, 1, 1, 1), mode="replicate")
    return F.unfold(around, 3).reshape(-1, *features.shape[-2:])


def patch_attention(features: Tensor, queries: Tensor, keys: Tensor, *, sharpness: float = 10.0) -> Tensor:
    """Score cells against cells.

    Args:
        features: ``(C, rows, columns)``.
        queries: cells row by row, ``(Q,)`` int64.
        keys: likewise, ``(K,)``, at least one.
        sharpness: what the cosine is multiplied by before the softmax.

    Returns:
        ``(Q, K)`` float32, rows sum to 1.

    Source: HiFill (CVPR 2020), contextual attention with cosines times ten; here both sides have length one and the
    softmax is over the keys alone.
    """
    flat = F.normalize(features.flatten(1), dim=0)
    return torch.softmax(sharpness * flat[:, queries].T @ flat[:, keys], dim=1)


def aggregate_patches(residual: Tensor, queries: Tensor, keys: Tensor, weights: Tensor, patch: int) -> Tensor:
    """Fill patches of a residual with weighted sums of others.

    Args:
        residual: ``(C, H, W)``; beyond its right and lower border it is taken for 0.
        queries: patches to fill, row by row on the grid of ``ceil(H / patch)`` rows, ``(Q,)`` int64.
        keys: patches to sum, ``(K,)`` int64.
        weights: ``(Q, K)``.
        patch: side of a patch in pixels.

    Returns:
        ``(C, H, W)``: the sums in the queried patches, 0 elsewhere.

    Source: STRA-Net (BMVC 2021) and HiFill: patches tile the frame, so nothing overlaps.
    """
    C, H, W = residual.shape
    rows, columns = cell_grid((H, W), patch)
    padded = F.pad(residual, (0, columns * patch - W, 0, rows * patch - H))
    tiles = padded.reshape(C, rows, patch, columns, patch).permute(1, 3, 0, 2, 4).reshape(rows * columns, -1)
    filled = torch.zeros_like(tiles)
    filled[queries] = weights @ tiles[keys]
    whole = filled.reshape(rows, columns, C, patch, patch).permute(2, 0, 3, 1, 4).reshape_as(padded)
    return whole[:, :H, :W]
