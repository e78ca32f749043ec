"""Training windows as clips: whatever draws short windows draws clips of any length too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from vinpaint.data.sources import DataError
from vinpaint.data.windows import WindowRequest, WindowSource
from vinpaint.ops.conversion import to_uint8
from vinpaint.video import ArrayClip, ClipReader


@dataclass(frozen=True)
class DrawnSource:
    """A clip that is drawn when it is opened; the holes of the window are left out."""

    name: str
    windows: WindowSource
    wanted: WindowRequest
    number: int
    seed: int

    def open(self) -> ClipReader:
        """Draw the clip."""
        window = self.windows.draw(self.number, np.random.default_rng([self.seed, self.number]), self.wanted)
        return ArrayClip(to_uint8(window["frames"]), name=self.name)

    def open_masks(self, clip: ClipReader) -> None:
        """Have none."""


class DrawnClips(Sequence[DrawnSource]):
    """A data set of clips drawn by a source of windows, such as :class:`vinpaint.data.LayeredMotion`.

    Args:
        windows: what draws them; a window of it is a clip here.
        num_clips: how many; they cost nothing until they are drawn.
        num_frames: length of each.
        height: rows in pixels.
        width: columns in pixels.
        seed: another seed is another set.

    Raises:
        DataError: if there are no clips, frames or pixels.
    """

    def __init__(
        self,
        windows: WindowSource,
        *,
        num_clips: int = 100,
        num_frames: int = 40,
        height: int = 240,
        width: int = 432,
        seed: int = 0,
    ) -> None:
        if num_clips < 1:
            raise DataError(f"a set of {num_clips} drawn clips: expected at least 1")
        self.windows = windows
        self.num_clips = num_clips
        self.wanted = WindowRequest(num_frames, height, width)
        self.seed = seed

    def __len__(self) -> int:
        return self.num_clips

    @overload
    def __getitem__(self, index: int) -> DrawnSource: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[DrawnSource]: ...

    def __getitem__(self, index: int | slice) -> DrawnSource | Sequence[DrawnSource]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(self.num_clips))]
        if not -self.num_clips <= index < self.num_clips:
            raise IndexError(f"clip {index} of {self.num_clips}")
        number = index % self.num_clips
        return DrawnSource(f"drawn-{self.seed}-{number:06d}", self.windows, self.wanted, number, self.seed)
