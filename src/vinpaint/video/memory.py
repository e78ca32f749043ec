"""Clips made from what is already at hand: arrays, and other clips at another size."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vinpaint.video.clip import ClipError, ClipReader, check_indices


class ArrayClip:
    """A clip held in memory.

    Args:
        frames: ``(N, H, W, 3)`` uint8 RGB, at least one frame; kept, not copied.
        frame_rate: frames per second.
        name: what to call the clip in a table or a log.

    Raises:
        ClipError: if the frames have another shape or type, or there are none.
    """

    def __init__(self, frames: NDArray[np.uint8], frame_rate: Fraction | int = 24, name: str = "clip") -> None:
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            raise ClipError(f"{name}: frames are {frames.dtype} {frames.shape}; give uint8 (N, H, W, 3) RGB")
        if 0 in frames.shape:
            raise ClipError(f"{name}: frames have shape {frames.shape}; give at least one frame of one pixel")
        self.frames = frames
        self.name = name
        self.num_frames, self.height, self.width = (int(side) for side in frames.shape[:3])
        self.frame_rate = Fraction(frame_rate)

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Copy frames ``(len(indices), H, W, 3)`` uint8 RGB; the indices may repeat and come in any order."""
        return self.frames[check_indices(self, indices)]

    def close(self) -> None:
        """Do nothing: there is no file."""

    def __enter__(self) -> ArrayClip:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ResizedClip:
    """Another clip at another size, resized as it is read.

    The filter is Pillow's bicubic, which widens its support when it shrinks (no aliasing); a clip that already has
    the size passes untouched.

    Args:
        clip: the clip to resize; closed together with this one.
        height: rows of the resized frames in pixels.
        width: columns of the resized frames in pixels.
    """

    def __init__(self, clip: ClipReader, height: int, width: int) -> None:
        if height < 1 or width < 1:
            raise ClipError(f"{clip.name}: cannot resize to {width}x{height}; give at least one pixel")
        self.clip = clip
        self.name = clip.name
        self.num_frames = clip.num_frames
        self.height = height
        self.width = width
        self.frame_rate = clip.frame_rate

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Read and resize frames: ``(len(indices), height, width, 3)`` uint8 RGB."""
        frames = self.clip.read(indices)
        if (self.clip.height, self.clip.width) == (self.height, self.width):
            return frames
        resized = np.empty((len(frames), self.height, self.width, 3), np.uint8)
        for target, frame in zip(resized, frames, strict=True):
            image = Image.fromarray(frame).resize((self.width, self.height), Image.Resampling.BICUBIC)
            target[:] = np.asarray(image)
        return resized

    def close(self) -> None:
        """Close the clip underneath."""
        self.clip.close()

    def __enter__(self) -> ResizedClip:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
