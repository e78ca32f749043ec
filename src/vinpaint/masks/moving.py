"""The shape with random motion that STTN was trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vinpaint.masks.contours import bezier_path, fill_contour
from vinpaint.masks.protocols import MaskError

# The released code draws the shape into a plotting library's default figure and stretches the picture to the drawn
# region, so the figure's margins are part of the mask's statistics: the axes cover this share of the picture.
_AXES_WIDTH = 0.9 - 0.125
_AXES_HEIGHT = 0.88 - 0.11
_AXES_MARGIN = 1.1  # the axes reach this factor beyond the outermost point, the same on both axes


class MovingMask:
    """A random Bezier shape that stands still or drifts rigidly through the frame.

    Args:
        min_speed: slowest first step in pixels per frame.
        max_speed: fastest first step in pixels per frame.
        acceleration: the speed changes by a normal step of standard deviation ``acceleration / 2`` pixels per frame,
            and a shape that met the border goes on at a speed of this spread.
        turn: the direction changes by a normal step of standard deviation ``turn / 2`` radians per frame.
        static_probability: share of the clips in which the shape does not move, 0 to 1.

    Raises:
        MaskError: if a speed or a spread is negative, or the probability lies outside 0 to 1.

    Source: the random shape with random motion of STTN's public code (researchmm/STTN f39f62c, core/utils.py), sizes
    and speeds in pixels of a 432x240 frame. Kept: the spread of sizes, shapes and steps, whole-pixel motion (each step
    truncated towards zero) and the first speed of 1 to 3. Not kept: the raster of the plotting library, so edges may
    differ by a pixel.
    """

    def __init__(
        self,
        *,
        min_speed: float = 1.0,
        max_speed: float = 3.0,
        acceleration: float = 3.0,
        turn: float = 0.5,
        static_probability: float = 0.5,
    ) -> None:
        if not 0 <= min_speed <= max_speed:
            raise MaskError(f"speeds {min_speed} to {max_speed}: expected 0 <= min_speed <= max_speed")
        if acceleration < 0 or turn < 0:
            raise MaskError(f"acceleration {acceleration} and turn {turn}: expected spreads of 0 or more")
        if not 0 <= static_probability <= 1:
            raise MaskError(f"static_probability {static_probability}: expected 0 to 1")
        self.min_speed = min_speed
        self.max_speed = max_speed
        self.acceleration = acceleration
        self.turn = turn
        self.static_probability = static_probability

    def __call__(self, num_frames: int, height: int, width: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Draw a shape and its path: ``(num_frames, height, width)`` bool, true = hole."""
        shape = _random_shape(height, width, rng)
        room = np.array([height - shape.shape[0], width - shape.shape[1]])
        corner = rng.integers(0, room + 1)
        masks = np.zeros((num_frames, height, width), dtype=bool)
        for index, (row, column) in enumerate(self._path(num_frames, corner, room, rng)):
            masks[index, row : row + shape.shape[0], column : column + shape.shape[1]] = shape
        return masks

    def _path(
        self, num_frames: int, corner: NDArray[np.int64], room: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Places of the shape's corner, ``(num_frames, 2)`` as (row, column)."""
        speed, angle = rng.uniform(self.min_speed, self.max_speed), rng.uniform(0, 2 * np.pi)
        if rng.random() < self.static_probability:
            return np.repeat(corner[None], num_frames, axis=0)
        corners = [corner]
        while len(corners) < num_frames:
            step = np.trunc(speed * np.array([np.cos(angle), np.sin(angle)])).astype(np.int64)
            moved = corners[-1] + step
            speed += rng.normal(0, self.acceleration / 2)
            angle += rng.normal(0, self.turn / 2)
            if (moved < 0).any() or (moved > room).any():
                speed, angle = abs(rng.normal(0, self.acceleration / 2)), rng.uniform(0, 2 * np.pi)
            corners.append(moved.clip(0, room))
        return np.stack(corners[:num_frames])


def _random_shape(height: int, width: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """One shape in its own bounding box, about half as high and wide as the region it is drawn for."""
    region_height = int(rng.integers(height // 3, max(height // 3 + 1, height)))
    region_width = int(rng.integers(width // 3, max(width // 3 + 1, width)))
    segments = int(rng.integers(6, 9))
    roughness = rng.integers(6, 9) / 10
    angles = np.linspace(0, 2 * np.pi, 3 * segments + 1)
    radius = rng.uniform(1 - roughness, 1 + roughness, len(angles))
    control = np.stack((np.cos(angles), np.sin(angles)), axis=1) * radius[:, None]
    control[-1] = control[0]
    # The extremes are those of the control points, not of the curve, so the curve seldom fills its axes.
    extent = _AXES_MARGIN * (control.max() - control.min())
    scale = np.array([region_width * _AXES_WIDTH, region_height * _AXES_HEIGHT]) / extent
    contour = bezier_path(control) * scale
    contour -= contour.min(axis=0)
    columns, rows = np.maximum(np.floor(contour.max(axis=0)).astype(int), 1)
    return fill_contour(contour, min(int(rows), height), min(int(columns), width))
