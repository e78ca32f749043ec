"""The beginning of a clip and of its masks, read through the longer ones."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from vinpaint.masks import MaskSequence
from vinpaint.video import ClipReader


class ClipBeginning:
    """The first frames of a clip, under the name it has in its data set.

    Args:
        clip: the clip; closed together with this one.
        num_frames: how many frames; all of them when not given or when the clip is shorter.
        name: what to call it.
    """

    def __init__(self, clip: ClipReader, *, num_frames: int | None, name: str) -> None:
        self.name = name
        self.num_frames = clip.num_frames if num_frames is None else min(num_frames, clip.num_frames)
        self.height, self.width, self.frame_rate = clip.height, clip.width, clip.frame_rate
        self._clip = clip

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Read frames: ``(len(indices), H, W, 3)`` uint8 RGB."""
        for index in indices:
            if not 0 <= index < self.num_frames:
                raise IndexError(f"{self.name}: frame {index} of {self.num_frames}")
        return self._clip.read(indices)

    def close(self) -> None:
        """Close the clip underneath."""
        self._clip.close()

    def __enter__(self) -> ClipBeginning:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class MasksBeginning:
    """The first masks of a sequence.

    Args:
        masks: the sequence.
        num_frames: how many, at most those there are.
    """

    def __init__(self, masks: MaskSequence, *, num_frames: int) -> None:
        self.num_frames, self.height, self.width = num_frames, masks.height, masks.width
        self._masks = masks

    def read(self, indices: Sequence[int]) -> NDArray[np.bool_]:
        """Read masks: ``(len(indices), H, W)`` bool, true = hole."""
        for index in indices:
            if not 0 <= index < self.num_frames:
                raise IndexError(f"mask {index} of {self.num_frames}")
        return self._masks.read(indices)
