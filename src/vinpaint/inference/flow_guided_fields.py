"""Dense fields on a frame: sampling them, filling them smoothly, fitting a global motion to them."""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Levels = NDArray[np.uint8]

_CROSS = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4
_COLUMNS = 1024
"""Points per row when a list of points is sampled: OpenCV takes at most 32767 rows."""

_TAPS = np.arange(-3, 5)
"""Pixels that a sharp sample is taken from, along each axis, counted from the one before the point."""

_SHARP_POINTS = 4096
"""Points sampled sharply at once: 3 MB of pixels."""


def pixel_grid(height: int, width: int) -> Floats:
    """Coordinates ``(height, width, 2)`` of the pixel centres, channel 0 = x."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.stack((x, y), axis=-1)


def pixels_of(mask: Bools) -> Floats:
    """Coordinates ``(P, 2)`` of the pixels that are set, channel 0 = x, in the order of ``numpy.nonzero``."""
    y, x = np.nonzero(mask)
    return np.stack((x, y), axis=1).astype(np.float32)


def sample_field(field: Levels | Floats | Bools, points: Floats, *, interpolation: int = cv2.INTER_LINEAR) -> Floats:
    """Sample a field at points; outside, it continues with the value at its border.

    Args:
        field: ``(H, W)`` or ``(H, W, C)`` with C <= 4, bool, uint8 or float32.
        points: ``(..., 2)`` in pixels, channel 0 = x.
        interpolation: flag of OpenCV: nearest, linear (the default), cubic or Lanczos.

    Returns:
        Values ``(...)`` or ``(..., C)`` float32.
    """
    flat = points.reshape(-1, 2)
    count = len(flat)
    if points.ndim == 3:
        grid = points
    else:
        grid = np.zeros((-(-count // _COLUMNS) * _COLUMNS, 2), np.float32)
        grid[:count] = flat
        grid = grid.reshape(-1, _COLUMNS, 2)
    if count == 0:
        return np.empty((*points.shape[:-1], *field.shape[2:]), np.float32)
    if interpolation != cv2.INTER_NEAREST or field.dtype == bool:
        field = field.astype(np.float32, copy=False)
    # beyond the range of 16-bit integers OpenCV's tables would wrap around
    grid = np.clip(grid, -32000, 32000)
    values = cv2.remap(cast(Floats, field), grid, cast(Any, None), interpolation, borderMode=cv2.BORDER_REPLICATE)
    listed = values.astype(np.float32, copy=False).reshape(-1, *field.shape[2:])[:count]
    return np.asarray(listed.reshape(*points.shape[:-1], *field.shape[2:]), np.float32)


def sample_sharply(picture: Levels, points: Floats) -> Floats:
    """Sample a picture where it will be sampled again and again: 8x8 pixels, Lagrange's polynomial through them.

    Its response is flat and nowhere above 1, so that what is handed on from frame to frame keeps its detail and does
    not ring. OpenCV's bicubic and Lanczos kernels amplify some frequencies: a hundred half-pixel steps there and back
    leave 4.4 and 1.9 times the fine detail of a photograph, bilinear ones 0.06 times, these 0.66 times.

    Args:
        picture: ``(H, W, 3)`` uint8.
        points: ``(P, 2)`` in pixels, channel 0 = x; outside, the picture continues with the value at its border.

    Returns:
        Values ``(P, 3)`` float32.
    """
    H, W = picture.shape[:2]
    result = np.empty((len(points), 3), np.float32)
    for start in range(0, len(points), _SHARP_POINTS):
        some = slice(start, start + _SHARP_POINTS)
        corner = np.floor(points[some]).astype(np.intp)
        across, down = _lagrange_weights(points[some] - corner).transpose(1, 0, 2)
        x = np.clip(corner[:, :1] + _TAPS, 0, W - 1)
        y = np.clip(corner[:, 1:] + _TAPS, 0, H - 1)
        seen = np.take(picture.reshape(-1, 3), y[:, :, None] * W + x[:, None, :], axis=0).astype(np.float32)
        result[some] = np.einsum("pyxc,py,px->pc", seen, down, across, optimize=True)
    return result


def _lagrange_weights(position: Floats) -> Floats:
    """Weights ``(..., 8)`` of the pixels at ``_TAPS`` for a point at ``position`` in [0, 1)."""
    weights = np.ones((*position.shape, len(_TAPS)), np.float32)
    for index, tap in enumerate(_TAPS):
        for other in _TAPS[tap != _TAPS]:
            weights[..., index] *= (position - other) / np.float32(tap - other)
    return weights


def inside_frame(points: Floats, height: int, width: int) -> Bools:
    """Which points ``(..., 2)`` lie between the centres of the outermost pixels."""
    x, y = points[..., 0], points[..., 1]
    result: Bools = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    return result


def membrane(values: Floats, known: Bools, *, sweeps: int = 2) -> Floats:
    """Continue a field smoothly from where it is known: an approximate solution of Laplace's equation.

    A pyramid carries the known values to where none are near; on the way back each level is relaxed a few times.

    Args:
        values: ``(H, W, C)`` float32; what stands outside ``known`` has no influence.
        known: ``(H, W)`` bool.
        sweeps: Jacobi sweeps per level.

    Returns:
        ``(H, W, C)``, equal to ``values`` where known; 0 everywhere else if nothing is known.
    """
    if known.all():
        return values
    H, W = known.shape
    if not known.any():
        return np.zeros_like(values)
    weight = known.astype(np.float32)
    held = np.where(known[..., None], values, 0).astype(np.float32)
    if H == 1 and W == 1:
        return held
    size = ((W + 1) // 2, (H + 1) // 2)
    small_weight = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    small = _channels(cv2.resize(held, size, interpolation=cv2.INTER_AREA), values.shape[2])
    some = small_weight > 1e-6
    small = np.where(some[..., None], small / np.maximum(small_weight, 1e-6)[..., None], 0).astype(np.float32)
    coarse = membrane(small, some, sweeps=sweeps)
    result = _channels(cv2.resize(coarse, (W, H), interpolation=cv2.INTER_LINEAR), values.shape[2])
    result = np.where(known[..., None], held, result)
    for _ in range(sweeps):
        mean = _channels(cv2.filter2D(result, -1, _CROSS, borderType=cv2.BORDER_REPLICATE), values.shape[2])
        result = np.where(known[..., None], held, mean)
    return result


def run_on(image: Levels, hole: Bools) -> Levels:
    """Continue a frame by one pixel into its hole, as far as bicubic samples beside the hole reach.

    Args:
        image: ``(H, W, 3)`` uint8; what lies under the hole has no influence.
        hole: ``(H, W)`` bool.

    Returns:
        The frame, each pixel of the hole that touches a known one the mean of those it touches, 0 in the rest.
    """
    if not hole.any():
        return image
    held = np.where(hole[..., None], np.uint8(0), image)
    edge = hole & (cv2.dilate((~hole).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    total = cv2.boxFilter(held, cv2.CV_32F, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    count = cv2.boxFilter((~hole).astype(np.uint8), cv2.CV_32F, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    held[edge] = np.rint(total.reshape(held.shape)[edge] / count[edge][:, None])
    return held


def affine_motion(flow: Floats, known: Bools, *, iterations: int = 6, max_points: int = 4000) -> NDArray[np.float64]:
    """Fit the motion most of a frame shares, robustly.

    Args:
        flow: ``(H, W, 2)`` in pixels.
        known: pixels to fit, ``(H, W)`` bool; an even selection of them is used.
        iterations: of reweighted least squares (Cauchy weights, scale from the median residual).
        max_points: pixels used at most.

    Returns:
        Coefficients ``(3, 2)`` of x / W - 0.5, y / H - 0.5 and 1; zeros if fewer than 12 pixels are known.
    """
    H, W = known.shape
    y, x = np.nonzero(known)
    if len(y) < 12:
        return np.zeros((3, 2))
    chosen = np.linspace(0, len(y) - 1, min(max_points, len(y))).astype(np.intp)
    y, x = y[chosen], x[chosen]
    system = np.stack((x / W - 0.5, y / H - 0.5, np.ones(len(x))), axis=1)
    target = flow[y, x].astype(np.float64)
    weight = np.ones(len(x))
    coefficients = np.zeros((3, 2))
    for _ in range(iterations):
        # a ridge of 1e-6 keeps pixels on one line solvable
        normal = system.T @ (system * weight[:, None]) + 1e-6 * len(x) * np.eye(3)
        coefficients = np.linalg.solve(normal, system.T @ (target * weight[:, None]))
        residual = np.linalg.norm(target - system @ coefficients, axis=1)
        scale = max(1.5 * float(np.median(residual)), 0.05)
        weight = 1 / (1 + (residual / scale) ** 2)
    return coefficients


def affine_field(coefficients: NDArray[np.float64], points: Floats, height: int, width: int) -> Floats:
    """The motion ``(..., 2)`` in pixels that coefficients of :func:`affine_motion` give at points ``(..., 2)``."""
    scaled = coefficients / np.array([[width], [height], [1]])
    constant = coefficients[2] - 0.5 * (coefficients[0] + coefficients[1])
    matrix = np.column_stack((scaled[:2].T, constant)).astype(np.float32)
    moved = cv2.transform(points.reshape(1, -1, 2), matrix)  # ten times as fast as broadcasting a short last axis
    return np.asarray(moved.reshape(points.shape), np.float32)


def to_levels(image: Floats) -> Levels:
    """Round to the nearest of 256 levels."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def mean_square(difference: Floats) -> Floats:
    """Mean over the channels of the square of ``(h, w, 3)``: ``(h, w)``."""
    # summed channel by channel: NumPy reduces a short last axis ten times slower
    total = np.square(difference[..., 0])
    for channel in range(1, difference.shape[-1]):
        total += np.square(difference[..., channel])
    return np.asarray(total / np.float32(difference.shape[-1]), np.float32)


def length(vectors: Floats) -> Floats:
    """Length in pixels of ``(..., 2)``."""
    return np.asarray(np.hypot(vectors[..., 0], vectors[..., 1]), np.float32)


def _channels(image: NDArray[Any], channels: int) -> Floats:
    """OpenCV drops the axis of a single channel; put it back."""
    return image.reshape(*image.shape[:2], channels).astype(np.float32, copy=False)
