"""Pictures of clips: rows of frames side by side, holes tinted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

HOLE_COLOUR = (255, 214, 0)
"""RGB of the tint that marks a hole."""


def film_strip(rows: Sequence[Sequence[NDArray[np.uint8]]], *, gap: int = 4) -> NDArray[np.uint8]:
    """Lay frames out in a grid.

    Args:
        rows: per row the frames from left to right, each ``(H, W, 3)`` uint8 RGB, all of one size.
        gap: white pixels between frames.

    Returns:
        The picture, ``(H', W', 3)`` uint8 RGB.

    Raises:
        ValueError: if there are no frames, or rows differ in length.
    """
    lengths = {len(row) for row in rows}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"rows of {sorted(lengths)} frames: expected rows of one length, at least one frame each")
    height, width = rows[0][0].shape[:2]
    columns = len(rows[0])
    shape = (len(rows) * (height + gap) - gap, columns * (width + gap) - gap, 3)
    picture = np.full(shape, 255, dtype=np.uint8)
    for y, row in enumerate(rows):
        for x, frame in enumerate(row):
            top, left = y * (height + gap), x * (width + gap)
            picture[top : top + height, left : left + width] = frame
    return picture


def tint_hole(frame: NDArray[np.uint8], mask: NDArray[np.bool_], *, opacity: float = 0.6) -> NDArray[np.uint8]:
    """Mark the hole of a frame.

    Args:
        frame: ``(H, W, 3)`` uint8 RGB.
        mask: ``(H, W)`` bool, true = hole.
        opacity: of the tint, 0 to 1.

    Returns:
        A copy of the frame, ``(H, W, 3)`` uint8 RGB.
    """
    tinted = frame.copy()
    tinted[mask] = ((1 - opacity) * frame[mask] + opacity * np.array(HOLE_COLOUR)).astype(np.uint8)
    return np.asarray(tinted, np.uint8)
