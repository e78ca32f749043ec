"""How the frames of a clip move as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vinpaint.inference.flow_guided_fields import Bools, affine_motion
from vinpaint.inference.inpainter import MaskedClip
from vinpaint.inference.resizing import resize_visible
from vinpaint.models.flow.dis import DISFlow
from vinpaint.models.flow.estimator import FlowEstimator
from vinpaint.ops.conversion import mask_to_tensor, to_tensor
from vinpaint.ops.infill import harmonic_infill

PixelMap = NDArray[np.floating[Any]]
"""Affine map of pixels ``(x, y, 1)`` of one frame to those of another, ``(3, 3)``; pixel centres are integers."""

_SHORT_SIDE = 240
"""Pixels of the shorter side at which motion is estimated: the map of a whole frame needs no finer flow."""

_RIM = 6
"""Pixels around a hole at which the flow is still led by what was filled in."""

_BLOCK = 8
"""Frames read at a time."""

_MAX_ZOOM = 1.5
"""Change of a frame's sides between neighbours beyond which a fit is no motion of a camera."""


class _Picture(NamedTuple):
    """A frame as flow is estimated on it: ``(1, 3, h, w)`` in [0, 1], its hole filled; and what of it is known."""

    filled: Tensor
    known: Bools


class CameraMotion:
    """Affine maps between the frames of a clip, fitted to what most of each frame does from one to the next.

    Frames are read in order, beside whatever completes them, and the step from each to the next is estimated once and
    kept until :meth:`forget`.

    Args:
        clip: the frames and their holes; what lies under a hole has no influence.
        size: (height, width) in whose pixels the maps are told, the clip's own or another.
        estimator: optical flow between neighbours; None: DIS, which needs no weights.
    """

    def __init__(self, clip: MaskedClip, size: tuple[int, int], estimator: FlowEstimator | None = None) -> None:
        self._clip = clip
        self._size = size
        self._estimator = DISFlow() if estimator is None else estimator
        scale = min(1.0, _SHORT_SIDE / min(size))
        self._work_size = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        self._steps: dict[int, PixelMap] = {}  # of a frame to the next
        self._pictures: dict[int, _Picture] = {}

    def around(self, center: int, frames: Sequence[int]) -> dict[int, PixelMap]:
        """Tell where other frames show what one shows.

        Args:
            center: a frame.
            frames: others, before and after it, or itself.

        Returns:
            For each the map of the pixels of ``center`` to its own.
        """
        wanted = {center, *frames}
        self._estimate(min(wanted), max(wanted))
        moved: PixelMap = np.eye(3)
        maps = {center: moved}
        for index in range(center, max(wanted)):
            moved = self._steps[index] @ moved
            maps[index + 1] = moved
        moved = np.eye(3)
        for index in range(center - 1, min(wanted) - 1, -1):
            moved = np.linalg.solve(self._steps[index], moved)
            maps[index] = moved
        return {index: maps[index] for index in frames}

    def forget(self, before: int) -> None:
        """Drop the steps that lead to frames before one that is still asked for."""
        self._steps = {index: step for index, step in self._steps.items() if index >= before}

    @torch.no_grad()
    def _estimate(self, first: int, last: int) -> None:
        """Have the steps from ``first`` to ``last``."""
        for index in range(first, last):
            if index not in self._steps:
                here, there = self._picture(index, last), self._picture(index + 1, last)
                self._steps[index] = self._step(here, there)
        self._pictures = {index: picture for index, picture in self._pictures.items() if index >= last}

    def _picture(self, index: int, last: int) -> _Picture:
        if index not in self._pictures:
            block = range(index, min(index + _BLOCK, last + 1))
            frames, holes = self._clip.read(block)
            kept = {other: picture for other, picture in self._pictures.items() if other >= index - 1}
            self._pictures = kept | {
                other: self._prepared(frame, hole) for other, frame, hole in zip(block, frames, holes, strict=True)
            }
        return self._pictures[index]

    def _prepared(self, frame: NDArray[np.uint8], hole: Bools) -> _Picture:
        image, covered = resize_visible(
            to_tensor(frame).unsqueeze(0), mask_to_tensor(hole).unsqueeze(0), self._work_size
        )
        hidden = covered[0, 0].numpy() > 0.5
        if not hidden.any():
            return _Picture(image, ~hidden)
        rim = cv2.dilate(hidden.astype(np.uint8), np.ones((2 * _RIM + 1, 2 * _RIM + 1), np.uint8))
        return _Picture(harmonic_infill(image, 1 - covered), rim == 0)

    def _step(self, here: _Picture, there: _Picture) -> PixelMap:
        flow = self._estimator.estimate(here.filled, there.filled)[0].cpu().numpy().transpose(1, 2, 0)
        h, w = here.known.shape
        coefficients = affine_motion(np.ascontiguousarray(flow), here.known)
        step = np.eye(3)
        # of x / w - 0.5, y / h - 0.5 and 1
        step[:2, :2] += (coefficients[:2] / np.array([[w], [h]])).T
        step[:2, 2] = coefficients[2] - 0.5 * (coefficients[0] + coefficients[1])
        zoom = np.linalg.svd(step[:2, :2], compute_uv=False)
        if not (zoom.max() < _MAX_ZOOM and zoom.min() > 1 / _MAX_ZOOM):
            return np.eye(3)
        enlarge = _enlarging((h, w), self._size)
        moved: PixelMap = enlarge @ step @ np.linalg.inv(enlarge)
        return moved


def _enlarging(size: tuple[int, int], wanted: tuple[int, int]) -> PixelMap:
    """Map of the pixels of a frame of one size to those of the same frame in another: edges meet, not centres."""
    x, y = wanted[1] / size[1], wanted[0] / size[0]
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1.0]])
