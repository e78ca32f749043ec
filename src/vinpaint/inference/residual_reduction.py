"""A clip and its holes as an engine sees them that works at a reduced size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vinpaint.errors import UserError
from vinpaint.inference.inpainter import MaskedClip
from vinpaint.ops.conversion import mask_to_tensor, to_tensor, to_uint8
from vinpaint.ops.residuals import reduce_frames

_SHORT_SIDE = 270
"""Pixels of the shorter side that an automatic scale comes nearest to: 480x270 of 1920x1080 and of 3840x2160."""

_BAND = 32
"""Rows of the reduced frame that are made at a time: a whole frame at full size is some copies of it in float32."""


def resolve_scale(lr_scale: int | str, size: tuple[int, int]) -> int:
    """Find the scale a setting means for frames of a size.

    Args:
        lr_scale: the scale, or ``auto``: the power of two that brings the shorter side nearest to 270 pixels, on a
            logarithmic scale; 1 for small frames, 2 at 720, 4 at 1080 and 8 at 2160 rows.
        size: (height, width) in pixels.

    Raises:
        UserError: if it is none of 1, 2, 4, 8 and ``auto``.
    """
    if lr_scale == "auto":
        return int(2 ** min(max(round(math.log2(min(size) / _SHORT_SIDE)), 0), 3))
    if lr_scale not in (1, 2, 4, 8):
        raise UserError(f"lr_scale={lr_scale}: expected 1, 2, 4, 8 or auto")
    return int(lr_scale)


def reduced_clip(clip: MaskedClip, scale: int) -> MaskedClip:
    """A clip whose frames are means over squares of ``scale`` pixels, read as they are asked for.

    What lies under a hole has no part in any mean; the hole covers every square that it touches.
    """
    return MaskedClip(_ReducedFrames(clip, scale), _ReducedMasks(clip, scale))


def reduce_levels(frame: NDArray[np.uint8], hole: NDArray[np.bool_], scale: int) -> tuple[Tensor, Tensor]:
    """Reduce one stored frame; see :func:`vinpaint.ops.residuals.reduce_frames`.

    Args:
        frame: ``(H, W, 3)`` uint8 RGB.
        hole: ``(H, W)`` bool.
        scale: pixels per side of the squares that become one pixel.

    Returns:
        Means ``(3, h, w)`` float32 in [0, 1] and the hole ``(1, h, w)`` in {0, 1}.
    """
    step = _BAND * scale
    bands = [
        reduce_frames(to_tensor(frame[None, top : top + step]), mask_to_tensor(hole[None, top : top + step]), scale)
        for top in range(0, len(frame), step)
    ]
    means, covered = (torch.cat(parts, dim=-2)[0] for parts in zip(*bands, strict=True))
    return means, covered


class _ReducedFrames:
    def __init__(self, clip: MaskedClip, scale: int) -> None:
        self.name = clip.name
        self.num_frames = clip.num_frames
        self.height = -(-clip.height // scale)
        self.width = -(-clip.width // scale)
        self.frame_rate = clip.frame_rate
        self._clip = clip
        self._scale = scale

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Read and reduce frames: ``(len(indices), h, w, 3)`` uint8 RGB."""
        reduced = np.empty((len(indices), self.height, self.width, 3), np.uint8)
        for place, index in enumerate(indices):  # one by one: many frames at full size would not fit
            frames, holes = self._clip.read([index])
            reduced[place] = to_uint8(reduce_levels(frames[0], holes[0], self._scale)[0])
        return reduced

    def close(self) -> None:
        """Do nothing: the clip underneath belongs to whoever opened it."""

    def __enter__(self) -> _ReducedFrames:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _ReducedMasks:
    def __init__(self, clip: MaskedClip, scale: int) -> None:
        self.num_frames = clip.num_frames
        self.height = -(-clip.height // scale)
        self.width = -(-clip.width // scale)
        self._clip = clip
        self._scale = scale

    def read(self, indices: Sequence[int]) -> NDArray[np.bool_]:
        """Read and reduce holes: ``(len(indices), h, w)`` bool, true where any pixel of a square is in the hole."""
        holes = self._clip.masks.read(indices)
        bottom, right = (-holes.shape[1]) % self._scale, (-holes.shape[2]) % self._scale
        padded = np.pad(holes, ((0, 0), (0, bottom), (0, right)), mode="edge")
        squares = padded.reshape(len(holes), self.height, self._scale, self.width, self._scale)
        return np.asarray(squares.any(axis=(2, 4)), np.bool_)
