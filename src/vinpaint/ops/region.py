"""Rectangles of maps, so that a network computes what is wanted of its output and nothing around it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Region(NamedTuple):
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right`` of a map, the ends exclusive."""

    top: int
    bottom: int
    left: int
    right: int

    def grown(self, by: int, size: tuple[int, int]) -> Region:
        """The region and ``by`` places around it, as far as a map of ``size`` (height, width) goes."""
        height, width = size
        return Region(
            max(self.top - by, 0), min(self.bottom + by, height), max(self.left - by, 0), min(self.right + by, width)
        )

    def aligned(self, rows: int, columns: int) -> Region:
        """The smallest region around this one that is made of whole cells of ``rows`` x ``columns`` places."""
        return Region(
            self.top // rows * rows, -(-self.bottom // rows) * rows,
            self.left // columns * columns, -(-self.right // columns) * columns,
        )  # fmt: skip

    def of(self, maps: Tensor, covered: Region | None = None) -> Tensor:
        """Cut the region out of ``maps`` ``(..., H, W)``, which are whole or cover the region ``covered``."""
        top, left = (covered.top, covered.left) if covered is not None else (0, 0)
        return maps[..., self.top - top : self.bottom - top, self.left - left : self.right - left]

    def halved(self, size: tuple[int, int]) -> Region:
        """What :func:`doubled` reads of maps of ``size`` for this region of maps twice that size."""
        (top, bottom), (left, right) = (
            (_sources(first, last, side)[0][0], _sources(first, last, side)[1][-1] + 1)
            for first, last, side in zip((self.top, self.left), (self.bottom, self.right), size, strict=True)
        )
        return Region(int(top), int(bottom), int(left), int(right))


def region_of(masks: Tensor) -> Region:
    """The smallest region that holds every 1 of ``masks`` ``(..., H, W)``; at least one there is."""
    flat = masks.flatten(0, -3).any(dim=0)
    rows, columns = flat.any(dim=1).nonzero().flatten(), flat.any(dim=0).nonzero().flatten()
    return Region(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def doubled(maps: Tensor, region: Region, size: tuple[int, int]) -> Tensor:
    """A region of maps enlarged to twice their size by bilinear interpolation with ``align_corners=True``.

    Args:
        maps: ``(N, C, h, w)`` that cover ``region.halved(size)``.
        region: what is wanted of the enlarged maps.
        size: (height, width) of the whole maps before.

    Returns:
        ``(N, C, bottom - top, right - left)``.
    """
    covered = region.halved(size)
    for dim, first, last, start, side in (
        (2, region.top, region.bottom, covered.top, size[0]),
        (3, region.left, region.right, covered.left, size[1]),
    ):
        low, high, weight = (values.to(maps.device) for values in _sources(first, last, side))
        shape = (-1, 1) if dim == 2 else (-1,)
        maps = torch.lerp(
            maps.index_select(dim, low - start), maps.index_select(dim, high - start), weight.to(maps.dtype).view(shape)
        )
    return maps


def _sources(first: int, last: int, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """For places ``first`` to ``last`` of ``2 * side``: the two of ``side`` around each, and how far along it lies."""
    position = torch.arange(first, last) * ((side - 1) / (2 * side - 1))
    low = position.long().clamp_(max=side - 1)
    return low, (low + 1).clamp_(max=side - 1), position - low
