"""Random affine motion, drawn step by step from frame to frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vinpaint.masks.protocols import MaskError


class AffineRange:
    """How far things turn, grow, lean and move from one frame to the next.

    Args:
        rotation: degrees, drawn from -rotation to rotation.
        scale: a factor from 1 - scale to 1 + scale.
        anisotropy: a further factor from 1 - anisotropy to 1 + anisotropy of the width alone.
        shear: degrees by which uprights lean, either way.
        translation: share of the frame's width to the left or right, and of its height up or down.

    Raises:
        MaskError: if a range is negative, or a factor could reach 0.
    """

    def __init__(
        self,
        *,
        rotation: float = 5.0,
        scale: float = 0.05,
        anisotropy: float = 0.02,
        shear: float = 3.0,
        translation: float = 0.05,
    ) -> None:
        if min(rotation, scale, anisotropy, shear, translation) < 0 or max(scale, anisotropy) >= 1 or shear >= 90:
            raise MaskError(
                f"motion of rotation {rotation}, scale {scale}, anisotropy {anisotropy}, shear {shear}, translation "
                f"{translation}: expected 0 or more, scale and anisotropy below 1, shear below 90 degrees"
            )
        self.rotation = rotation
        self.scale = scale
        self.anisotropy = anisotropy
        self.shear = shear
        self.translation = translation

    def draw(
        self, rng: np.random.Generator, *, strength: float = 1.0
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Draw one step.

        Args:
            rng: source of chance.
            strength: factor on every range.

        Returns:
            The linear part ``(2, 2)`` on ``(x, y)``, and the translation ``(2,)`` as shares of width and height.
        """
        turn, lean, size, width, x, y = strength * rng.uniform(-1, 1, 6)
        angle = np.deg2rad(turn * self.rotation)
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shear = np.array([[1, np.tan(np.deg2rad(lean * self.shear))], [0, 1]])
        factor = 1 + size * self.scale
        stretch = np.diag([factor * (1 + width * self.anisotropy), factor])
        return rotation @ shear @ stretch, self.translation * np.array([x, y])


def outwards(num_frames: int) -> list[tuple[int, int]]:
    """Pairs (frame, the one before it) in the order in which motion grows from the middle frame to both ends."""
    middle = num_frames // 2
    later = [(frame, frame - 1) for frame in range(middle + 1, num_frames)]
    return later + [(frame, frame + 1) for frame in range(middle - 1, -1, -1)]


def fold(place: NDArray[np.float64], room: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reflect places that left ``[0, room]`` back into it."""
    period = 2 * room
    return np.asarray(np.abs((place + period / 2) % period - period / 2))
