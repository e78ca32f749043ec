"""How alike two feature maps are, pixel against neighbourhood."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

_TILE = 8


def local_correlation(source: Tensor, target: Tensor, *, radius: int = 4) -> Tensor:
    """Compare every pixel of ``source`` with the square around the same place in ``target``.

    Convention:
        ``volume[(dy + r) (2r + 1) + dx + r, y, x] = mean_c source[c, y, x] target[c, y + dy, x + dx]`` for
        displacements from ``-r`` to ``r``, rows outer; the target is zero outside the image.

    Args:
        source: features ``(N, C, H, W)``.
        target: features of the same shape.
        radius: largest displacement in pixels, per axis.

    Returns:
        The cost volume ``(N, (2 radius + 1)², H, W)``.

    Raises:
        ValueError: if the shapes differ.

    Source: PWC-Net (arXiv:1709.02371), section 3. Tiles of 8x8 pixels meet their whole neighbourhood in one matrix
    product, from which the wanted band is read: three times the multiplications, yet at radius 4 on one CPU core half
    the time of 81 shifted products and a thirteenth of an unfolded contraction (``benchmarks/flow.py``).
    """
    if source.shape != target.shape:
        raise ValueError(f"source {tuple(source.shape)} and target {tuple(target.shape)}: expected one shape")
    N, C, H, W = source.shape
    rows, columns = -(-H // _TILE), -(-W // _TILE)
    bottom, right = rows * _TILE - H, columns * _TILE - W
    side, reach = 2 * radius + 1, _TILE + 2 * radius

    tiles = F.pad(source, (0, right, 0, bottom)).view(N, C, rows, _TILE, columns, _TILE)
    tiles = tiles.permute(0, 2, 4, 3, 5, 1).reshape(N * rows * columns, _TILE * _TILE, C)
    surroundings = F.pad(target, (radius, radius + right, radius, radius + bottom))
    surroundings = surroundings.unfold(2, reach, _TILE).unfold(3, reach, _TILE)  # (N, C, rows, columns, reach, reach)
    surroundings = surroundings.permute(0, 2, 3, 1, 4, 5).reshape(N * rows * columns, C, reach * reach)

    products = (tiles @ surroundings).view(N, rows, columns, _TILE, _TILE, reach, reach)
    # pixel (i, j) of a tile wants the neighbours that start at (i, j): a diagonal band of its products
    image, row, column, i, j, down, across = products.stride()
    band = products.as_strided(
        (N, rows, columns, _TILE, _TILE, side, side), (image, row, column, i + down, j + across, down, across)
    )
    volume = band.permute(0, 5, 6, 1, 3, 2, 4).reshape(N, side * side, rows * _TILE, columns * _TILE)
    return volume[:, :, :H, :W] / C
