"""3x3 convolution with a quarter of the multiplications, for processors whose library multiplies one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

TAPS = 3
"""Taps of the kernel along each side."""

TILE = 4
"""Outputs along each side that are made at a time."""

_PATCH = TILE + TAPS - 1
"""Inputs along each side of which a tile is made."""

_POINTS = (0.0, math.sqrt(0.5), -math.sqrt(0.5), math.sqrt(2.0), -math.sqrt(2.0))
"""Where polynomials are evaluated, infinity besides. With 1 and 2 in their place the error is twice as large."""

_TILES = 512
"""Tiles that are transformed together: what is made of them stays in the cache."""


def winograd_convolution(images: Tensor, weight: Tensor, bias: Tensor | None = None, *, dilation: int = 1) -> Tensor:
    """Convolve with a 3x3 kernel, borders padded with zeros, by Winograd's minimal filtering F(4x4, 3x3).

    A 4x4 tile of the output is a product of transforms: 36 multiplications per pair of channels, where one by one they
    are 144. The sums of both are off from the exact one by the same amount. What is gained against a library's own
    convolution depends on how wide it is, since the transforms are paid per channel and the products per pair of them.

    Args:
        images: ``(N, C, H, W)`` float32; channels-last memory saves a copy.
        weight: ``(O, C, 3, 3)``.
        bias: ``(O,)``.
        dilation: places from tap to tap.

    Returns:
        ``(N, O, H, W)`` in channels-last memory.

    Source: Lavin and Gray, "Fast algorithms for convolutional neural networks" (arXiv:1509.09308), section 4.
    """
    N, C, H, W = images.shape
    O = weight.shape[0]
    forward, kernel, inverse = (matrix.to(weight) for matrix in _TRANSFORMS)
    both = torch.kron(inverse, inverse)
    kernels = torch.kron(kernel, kernel) @ weight.permute(3, 2, 1, 0).reshape(TAPS**2, C * O)
    kernels = kernels.view(_PATCH**2, C, O)
    output = images.new_empty(N, H, W, O)
    # taps that are ``dilation`` apart see every so many rows and columns, a smaller image of its own
    for phase in range(dilation**2):
        top, left = divmod(phase, dilation)
        whole = images.permute(0, 2, 3, 1)[:, top::dilation, left::dilation]
        target = output[:, top::dilation, left::dilation]
        height, width = target.shape[1:3]
        if not height or not width:
            continue
        rows, columns = -(-height // TILE), -(-width // TILE)
        step = max(1, _TILES // (rows * columns))
        for part, made in zip(torch.split(whole, step), torch.split(target, step), strict=True):
            patches = _transformed(part, forward, rows, columns)
            tiles = both @ torch.bmm(patches, kernels).flatten(1)
            tiles = tiles.view(TILE, TILE, len(part), rows, columns, O)  # column and row in the tile first
            joined = tiles.permute(2, 3, 1, 4, 0, 5).reshape(len(part), TILE * rows, TILE * columns, O)
            made.copy_(joined[:, :height, :width])
    if bias is not None:
        output += bias
    return output.permute(0, 3, 1, 2)


def _transformed(images: Tensor, forward: Tensor, rows: int, columns: int) -> Tensor:
    """Cut images ``(n, h, w, C)`` into overlapping patches and transform them: ``(36, n * rows * columns, C)``."""
    n, height, width, C = images.shape
    bottom, right = TILE * rows - height + 1, TILE * columns - width + 1
    padded = F.pad(images, (0, 0, 1, right, 1, bottom))
    bands = padded.unfold(1, _PATCH, TILE).movedim(-1, 0)  # (6, n, rows, w + 2, C)
    upright = (forward @ bands.flatten(1)).view(bands.shape)
    patches = upright.unfold(3, _PATCH, TILE).movedim(-1, 0)  # (6, 6, n, rows, columns, C)
    return (forward @ patches.flatten(1)).view(_PATCH**2, n * rows * columns, C)


def _transforms(points: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
    """The matrices of Toom and Cook for an input ``(6, 6)``, a kernel ``(6, 3)`` and an output ``(4, 6)``, float64.

    A product of polynomials is found from its values at some points and at infinity; filtering is the transpose of it.
    """

    def evaluated(length: int) -> Tensor:
        powers = [[point**power for power in range(length)] for point in points]
        return torch.tensor([*powers, [0.0] * (length - 1) + [1.0]], dtype=torch.float64)

    forward = torch.linalg.inv(evaluated(_PATCH)).T
    scale = forward.abs().amax(dim=1, keepdim=True)  # keeps both sides of the product in one range
    return forward / scale, evaluated(TAPS) * scale, evaluated(TILE).T


_TRANSFORMS = _transforms(_POINTS)
