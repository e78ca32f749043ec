"""Frames as a network that copies from references reads them."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vinpaint.ops.compositing import hide_holes

Padding = Literal["reflect", "zeros"]


class PreparedFrames(NamedTuple):
    """Frames as the network reads them: holes hidden, sides extended.

    Attributes:
        frames: ``(..., 3, H', W')`` RGB in [0, 1], the mean colour of ImageNet in the hole.
        holes: ``(..., 1, H', W')`` in {0, 1}, 1 = hole.
        known: ``(..., 1, H', W')`` in {0, 1}, 1 where there is something to copy.
    """

    frames: Tensor
    holes: Tensor
    known: Tensor


def prepare_frames(
    frames: Tensor, masks: Tensor, *, fill: Tensor, margins: tuple[int, int, int, int], padding: Padding = "reflect"
) -> PreparedFrames:
    """Hide the holes of frames and extend their sides.

    Args:
        frames: ``(..., 3, H, W)`` RGB in [0, 1], any number of leading dimensions.
        masks: ``(..., 1, H, W)`` in {0, 1}, 1 = hole.
        fill: colour of the hole, broadcasts with the frames.
        margins: pixels to add at the left, right, top and bottom.
        padding: ``reflect`` (frames too narrow for it repeat their edge): holes are mirrored too, and nothing there can
            be copied; or ``zeros``, black pixels that count as known.
    """
    holes = (masks > 0.5).float()
    visible = hide_holes(frames.float(), holes, fill.float())
    known = 1 - holes
    if not any(margins):
        return PreparedFrames(visible, holes, known)
    if padding == "zeros":
        return PreparedFrames(F.pad(visible, margins), F.pad(holes, margins), F.pad(known, margins, value=1.0))
    left, right, top, bottom = margins
    mirrors = max(left, right) < frames.shape[-1] and max(top, bottom) < frames.shape[-2]
    lead = frames.shape[:-3]
    both = torch.cat([visible, holes], dim=-3).reshape(-1, 4, *frames.shape[-2:])
    both = F.pad(both, margins, mode="reflect" if mirrors else "replicate")
    both = both.reshape(*lead, *both.shape[1:])
    return PreparedFrames(both[..., :3, :, :], both[..., 3:, :, :], F.pad(known, margins))
