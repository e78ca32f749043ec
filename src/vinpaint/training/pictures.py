"""What alignment and attention look like: rows of images that a callback lays out."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

Rows: TypeAlias = list[list[Tensor]]
"""Rows of images, each ``(3, H, W)`` in [0, 1], all of one size."""


class Explained(NamedTuple):
    """One target and how it was completed.

    Attributes:
        target: the frame with its hole hidden, ``(3, H, W)`` in [0, 1].
        known: ``(1, H, W)`` in {0, 1}, 0 in the hole.
        completed: the composite, ``(3, H, W)``.
        aligned: the references laid over it, ``(R, 3, H, W)``.
        visible: where each shows something known, ``(R, 1, H, W)`` in {0, 1}.
        weights: of the attention, ``(R, 1, h, w)`` in [0, 1].
    """

    target: Tensor
    known: Tensor
    completed: Tensor
    aligned: Tensor
    visible: Tensor
    weights: Tensor


def explain_pictures(explained: Explained) -> dict[str, Rows]:
    """Lay out the alignment and the attention of a target.

    Args:
        explained: the target, R references.

    Returns:
        ``alignment``: above the target and what each reference shows over it (black where nothing), below the composite
        and how far each reference is off where both are known. ``attention``: where the hole is left over (white), and
        the weight of each reference.
    """
    target, known, completed, aligned, visible, weights = explained
    size = (target.shape[-2], target.shape[-1])
    off = (aligned - target).abs() * visible * known
    left = (1 - known) * (1 - visible.amax(0))
    maps = torch.cat([left.unsqueeze(0), F.interpolate(weights.float(), size, mode="nearest")])
    return {
        "alignment": [[target, *(aligned * visible)], [completed, *off]],
        "attention": [[image.expand(3, *size) for image in maps]],
    }


def evenly(indices: list[int], count: int) -> list[int]:
    """At most ``count`` of the indices, evenly spread."""
    chosen = torch.linspace(0, len(indices) - 1, min(len(indices), count)).round().long()
    return [indices[place] for place in chosen.tolist()]
