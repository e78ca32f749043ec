"""A smooth shape that stays where it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vinpaint.masks.contours import fill_contour, smooth_contour
from vinpaint.masks.protocols import MaskError


class StationaryMask:
    """One random blob, the same in every frame: the stand-in for a watermark.

    Points stand at equal angles around a centre, each at a random distance, and are joined by cubic Bezier curves into
    a closed contour.

    Args:
        min_points: fewest points of the contour, at least 3.
        max_points: most points of the contour.
        min_length: shortest distance of a point from the centre, as a fraction of the frame's shorter side.
        max_length: longest such distance.

    Raises:
        MaskError: if a range is empty or has fewer than three points.

    Source: STTN (arXiv:2007.10247), supplementary B, Algorithm 1, whose hyper-parameters are not stated there; with the
    defaults a hole covers 8 % of a 432x240 frame on average, as much as the shapes of the released code. Its listing
    puts the points around the image corner and starts the contour at the centre; here they stand around the centre,
    which is what its text describes.
    """

    def __init__(
        self, *, min_points: int = 4, max_points: int = 10, min_length: float = 0.05, max_length: float = 0.45
    ) -> None:
        if not 3 <= min_points <= max_points:
            raise MaskError(f"points {min_points} to {max_points}: expected 3 <= min_points <= max_points")
        if not 0 < min_length <= max_length:
            raise MaskError(f"lengths {min_length} to {max_length}: expected 0 < min_length <= max_length")
        self.min_points = min_points
        self.max_points = max_points
        self.min_length = min_length
        self.max_length = max_length

    def __call__(self, num_frames: int, height: int, width: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Draw one shape and repeat it: ``(num_frames, height, width)`` bool, true = hole."""
        count = int(rng.integers(self.min_points, self.max_points + 1))
        centre = rng.uniform((0, 0), (width, height))
        angles = np.arange(count) * (2 * np.pi / count)
        length = rng.uniform(self.min_length, self.max_length, count) * min(height, width)
        points = centre + np.stack((np.sin(angles), np.cos(angles)), axis=1) * length[:, None]
        shape = fill_contour(smooth_contour(points), height, width)
        return np.repeat(shape[None], num_frames, axis=0)
