"""Leftover made on purpose: parts of a hole that no reference is allowed to show."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_CELLS = 6
"""Knots of the noise along a side; a blob is about a sixth of the frame wide."""


def draw_blobs(holes: Tensor, *, probability: float, smallest: float = 0.1, largest: float = 0.6) -> Tensor:
    """Draw a free-form blob inside each hole.

    Args:
        holes: ``(N, 1, H, W)`` in {0, 1}, 1 = hole.
        probability: chance of a hole to get a blob at all.
        smallest: least share of the hole that a blob covers, 0 to 1.
        largest: greatest share.

    Returns:
        ``(N, 1, H, W)`` float32 in {0, 1}: the highest ground of smooth noise, inside the hole. Chance comes from
        torch's CPU generator, whatever device the holes are on, and as many numbers are drawn whatever the holes are.
    """
    N, size = holes.shape[0], (holes.shape[-2], holes.shape[-1])
    knots, chosen, shares = torch.randn(N, 1, _CELLS, _CELLS), torch.rand(N) < probability, torch.rand(N)
    noise = F.interpolate(knots.to(holes.device), size, mode="bicubic", align_corners=False).flatten(1)
    inside = holes.flatten(1) > 0.5
    covered = smallest + (largest - smallest) * shares.to(holes.device)
    kept = (covered * inside.sum(1)).round().long().clamp(min=1)
    # sorted rather than selected hole by hole: no number has to come back from a GPU
    heights = torch.where(inside, noise, -torch.inf).sort(dim=1, descending=True).values
    blobs = inside & (noise >= heights.gather(1, kept.unsqueeze(1) - 1)) & chosen.to(holes.device).unsqueeze(1)
    return blobs.float().view_as(holes)
