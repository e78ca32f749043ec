"""Completions that need neither weights nor flow: what every table has for comparison."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Literal, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vinpaint.errors import UserError
from vinpaint.inference.inpainter import MaskedClip, no_earlier_frame
from vinpaint.ops.compositing import composite, hide_holes
from vinpaint.ops.conversion import mask_to_tensor, to_tensor

DiffusionMethod = Literal["telea", "navier_stokes"]

GREY = 0.5
"""What a hole is filled with of which nothing is known, in [0, 1]."""

_FLAGS = {"telea": cv2.INPAINT_TELEA, "navier_stokes": cv2.INPAINT_NS}
_UNKNOWN = np.int16(256)  # sorts behind every level of an 8-bit frame


class IdentityInpainter:
    """Leaves the hole grey: what any completion has to beat.

    Args:
        level: value of the hole in [0, 1].

    Raises:
        UserError: if the value lies outside.
    """

    def __init__(self, *, level: float = GREY) -> None:
        if not 0 <= level <= 1:
            raise UserError(f"level={level}: expected a value in [0, 1]")
        self.level = level

    def stream(self, clip: MaskedClip) -> Iterator[Tensor]:
        """Complete ``clip``; see :class:`vinpaint.inference.inpainter.Inpainter`."""
        yield from self.stream_from(clip, 0, no_earlier_frame)

    def stream_from(
        self, clip: MaskedClip, start: int, earlier: Callable[[int], NDArray[np.uint8]]
    ) -> Iterator[Tensor]:
        """Go on with ``clip``; see :class:`vinpaint.inference.inpainter.ResumableInpainter`."""
        for index in range(start, clip.num_frames):
            frames, holes = clip.read([index])
            yield hide_holes(to_tensor(frames[0]), mask_to_tensor(holes[0]), self.level)


class DiffusionInpainter:
    """Fills each frame by itself, from the border of the hole inwards (OpenCV).

    A frame without a known pixel becomes grey.

    Args:
        method: ``telea`` marches in from the border, each pixel a weighted mean of those known around it;
            ``navier_stokes`` continues lines of equal brightness into the hole.
        radius: how far around a pixel known ones are looked at, pixels.

    Raises:
        UserError: if the method is none of these or the radius is not positive.

    Source: Telea, "An image inpainting technique based on the fast marching method" (2004); Bertalmio et al.,
    "Navier-Stokes, fluid dynamics, and image and video inpainting" (CVPR 2001).
    """

    def __init__(self, *, method: DiffusionMethod = "telea", radius: float = 5.0) -> None:
        if method not in get_args(DiffusionMethod):
            raise UserError(f"method={method}: expected {' or '.join(get_args(DiffusionMethod))}")
        if radius <= 0:
            raise UserError(f"radius={radius}: expected more than 0 pixels")
        self.method: DiffusionMethod = method
        self.radius = radius

    def stream(self, clip: MaskedClip) -> Iterator[Tensor]:
        """Complete ``clip``; see :class:`vinpaint.inference.inpainter.Inpainter`."""
        yield from self.stream_from(clip, 0, no_earlier_frame)

    def stream_from(
        self, clip: MaskedClip, start: int, earlier: Callable[[int], NDArray[np.uint8]]
    ) -> Iterator[Tensor]:
        """Go on with ``clip``; see :class:`vinpaint.inference.inpainter.ResumableInpainter`."""
        for index in range(start, clip.num_frames):
            frames, holes = clip.read([index])
            filled = diffuse(frames[0], holes[0], method=self.method, radius=self.radius)
            yield composite(to_tensor(frames[0]), to_tensor(filled), mask_to_tensor(holes[0]))


class TemporalMedianInpainter:
    """Takes, for each pixel of the hole, the median of what is known at the same place in frames nearby.

    Right where the camera stands still; where it moves, fewer frames are better. Pixels that no frame nearby shows are
    filled by Telea's method from the rest of the frame, medians included; a frame of which nothing is known at all
    becomes grey. Every frame is read once, and ``2 radius + 1`` of them are held.

    Args:
        radius: frames looked at before and after.
        fallback_radius: radius of Telea's method in pixels.

    Raises:
        UserError: if a radius is negative, or that of the fallback zero.
    """

    def __init__(self, *, radius: int = 5, fallback_radius: float = 5.0) -> None:
        if radius < 0 or fallback_radius <= 0:
            raise UserError(
                f"radius={radius}, fallback_radius={fallback_radius}: expected 0 frames or more and more than 0 pixels"
            )
        self.radius = radius
        self.fallback_radius = fallback_radius

    def stream(self, clip: MaskedClip) -> Iterator[Tensor]:
        """Complete ``clip``; see :class:`vinpaint.inference.inpainter.Inpainter`."""
        yield from self.stream_from(clip, 0, no_earlier_frame)

    def stream_from(
        self, clip: MaskedClip, start: int, earlier: Callable[[int], NDArray[np.uint8]]
    ) -> Iterator[Tensor]:
        """Go on with ``clip``; see :class:`vinpaint.inference.inpainter.ResumableInpainter`."""
        near: deque[tuple[NDArray[np.uint8], NDArray[np.bool_]]] = deque()
        read = max(start - self.radius, 0)
        for index in range(start, clip.num_frames):
            for number in range(read, min(index + self.radius + 1, clip.num_frames)):
                frames, holes = clip.read([number])
                near.append((frames[0], holes[0]))
                read = number + 1
            frame, hole = near[min(index, self.radius)]
            yield self._complete(frame, hole, list(near)) if hole.any() else to_tensor(frame)
            if index >= self.radius:
                near.popleft()

    def _complete(
        self, frame: NDArray[np.uint8], hole: NDArray[np.bool_], near: list[tuple[NDArray[np.uint8], NDArray[np.bool_]]]
    ) -> Tensor:
        places = np.flatnonzero(hole)
        levels = np.empty((len(near), len(places), 3), np.int16)
        for row, (other, other_hole) in zip(levels, near, strict=True):
            row[:] = other.reshape(-1, 3)[places]
            row[other_hole.reshape(-1)[places]] = _UNKNOWN
        medians, seen = _median_of_known(levels)
        completed = frame.astype(np.float32)
        completed[hole] = medians
        unseen = np.zeros_like(hole)
        unseen[hole] = ~seen
        if unseen.any():
            guess = diffuse(np.rint(completed).astype(np.uint8), unseen, method="telea", radius=self.fallback_radius)
            completed[unseen] = guess[unseen]
        return composite(to_tensor(frame), torch.from_numpy(completed).movedim(-1, -3) / 255, mask_to_tensor(hole))


def diffuse(
    frame: NDArray[np.uint8], hole: NDArray[np.bool_], *, method: DiffusionMethod, radius: float
) -> NDArray[np.uint8]:
    """Fill the hole of one frame from its border.

    Args:
        frame: ``(H, W, 3)`` uint8 RGB; what lies under the hole has no influence.
        hole: ``(H, W)`` bool, true = hole.
        method: see :class:`DiffusionInpainter`.
        radius: see :class:`DiffusionInpainter`.

    Returns:
        ``(H, W, 3)`` uint8 RGB, equal to ``frame`` outside the hole, grey if all of it is hole.
    """
    if not hole.any():
        return frame
    # hidden all the same: where a hole meets the frame's border, Telea's method in OpenCV looks under it
    hidden: NDArray[np.uint8] = frame.copy()
    hidden[hole] = round(GREY * 255)
    if hole.all():
        return hidden
    # of a frame one pixel high or wide, OpenCV reads memory beyond it: the result changed from call to call
    margin = 2 if min(hole.shape) < 3 else 0
    sides = (margin,) * 4
    wide, covered = (cv2.copyMakeBorder(part, *sides, cv2.BORDER_REPLICATE) for part in (hidden, hole.astype(np.uint8)))
    filled = np.asarray(cv2.inpaint(wide, covered, radius, _FLAGS[method]), np.uint8)
    return filled[margin : margin + hole.shape[0], margin : margin + hole.shape[1]]


def _median_of_known(levels: NDArray[np.int16]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Median along the first axis of ``(T, N, 3)``, and which of the ``N`` have any; the others are 0."""
    ordered = np.sort(levels, axis=0)
    known = (levels[..., 0] != _UNKNOWN).sum(axis=0)
    position = np.arange(levels.shape[1])
    lower, upper = ordered[np.maximum(known - 1, 0) // 2, position], ordered[known // 2 % len(levels), position]
    seen = known > 0
    return np.where(seen[:, None], (lower + upper) / 2, 0).astype(np.float32), seen
