"""True motion between the frames of a window: affine maps, and the flow that follows from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vinpaint.masks import AffineRange
from vinpaint.masks.random_motion import outwards

Pixels = NDArray[np.float64]  # (3, 3) on (x, y, 1), from pixels to pixels; pixel centres are integers


def cumulative_motion(
    num_frames: int, height: int, width: int, steps: AffineRange, rng: np.random.Generator
) -> list[Pixels]:
    """Draw a camera path whose steps add up outwards from the middle frame.

    Args:
        num_frames: length.
        height: rows of a frame in pixels.
        width: columns in pixels.
        steps: range of one step, about the middle of the frame.
        rng: source of chance.

    Returns:
        Per frame the map ``(3, 3)`` that takes a pixel ``(x, y, 1)`` of the middle frame to where the same point of the
        scene lies in that frame; the identity for the middle frame, ``num_frames // 2``.
    """
    to_middle, from_middle = np.eye(3), np.eye(3)
    from_middle[:2, 2] = (width - 1) / 2, (height - 1) / 2
    to_middle[:2, 2] = -from_middle[:2, 2]
    maps = {num_frames // 2: np.eye(3)}
    for frame, before in outwards(num_frames):
        step = np.eye(3)
        step[:2, :2], shift = steps.draw(rng)
        step[:2, 2] = shift * (width, height)
        maps[frame] = from_middle @ step @ to_middle @ maps[before]
    return [maps[frame] for frame in range(num_frames)]


def theta_between(maps: Sequence[Pixels], height: int, width: int) -> NDArray[np.float32]:
    """Affine maps between all pairs of frames, as grids are built from them.

    Convention:
        ``theta[t, r]`` takes normalised coordinates of frame ``t`` to those of frame ``r`` with **align_corners=True**
        (-1 and 1 are the centres of the outermost pixels), so ``affine_warp(frames[r], theta[t, r])`` is frame ``t``.

    Args:
        maps: per frame the map from pixels of the middle frame.
        height: rows of a frame in pixels.
        width: columns in pixels.

    Returns:
        ``(T, T, 2, 3)`` float32.
    """
    normalised = np.array(
        [[2 / max(width - 1, 1), 0, -1], [0, 2 / max(height - 1, 1), -1], [0, 0, 1]], dtype=np.float64
    )
    to_frame = normalised @ np.stack(maps)  # (T, 3, 3)
    theta = to_frame[None] @ np.linalg.inv(to_frame)[:, None]
    return theta[:, :, :2].astype(np.float32)


def affine_flow(source: Pixels, target: Pixels, height: int, width: int) -> NDArray[np.float32]:
    """Flow from one frame to another.

    Args:
        source: map of the frame that the flow starts in, from pixels of the middle frame.
        target: map of the frame that it leads to.
        height: rows of a frame in pixels.
        width: columns in pixels.

    Returns:
        ``(2, H, W)`` float32 in pixels, channel 0 = x: what is at ``(x, y)`` in the first frame is at ``(x + u, y +
        v)`` in the second, inside or not.
    """
    between = (target @ np.linalg.inv(source) - np.eye(3))[:2]
    y, x = np.arange(height)[None, :, None], np.arange(width)[None, None, :]
    return np.asarray(
        between[:, 0, None, None] * x + between[:, 1, None, None] * y + between[:, 2, None, None], dtype=np.float32
    )


def stays_inside(flow: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where a flow ``(2, H, W)`` ends inside the frame: ``(H, W)`` bool."""
    height, width = flow.shape[1:]
    y, x = np.arange(height, dtype=flow.dtype)[:, None] + flow[1], np.arange(width, dtype=flow.dtype) + flow[0]
    slack = 1e-3  # pixels; rounding must not push a border that stays where it is out of sight
    return np.asarray((x >= -slack) & (y >= -slack) & (x <= width - 1 + slack) & (y <= height - 1 + slack))
