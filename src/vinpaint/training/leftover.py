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
    noise = F.interpolate(knots.to(holes.device), size, mode="bicubic", align_corners=False)
    blobs = torch.zeros_like(noise)
    for index in chosen.nonzero().flatten().tolist():
        inside = holes[index] > 0.5
        heights = noise[index][inside]
        if heights.numel():
            share = smallest + (largest - smallest) * shares[index].item()
            kept = max(round(share * heights.numel()), 1)
            level = heights.kthvalue(heights.numel() - kept + 1).values
            blobs[index] = ((noise[index] >= level) & inside).float()
    return blobs
