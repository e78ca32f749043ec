"""Which frames of a clip are trained on, and from which others they are completed."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vinpaint.batch import VideoBatch
from vinpaint.errors import UserError

TargetsPerClip = int | Literal["all"]


class TargetBatch(VideoBatch):
    """A batch and which of its frames are completed from the others of their clip.

    Keys:
        targets: numbers of the frames to complete, ``(B, K)`` int64, no two of a clip the same.
        given: the references that are given whole, as if completed before, ``(B, T)`` float32 in {0, 1}; no targets.
    """

    targets: Tensor
    given: Tensor


def check_targets(targets_per_clip: TargetsPerClip, completed_reference_probability: float) -> None:
    """Check two options of a module.

    Raises:
        UserError: if there is no target, or the probability is none.
    """
    if targets_per_clip != "all" and (not isinstance(targets_per_clip, int) or targets_per_clip < 1):
        raise UserError(f"targets_per_clip={targets_per_clip!r}: expected a number of at least 1, or all")
    if not 0 <= completed_reference_probability <= 1:
        raise UserError(f"completed_reference_probability={completed_reference_probability:g}: expected 0 to 1")


def draw_targets(
    batch: VideoBatch,
    targets_per_clip: TargetsPerClip,
    *,
    completed_reference_probability: float = 0.0,
    same_targets: bool = False,
) -> TargetBatch:
    """Draw the frames of every clip that are completed, and references that are given whole.

    Args:
        batch: clips.
        targets_per_clip: how many frames of each to complete; ``all``, or more than there are: every one.
        completed_reference_probability: chance of each other frame to be given without its hole.
        same_targets: draw once for all clips.

    Returns:
        The batch with the draws. They come from torch's CPU generator, whatever device the batch is on.

    Raises:
        UserError: if clips have a single frame.
    """
    B, T = batch["frames"].shape[:2]
    if T < 2:
        raise UserError("clips of 1 frame: a target is completed from other frames; set data.num_frames to 2 or more")
    count = T if targets_per_clip == "all" else min(int(targets_per_clip), T)
    device = batch["frames"].device
    targets = torch.rand(1 if same_targets else B, T).argsort(dim=1)[:, :count].expand(B, -1).contiguous()
    given = (torch.rand(B, T) < completed_reference_probability).float().scatter(1, targets, 0.0)
    return TargetBatch(**batch, targets=targets.to(device), given=given.to(device))


def others(targets: Tensor, num_frames: int) -> Tensor:
    """The frames of a clip but the target, in order.

    Args:
        targets: ``(B, K)`` int64.
        num_frames: of a clip.

    Returns:
        ``(B, K, num_frames - 1)`` int64.
    """
    steps = torch.arange(num_frames - 1, device=targets.device)
    return steps + (steps >= targets.unsqueeze(-1)).long()


def take(values: Tensor, indices: Tensor) -> Tensor:
    """Take frames of every clip by number: ``(B, T, ...)`` at ``(B, ...)`` gives ``(B, ..., ...)``."""
    clips = torch.arange(values.shape[0], device=values.device).view(-1, *([1] * (indices.ndim - 1)))
    return values[clips, indices]
