"""Spatial aggregation: what no frame shows is borrowed from elsewhere in the same frame, patch by patch."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vinpaint.models.stra_net.encoder import ImageEncoder
from vinpaint.models.stra_net.gated import GatedConv

CELL = 16
"""Pixels of a frame per cell of the grid between whose cells attention is paid."""

_SHARPNESS = 10.0
"""Factor of the cosine similarities before the softmax."""


class PatchScores(NamedTuple):
    """Which cells of a frame borrow from which others.

    Attributes:
        grid: (rows, columns) of cells of 16x16 pixels.
        rows: the cells that borrow in any frame of the batch, row by row, ``(Q,)`` int64.
        scores: for each of them the share of every cell, ``(B, Q, N)`` float32. A row sums to 1; that of a cell that
            does not borrow in its frame holds 1 at the cell itself.
        borrows: which of the rows do borrow in each frame, ``(B, Q)`` bool.
    """

    grid: tuple[int, int]
    rows: Tensor
    scores: Tensor
    borrows: Tensor


class SpatialAggregation(nn.Module):
    """Refines the leftover hole from the rest of the frame; the refinement network of HiFill.

    Args:
        channels: width of the image encoder.

    Source: STRA-Net (BMVC 2021), section 3.2, and HiFill (arXiv:2005.09704), whose first network is replaced by the
    temporal aggregation. Unlike the released HiFill the cosine is one on both sides, the softmax leaves masked cells
    out of its denominator, overlapping patches are averaged, and only cells with leftover borrow. 2,218,150 parameters
    with the default.
    """

    def __init__(self, *, channels: int = 32) -> None:
        super().__init__()
        c = channels
        self.encoder = ImageEncoder(channels=c)
        self.context = nn.Sequential(*(GatedConv(4 * c, 4 * c, dilation=rate) for rate in (1, 2, 4, 8, 16)))
        self.borrowed8 = GatedConv(4 * c, 4 * c)
        self.borrowed4 = nn.Sequential(GatedConv(4 * c, 2 * c), GatedConv(2 * c, 2 * c, dilation=2))
        self.borrowed2 = nn.Sequential(GatedConv(2 * c, c), GatedConv(c, c, dilation=2))
        self.join8 = GatedConv(8 * c, 4 * c)
        self.up4 = nn.Sequential(GatedConv(4 * c, 2 * c, upsample=True), GatedConv(2 * c, 2 * c))
        self.up2 = nn.Sequential(GatedConv(4 * c, c, upsample=True), GatedConv(c, c))
        self.up1 = GatedConv(2 * c, 3, upsample=True)

    def forward(self, frames: Tensor, leftover: Tensor) -> tuple[Tensor, PatchScores]:
        """Refine frames.

        Args:
            frames: ``(B, 3, H, W)`` RGB in [0, 1], the leftover filled with something; both sides divide by 16.
            leftover: ``(B, 1, H, W)`` in {0, 1}, 1 where no other frame shows what belongs there.

        Returns:
            What the network makes of every pixel, ``(B, 3, H, W)`` float32 in [0, 1], and who borrowed from whom. A
            frame without a cell to borrow from is returned as it is.
        """
        half, quarter, eighth = self.encoder(frames, leftover)
        features = self.context(eighth)
        scores, answered = patch_scores(features, leftover)
        copied8 = self.borrowed8(borrow(features, scores, scale=8))
        copied4 = self.borrowed4(borrow(quarter, scores, scale=4))
        copied2 = self.borrowed2(borrow(half, scores, scale=2))
        features = self.up4(self.join8(torch.cat([features, copied8], dim=1)))
        features = self.up2(torch.cat([features, copied4], dim=1))
        image = self.up1(torch.cat([features, copied2], dim=1))
        refined = (image.float().clamp(-1, 1) + 1) / 2
        return torch.where(answered.view(-1, 1, 1, 1), refined, frames.float()), scores


def patch_scores(features: Tensor, leftover: Tensor) -> tuple[PatchScores, Tensor]:
    """Compare the cells with leftover to all cells without.

    Args:
        features: ``(B, C, H / 8, W / 8)``.
        leftover: ``(B, 1, H, W)`` in {0, 1}.

    Returns:
        The scores, and whether each frame has a cell to borrow from, ``(B,)`` bool.

    Source: HiFill (arXiv:2005.09704), section 3.2 and released code: 3x3 patches on every other feature, similarities
    summed along diagonals of the score map, once in row-major and once in column-major order.
    """
    with torch.autocast(features.device.type, enabled=False):
        sparse = features.float()[..., ::2, ::2]
        grid = (sparse.shape[-2], sparse.shape[-1])
        patches = F.normalize(F.unfold(sparse, 3, padding=1), dim=1)  # (B, 9 C, N)
        similarity = _along_diagonals(patches.transpose(1, 2) @ patches, grid)  # (B, N, N)
        full = F.max_pool2d(leftover.float(), CELL)
        asks = full.flatten(1) > 0  # (B, N)
        offers = F.max_pool2d(full, 3, stride=1, padding=1).flatten(1) == 0
        answered = offers.any(1)
        borrows = asks & answered.unsqueeze(1)
        rows = borrows.any(0).nonzero().squeeze(1)
        logits = (_SHARPNESS * similarity[:, rows]).masked_fill(~offers.unsqueeze(1), float("-inf"))
        itself = F.one_hot(rows, asks.shape[1]).to(logits.dtype)
        # rows that do not borrow are replaced before the softmax too: without a key it is NaN, and so its gradient
        shown = borrows[:, rows]
        logits = torch.where(shown.unsqueeze(2), logits, 0.0)
        scores = torch.where(shown.unsqueeze(2), logits.softmax(-1), itself)
    return PatchScores(grid, rows, scores, shown), answered


def borrow(features: Tensor, scores: PatchScores, *, scale: int) -> Tensor:
    """Replace what cells hold by what they borrow.

    Args:
        features: ``(B, C, H / scale, W / scale)``.
        scores: of :func:`patch_scores`.
        scale: 2, 4 or 8. Patches are twice as wide as a cell and overlap by half (at 8: three features, by one).

    Returns:
        ``(B, C, H / scale, W / scale)``; overlapping patches are averaged, so that features out of reach of any
        cell that borrows stay what they are.
    """
    stride = CELL // scale
    size, padding = (3, 1) if scale == 8 else (2 * stride, stride // 2)
    shape = (features.shape[-2], features.shape[-1])
    with torch.autocast(features.device.type, enabled=False):
        patches = F.unfold(features.float(), size, padding=padding, stride=stride).transpose(1, 2)  # (B, N, C k²)
        # once per copy, a fold counts how often each feature is covered
        counts = F.fold(patches.new_ones(1, size**2, patches.shape[1]), shape, size, padding=padding, stride=stride)
        patches = patches.index_copy(1, scores.rows, scores.scores @ patches)
        folded = F.fold(patches.transpose(1, 2), shape, size, padding=padding, stride=stride)
        return (folded / counts.clamp_min(1)).to(features.dtype)


def _along_diagonals(similarity: Tensor, grid: tuple[int, int]) -> Tensor:
    """Sum similarities ``(B, N, N)`` over three neighbours of both cells at once, along rows and then along columns."""
    rows, columns = grid
    B, N = similarity.shape[0], rows * columns
    summed = _diagonal_sum(similarity).view(B, rows, columns, rows, columns)
    turned = _diagonal_sum(summed.permute(0, 2, 1, 4, 3).reshape(B, N, N)).view(B, columns, rows, columns, rows)
    return turned.permute(0, 2, 1, 4, 3).reshape(B, N, N)


def _diagonal_sum(similarity: Tensor) -> Tensor:
    padded = F.pad(similarity, (1, 1, 1, 1))
    return similarity + padded[:, :-2, :-2] + padded[:, 2:, 2:]
