"""The one place where completed and known pixels meet, so that a loss and a metric cannot disagree about the hole."""

from __future__ import annotations

import torch
from torch import Tensor


def composite(known: Tensor, completed: Tensor, masks: Tensor) -> Tensor:
    """Take the hole from ``completed`` and everything else from ``known``.

    Args:
        known: frames whose pixels outside the hole are trusted, ``(..., 3, H, W)``, any range.
        completed: frames whose pixels inside the hole are wanted, same shape and range.
        masks: holes, ``(..., 1, H, W)`` in {0, 1}, 1 = hole.

    Returns:
        The composite, same shape; known pixels are bit-identical to ``known``, and no gradient or NaN of either
        input crosses the border of the hole.
    """
    return torch.where(masks > 0.5, completed, known)


def hide_holes(frames: Tensor, masks: Tensor, fill: float | Tensor = 0.0) -> Tensor:
    """Replace what lies under the hole, so that no network can see it.

    Args:
        frames: ``(..., 3, H, W)``, any range.
        masks: ``(..., 1, H, W)`` in {0, 1}, 1 = hole.
        fill: value put into the hole, in the range of ``frames`` (a number, or a tensor that broadcasts).

    Returns:
        Frames of the same shape whose hole holds ``fill`` whatever stood there before, NaN included.
    """
    if not isinstance(fill, Tensor):
        return frames.masked_fill(masks > 0.5, fill)  # a tensor made of the number would make a GPU wait for its copy
    return torch.where(masks > 0.5, fill.to(frames), frames)
