"""Distant frames that show what a hole hides, aligned directly and judged by how well they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vinpaint.inference.flow_guided_blending import boundary_correction
from vinpaint.inference.flow_guided_fields import (
    Floats,
    Levels,
    affine_field,
    inside_frame,
    mean_square,
    pixel_grid,
    sample_field,
)
from vinpaint.inference.flow_guided_motion import Motion, WorkFrame

_SMOOTHING = 1.0
"""Standard deviation in pixels of the blur before colours are compared: detail that is a little off is no error."""

_WINDOW = 5
"""Side in pixels of the square over which a disagreement is averaged."""


@dataclass
class Box:
    """A part of a frame: rows ``top`` to ``bottom`` and columns ``left`` to ``right``, the last ones exclusive."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def around(cls, hole: np.ndarray, margin: int) -> Box:
        """The smallest box that holds all of a hole and ``margin`` pixels around it, as far as the frame reaches."""
        rows, columns = np.nonzero(hole.any(axis=1))[0], np.nonzero(hole.any(axis=0))[0]
        h, w = hole.shape
        return cls(
            max(int(rows[0]) - margin, 0), min(int(rows[-1]) + margin + 1, h),
            max(int(columns[0]) - margin, 0), min(int(columns[-1]) + margin + 1, w),
        )  # fmt: skip

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def within(self, other: Box) -> Box:
        """The same box in the frame, given in coordinates of another box."""
        return Box(self.top + other.top, self.bottom + other.top, self.left + other.left, self.right + other.left)

    def offset_from(self, other: Box) -> Floats:
        """From the corner of another box to that of this one, ``(2,)`` pixels, x first."""
        return np.array([self.left - other.left, self.top - other.top], np.float32)


@dataclass
class Source:
    """What one frame offers to the hole of another, at the size at which motion is estimated.

    Attributes:
        index: the frame.
        points: where each pixel of the box lies in it, ``(b, d, 2)`` pixels.
        weight: how far it is believed, ``(b, d)``; 0 where it shows nothing.
        correction: levels to add to its colours so that they meet what surrounds the hole, ``(b, d, 3)``.
    """

    index: int
    points: Floats
    weight: Floats
    correction: Floats


def weigh_source(
    target: WorkFrame,
    completed: Levels,
    source: WorkFrame,
    flow: Floats,
    box: Box,
    *,
    index: int,
    distance: int,
    tolerance: float,
    gradient_blending: bool,
) -> Source:
    """Judge what a frame shows where another has its hole.

    Args:
        target: the frame with the hole.
        completed: an estimate of it, ``(h, w, 3)`` uint8.
        source: the frame that may show what is missing.
        flow: flow from the box of ``completed`` to it, ``(b, d, 2)`` in pixels.
        box: the part of the target to look at, ``b`` rows and ``d`` columns.
        index: number of the source.
        distance: frames between the two.
        tolerance: levels of disagreement with the estimate at which a source loses 40 % of its weight.
        gradient_blending: whether its colours are corrected for the seam at the border of the hole.
    """
    h, w = target.hole.shape
    rows, columns = box.slices
    points = pixel_grid(h, w)[rows, columns] + flow
    visible = inside_frame(points, h, w) & (sample_field(source.hole, points) < 1e-3)
    hole = target.hole[rows, columns]
    correction = np.zeros((*hole.shape, 3), np.float32)
    if not (visible & hole).any():
        return Source(index, points, np.zeros(hole.shape, np.float32), correction)
    colours = sample_field(source.image, points)
    if gradient_blending:
        correction = boundary_correction(target.image[rows, columns], colours, visible & ~hole, hole)
    wanted = cv2.GaussianBlur(completed[rows, columns].astype(np.float32), (0, 0), _SMOOTHING)
    offered = cv2.GaussianBlur(colours + correction, (0, 0), _SMOOTHING)
    disagreement = cv2.blur(mean_square(offered - wanted), (_WINDOW, _WINDOW))
    weight = np.exp(-disagreement / (2 * tolerance**2)) / np.sqrt(distance)
    return Source(index, points, np.where(visible, weight, 0).astype(np.float32), correction)


def weighted_mean(colours: Sequence[Floats], shares: Sequence[Floats]) -> Floats:
    """The mean of candidates.

    Args:
        colours: ``(P, 3)`` each, any range.
        shares: ``(P,)`` each, not all 0 at any place.

    Returns:
        ``(P, 3)`` float32.
    """
    total = np.zeros_like(colours[0])
    weight = np.zeros_like(shares[0])
    for colour, share in zip(colours, shares, strict=True):
        total += colour * share[:, None]
        weight += share
    return np.asarray(total / weight[:, None], np.float32)


def follow_box(box: Box, motion: Motion, t: int, s: int, size: tuple[int, int]) -> Box:
    """Where a box of frame ``t`` lies in frame ``s``, by the global motion of the frames between.

    Args:
        box: the box in frame ``t``.
        motion: motion of the window, forward in time.
        t: frame of the box.
        s: the other frame.
        size: (height, width) of the frames in pixels.

    Returns:
        A box of the same size that lies inside the frame.
    """
    h, w = size
    start = np.array([[(box.left + box.right) / 2, (box.top + box.bottom) / 2]], np.float32)
    centre = start
    walk = [step.away_affine for step in motion[t:s]] if s > t else [step.toward_affine for step in motion[s:t]][::-1]
    for affine in walk:
        centre = centre + affine_field(affine, centre, h, w)
    right, down = np.rint(centre[0] - start[0])
    left = int(np.clip(box.left + right, 0, w - (box.right - box.left)))
    top = int(np.clip(box.top + down, 0, h - (box.bottom - box.top)))
    return Box(top, top + box.bottom - box.top, left, left + box.right - box.left)


def source_indices(t: int, first: int, last: int, distances: Sequence[int]) -> list[int]:
    """Frames at the given distances before and after ``t`` that lie in ``[first, last]``, nearest first."""
    return [s for d in distances for s in (t - d, t + d) if first <= s <= last]
