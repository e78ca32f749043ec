"""When the frames of an output are shown."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vinpaint.video.clip import ClipReader
from vinpaint.video.memory import ResizedClip
from vinpaint.video.video_file import VideoFile, evenly_spaced


@dataclass(frozen=True)
class Timing:
    """Presentation times: frame ``i`` is shown at ``pts[i] * time_base`` seconds, or at ``i / frame_rate``.

    Attributes:
        frame_rate: frames per second, the average where it varies.
        time_base: seconds per unit of time.
        pts: times in that unit where they are not simply the frame's number.
    """

    frame_rate: Fraction
    time_base: Fraction
    pts: NDArray[np.int64] | None = None

    def __call__(self, number: int) -> int:
        """Tell the time of frame ``number`` in units of ``time_base``.

        Raises:
            ValueError: if the times were copied from a clip with fewer frames.
        """
        if self.pts is None:
            return number
        if number >= len(self.pts):
            raise ValueError(f"frame {number} has no time, the source has {len(self.pts)} frames")
        return int(self.pts[number])


def video_source(like: ClipReader | Path | str | None) -> VideoFile | None:
    """Find the video file behind a clip or a path; none where frames come from images or memory."""
    while isinstance(like, ResizedClip):
        like = like.clip
    if isinstance(like, VideoFile):
        return like
    if isinstance(like, (str, Path)):
        from vinpaint.video.opening import open_clip

        clip = open_clip(like, reader="pyav", verify=False)
        clip.close()  # what it told is kept
        return video_source(clip)
    return None


def timing_of(source: VideoFile | None, frame_rate: Fraction) -> Timing:
    """Copy the times of ``source`` if its rate is the one asked for, else space frames evenly.

    Times that are an even spacing rounded to the source's clock (matroska's milliseconds) become even again.
    """
    even = Timing(frame_rate, 1 / frame_rate)
    if source is None or source.frame_rate != frame_rate:
        return even
    pts = source.timestamps - source.clock_start
    if evenly_spaced(pts, frame_rate, source.time_base):
        return even
    return Timing(frame_rate, source.time_base, pts)
