"""Free-form strokes of a brush."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from vinpaint.masks.protocols import MaskError


class BrushMask:
    """Zigzag brush strokes, the same in every frame.

    Args:
        min_strokes: fewest strokes.
        max_strokes: most strokes.
        min_vertices: fewest bends of a stroke.
        max_vertices: most bends of a stroke.
        min_width: thinnest brush in pixels.
        max_width: thickest brush in pixels.
        mean_angle: mean direction of a segment in radians; every other segment is mirrored, hence the zigzag.
        angle_range: the directions of one stroke spread by up to this many radians to either side of the mean.

    Raises:
        MaskError: if a range is empty or begins below 1.

    Source: the stroke generator of DeepFill v2 (arXiv:1806.03589, supplementary) with the constants of its public code
    (JiahuiYu/generative_inpainting), from which FuseFormer, E2FGVI and ProPainter made the masks that their tables are
    measured on. The mean length of a segment is an eighth of the frame's diagonal.
    """

    def __init__(
        self,
        *,
        min_strokes: int = 1,
        max_strokes: int = 3,
        min_vertices: int = 4,
        max_vertices: int = 11,
        min_width: int = 12,
        max_width: int = 40,
        mean_angle: float = 2 * math.pi / 5,
        angle_range: float = 2 * math.pi / 15,
    ) -> None:
        for what, low, high in (
            ("strokes", min_strokes, max_strokes),
            ("vertices", min_vertices, max_vertices),
            ("widths", min_width, max_width),
        ):
            if not 1 <= low <= high:
                raise MaskError(f"{what} {low} to {high}: expected 1 <= min <= max")
        self.min_strokes = min_strokes
        self.max_strokes = max_strokes
        self.min_vertices = min_vertices
        self.max_vertices = max_vertices
        self.min_width = min_width
        self.max_width = max_width
        self.mean_angle = mean_angle
        self.angle_range = angle_range

    def __call__(self, num_frames: int, height: int, width: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Draw strokes and repeat them: ``(num_frames, height, width)`` bool, true = hole."""
        canvas = np.zeros((height, width), np.uint8)
        for _ in range(int(rng.integers(self.min_strokes, self.max_strokes + 1))):
            vertices = self._stroke(height, width, rng)
            thickness = int(rng.uniform(self.min_width, self.max_width))
            cv2.polylines(canvas, [vertices], isClosed=False, color=(1,), thickness=thickness)
            for x, y in vertices:
                cv2.circle(canvas, (int(x), int(y)), thickness // 2, (1,), thickness=-1)
        return np.repeat(canvas.astype(bool)[None], num_frames, axis=0)

    def _stroke(self, height: int, width: int, rng: np.random.Generator) -> NDArray[np.int32]:
        """Bends of one stroke, ``(V + 1, 2)`` as (x, y)."""
        mean_length = math.hypot(height, width) / 8
        low = self.mean_angle - rng.uniform(0, self.angle_range)
        high = self.mean_angle + rng.uniform(0, self.angle_range)
        limit = np.array([width, height])
        vertices = [rng.integers(0, limit)]
        for bend in range(int(rng.integers(self.min_vertices, self.max_vertices + 1))):
            angle = rng.uniform(low, high)
            if bend % 2 == 0:
                angle = 2 * math.pi - angle
            length = min(max(rng.normal(mean_length, mean_length // 2), 0), 2 * mean_length)
            step = length * np.array([math.cos(angle), math.sin(angle)])
            vertices.append((vertices[-1] + step).clip(0, limit).astype(np.int64))
        return np.stack(vertices).astype(np.int32)
