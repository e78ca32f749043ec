"""Where a clip is cut: neighbouring frames that show different scenes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vinpaint.errors import UserError
from vinpaint.inference.inpainter import MaskedClip

CUT_THRESHOLD = 0.3
"""Score from which two frames count as different scenes.

Among 7,382 neighbours of 93 clips without a cut the highest score is 0.255 (fast sport); of pairs taken from two of
those clips 0.2 % score less than 0.3.
"""

_CELLS = (64, 36)
_LEVELS = 4  # per channel, of the histogram
_LEAST_KNOWN = 0.1  # share of the cells that both frames must show
_BLOCK = 32  # frames that are read at a time


@dataclass(frozen=True)
class Thumbnail:
    """What a frame shows outside its hole, in a few cells.

    Attributes:
        colours: mean of the known pixels of each cell, ``(N, 3)`` float32 levels.
        known: which cells are at least half known, ``(N,)`` bool.
    """

    colours: NDArray[np.float32]
    known: NDArray[np.bool_]


def thumbnail(frame: NDArray[np.uint8], hole: NDArray[np.bool_]) -> Thumbnail:
    """Reduce a frame to at most 64x36 cells; what lies under the hole has no influence.

    Args:
        frame: ``(H, W, 3)`` uint8 RGB.
        hole: ``(H, W)`` bool, true = hole.
    """
    height, width = hole.shape
    size = (min(_CELLS[0], width), min(_CELLS[1], height))
    if not hole.any():
        colours = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.float32).reshape(-1, 3)
        return Thumbnail(colours, np.ones(len(colours), bool))
    visible = np.where(hole[..., None], np.uint8(0), frame).astype(np.float32)
    total = np.asarray(cv2.resize(visible, size, interpolation=cv2.INTER_AREA), np.float32).reshape(-1, 3)
    weight = np.asarray(cv2.resize((~hole).astype(np.float32), size, interpolation=cv2.INTER_AREA)).reshape(-1, 1)
    return Thumbnail((total / np.maximum(weight, 0.5)).astype(np.float32), weight[:, 0] >= 0.5)


def scene_change(before: Thumbnail, after: Thumbnail) -> float:
    """Score how little two frames have in common.

    Args:
        before: a frame.
        after: another of the same clip.

    Returns:
        The geometric mean of three shares in [0, 1]: of the colours that are not in both, of the range by which cells
        differ on average, and of the brightness pattern that is not shared. Motion raises the last two and hardly the
        first, a change of light the first two and hardly the last. 0 where the frames show too little in common.
    """
    both = before.known & after.known
    if both.mean() < _LEAST_KNOWN:
        return 0.0
    first, second = before.colours[both], after.colours[both]
    colours = 1 - float(np.minimum(_histogram(first), _histogram(second)).sum())
    difference = float(np.abs(first - second).mean()) / 255
    patterns = [grey - grey.mean() for grey in (first.mean(axis=1), second.mean(axis=1))]
    norm = float(np.sqrt((patterns[0] ** 2).sum() * (patterns[1] ** 2).sum()))
    # a frame without any pattern agrees with none and contradicts none
    alike = float((patterns[0] * patterns[1]).sum()) / norm if norm > 1e-3 else 0.0
    return float(np.cbrt(max(colours, 0.0) * difference * min(1 - alike, 1.0)))


class Shots:
    """The shots of a clip, found while they are asked for; frames are read once, in order.

    A cut lies between two frames if they differ, and each differs from the frame beyond the other too: a single bright
    or damaged frame is no shot of its own.

    Args:
        clip: the frames and their holes.
        threshold: of :func:`scene_change`, in (0, 1].

    Raises:
        UserError: if the threshold is out of its range.
    """

    def __init__(self, clip: MaskedClip, *, threshold: float = CUT_THRESHOLD) -> None:
        check_cut_threshold(threshold)
        self._clip = clip
        self._threshold = threshold
        self._last: list[Thumbnail] = []  # of the frames before ``_read``, three at most
        self._read = 0
        self._cuts: list[int] = []  # first frames of all shots but the first, as far as they are sure

    def end_of(self, start: int, limit: int) -> int:
        """Find the end of the shot that begins at a frame.

        Args:
            start: the first frame of a shot.
            limit: where to stop looking, in ``(start, num_frames]``.

        Returns:
            The first frame of the next shot, or ``limit`` if that comes first.
        """
        # whether a frame begins a shot is sure when the one after it has been read
        while self._read < min(limit + 1, self._clip.num_frames):
            block = range(self._read, min(self._read + _BLOCK, self._clip.num_frames))
            for frame, hole in zip(*self._clip.read(block), strict=True):
                self._add(thumbnail(frame, hole))
        place = bisect_right(self._cuts, start)
        return min(self._cuts[place], limit) if place < len(self._cuts) else limit

    def _add(self, new: Thumbnail) -> None:
        """Take the next frame, and decide whether the one before it begins a shot."""
        near = [*self._last, new]
        self._last = near[-3:]
        self._read += 1
        final = self._read == self._clip.num_frames
        if len(near) >= 3 and self._is_cut(near[-4:-2], near[-2:]):
            self._cuts.append(self._read - 2)
        if final and len(near) >= 2 and self._is_cut(near[-3:-1], near[-1:]):
            self._cuts.append(self._read - 1)

    def _is_cut(self, before: Sequence[Thumbnail], after: Sequence[Thumbnail]) -> bool:
        """Whether the frames on both sides of a place, one or two each, differ across it."""
        pairs = [(before[-1], after[0])]
        pairs += [(before[-1], after[1])] if len(after) > 1 else []
        pairs += [(before[0], after[0])] if len(before) > 1 else []
        return all(scene_change(*pair) > self._threshold for pair in pairs)


def check_cut_threshold(threshold: float) -> None:
    """Refuse a threshold that is none.

    Raises:
        UserError: if it lies outside (0, 1].
    """
    if not 0 < threshold <= 1:
        raise UserError(f"cut_threshold={threshold}: expected a score in (0, 1], or null for no cuts")


def _histogram(colours: NDArray[np.float32]) -> NDArray[np.float64]:
    levels = np.minimum(colours * (_LEVELS / 256), _LEVELS - 1).astype(np.int64)
    places = (levels[:, 0] * _LEVELS + levels[:, 1]) * _LEVELS + levels[:, 2]
    counts: NDArray[np.float64] = np.bincount(places, minlength=_LEVELS**3) / len(colours)
    return counts
