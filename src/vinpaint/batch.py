"""The one batch every dataset yields and every model, loss and metric reads."""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import Tensor


class VideoBatch(TypedDict):
    """Clips and their holes.

    Keys:
        frames: the true frames, ``(B, T, 3, H, W)`` float32 RGB in [0, 1].
        masks: the holes, ``(B, T, 1, H, W)`` float32 in {0, 1}, **1 = hole**.
        name: the clip each sample came from, ``B`` strings.
    """

    frames: Tensor
    masks: Tensor
    name: list[str]


def check_batch(batch: VideoBatch) -> VideoBatch:
    """Check shapes, types and ranges once, where data enters a model.

    Args:
        batch: what a dataloader yields.

    Returns:
        The same batch.

    Raises:
        ValueError: if a shape, a type or a range is not the one :class:`VideoBatch` states; the message says what was
            found, what was expected and how to mend it.
    """
    frames, masks = batch["frames"], batch["masks"]
    if frames.ndim != 5 or frames.shape[2] != 3:
        raise ValueError(f"frames {tuple(frames.shape)}: expected (B, T, 3, H, W); stack clips on a batch axis")
    if masks.ndim != 5 or masks.shape[2] != 1:
        raise ValueError(f"masks {tuple(masks.shape)}: expected (B, T, 1, H, W); add the channel axis")
    B, T, _, H, W = frames.shape
    if masks.shape != (B, T, 1, H, W):
        raise ValueError(
            f"masks {tuple(masks.shape)} do not fit frames {tuple(frames.shape)}: give one mask per frame, of its size"
        )
    for key, value in (("frames", frames), ("masks", masks)):
        if not value.is_floating_point():
            raise ValueError(f"{key} are {value.dtype}: expected a floating type; divide uint8 frames by 255")
    if frames.amin() < 0 or frames.amax() > 1:
        low, high = frames.amin().item(), frames.amax().item()
        raise ValueError(
            f"frames lie in [{low:g}, {high:g}]: expected [0, 1]; networks convert to their own range inside"
        )
    if not torch.all((masks == 0) | (masks == 1)):
        raise ValueError("masks hold values other than 0 and 1: threshold them, 1 = hole")
    if len(batch["name"]) != B:
        raise ValueError(f"{len(batch['name'])} names for {B} clips: give one name per clip")
    return batch
