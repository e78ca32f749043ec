"""Frames as ``flow_guided`` holds them: at the clip's own size, and at that at which motion is estimated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from vinpaint.inference.flow_guided_fallback import fill_smoothly
from vinpaint.inference.flow_guided_fields import Bools, Levels, run_on
from vinpaint.inference.flow_guided_motion import Step, WorkFrame, hide_and_grow
from vinpaint.inference.inpainter import MaskedClip


@dataclass
class HeldFrame:
    """One frame.

    Attributes:
        image: at the clip's own size, ``(H, W, 3)`` uint8; known pixels run on by one into the hole, the rest is 0.
        hole: ``(H, W)`` bool.
        work: the same at working size.
        filled: at working size, the hole filled smoothly, ``(h, w, 3)`` uint8.
        step: motion to the next frame, as first estimated; None until it is.
    """

    image: Levels
    hole: Bools
    work: WorkFrame
    filled: Levels
    step: Step | None = None

    @cached_property
    def small(self) -> Levels:
        """The image at working size, ``(h, w, 3)`` uint8."""
        return self.image if self.image.shape == self.work.image.shape else run_on(self.work.image, self.work.hole)


def read_frame(clip: MaskedClip, index: int, *, max_side: int, margin: int) -> HeldFrame:
    """Read a frame.

    Args:
        clip: the clip.
        index: number of the frame.
        max_side: pixels of the longer side at working size, at most.
        margin: pixels around a hole where flow is not believed, at working size.
    """
    frames, holes = clip.read([index])
    hole = holes[0]
    image = run_on(frames[0], hole)
    H, W = hole.shape
    ratio = min(1.0, max_side / max(H, W))
    small, covered = image, hole
    if ratio < 1:
        size = (max(round(W * ratio), 1), max(round(H * ratio), 1))
        small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        covered = np.asarray(cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA)) > 0
    work = hide_and_grow(small, covered, margin=margin)
    filled = fill_smoothly(work.image, work.hole) if work.hole.any() else work.image
    return HeldFrame(image, hole, work, filled)
