"""Rectangles: drawn at random, or read from ``x,y,w,h``."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vinpaint.masks.protocols import MaskError

_BOX = re.compile(r"\s*\[?\s*([-+\d.]+)\s*,\s*([-+\d.]+)\s*,\s*([-+\d.]+)\s*,\s*([-+\d.]+)\s*\]?\s*")


class BoxMask:
    """One upright rectangle, the same in every frame.

    Args:
        min_side: shortest side, as a fraction of the frame's side.
        max_side: longest side, likewise, at most 1.

    Raises:
        MaskError: if the range is empty or leaves 0 to 1.
    """

    def __init__(self, *, min_side: float = 0.2, max_side: float = 0.5) -> None:
        if not 0 < min_side <= max_side <= 1:
            raise MaskError(f"sides {min_side} to {max_side}: expected 0 < min_side <= max_side <= 1")
        self.min_side = min_side
        self.max_side = max_side

    def __call__(self, num_frames: int, height: int, width: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Draw one box and repeat it: ``(num_frames, height, width)`` bool, true = hole."""
        frame = np.array([height, width])
        side = np.maximum(np.round(rng.uniform(self.min_side, self.max_side, 2) * frame).astype(int), 1)
        row, column = rng.integers(0, frame - side + 1)
        masks = np.zeros((num_frames, height, width), dtype=bool)
        masks[:, row : row + side[0], column : column + side[1]] = True
        return masks


def is_box(spec: object) -> bool:
    """Whether ``spec`` is written as a box: ``"x,y,w,h"`` or four numbers."""
    if isinstance(spec, str):
        return _BOX.fullmatch(spec) is not None
    return isinstance(spec, Sequence)


def parse_box(spec: str | Sequence[int], *, height: int, width: int) -> tuple[int, int, int, int]:
    """Read a box and check that it lies in the frame.

    Args:
        spec: ``"x,y,w,h"`` or four integers in pixels: left, top, width, height.
        height: rows of the frame.
        width: columns of the frame.

    Returns:
        ``(x, y, w, h)``.

    Raises:
        MaskError: if it is not four integers, is empty or reaches outside the frame.
    """
    values: Sequence[object] = spec
    if isinstance(spec, str):
        match = _BOX.fullmatch(spec)
        values = match.groups() if match else [spec]
    try:
        numbers = [float(str(value)) for value in values]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or any(number != int(number) for number in numbers):
        raise MaskError(f"box {spec}: expected four whole numbers of pixels, x,y,w,h")
    x, y, w, h = (int(number) for number in numbers)
    if w <= 0 or h <= 0:
        raise MaskError(f"box {x},{y},{w},{h} is empty: give a width and a height of at least one pixel")
    if x < 0 or y < 0 or x + w > width or y + h > height:
        raise MaskError(
            f"box {x},{y},{w},{h} reaches to {x + w},{y + h} but the frame is {width}x{height}: "
            "keep x >= 0, y >= 0, x + w and y + h within the frame"
        )
    return x, y, w, h
