"""Closed smooth shapes: cubic Bezier contours and their rasterisation."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_SUBPIXEL_BITS = 4  # cv2 takes polygon corners as fixed point numbers; 1/16 px is finer than any edge we draw


def bezier_path(control: NDArray[np.floating], *, samples: int = 16) -> NDArray[np.float64]:
    """Sample a chain of cubic Bezier segments.

    Args:
        control: ``(3 * segments + 1, 2)`` points; every third one lies on the curve, the two between are its handles.
        samples: points per segment.

    Returns:
        ``(segments * samples, 2)`` points along the chain, without its last point (that of a closed chain is its
        first).

    Raises:
        ValueError: if the number of points is not three times a number of segments plus one.
    """
    if control.ndim != 2 or control.shape[1] != 2 or len(control) < 4 or len(control) % 3 != 1:
        raise ValueError(f"control points {control.shape}: expected (3 * segments + 1, 2) with at least one segment")
    start, out, back, end = control[:-1:3], control[1::3], control[2::3], control[3::3]
    s = (np.arange(samples) / samples)[None, :, None]
    points = (
        (1 - s) ** 3 * start[:, None]
        + 3 * (1 - s) ** 2 * s * out[:, None]
        + 3 * (1 - s) * s**2 * back[:, None]
        + s**3 * end[:, None]
    )
    return points.reshape(-1, 2).astype(np.float64)


def smooth_contour(points: NDArray[np.floating], *, samples: int = 16) -> NDArray[np.float64]:
    """Join points by cubic Bezier curves into a closed contour whose direction changes without a corner.

    Args:
        points: ``(P, 2)`` points to pass through, in order around the shape, at least three.
        samples: points per curve of the result.

    Returns:
        ``(P * samples, 2)`` points along the contour.

    Raises:
        ValueError: if there are fewer than three points.

    Source: the handles of a point lie a third of the way along the mean direction to its neighbours (the closed
    Catmull-Rom spline), the shortest choice that leaves no corner.
    """
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        raise ValueError(f"contour points {points.shape}: expected (P, 2) with P >= 3")
    tangent = (np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)) / 6
    following = np.roll(points, -1, axis=0)
    chain = np.stack((points, points + tangent, following - np.roll(tangent, -1, axis=0)), axis=1).reshape(-1, 2)
    return bezier_path(np.concatenate((chain, points[:1])), samples=samples)


def fill_contour(contour: NDArray[np.floating], height: int, width: int) -> NDArray[np.bool_]:
    """Rasterise the inside of a closed contour.

    Args:
        contour: ``(P, 2)`` points ``(x, y)`` in pixels; what lies outside the frame is cut off.
        height: rows in pixels.
        width: columns in pixels.

    Returns:
        ``(height, width)`` bool, true inside and on the contour.
    """
    canvas = np.zeros((height, width), np.uint8)
    corners = np.round(contour * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(canvas, [corners], (1,), lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
    return canvas.astype(bool)
