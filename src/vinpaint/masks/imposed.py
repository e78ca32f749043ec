"""Views of a mask sequence that make it fit a clip it was not recorded for."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vinpaint.masks.protocols import MaskError, MaskSequence
from vinpaint.masks.sequences import check_indices


class PingPongMasks:
    """Another sequence played forwards and backwards, to any length.

    Args:
        masks: the sequence; its first masks when it is longer.
        num_frames: length wanted.
    """

    def __init__(self, masks: MaskSequence, *, num_frames: int) -> None:
        self.num_frames, self.height, self.width = num_frames, masks.height, masks.width
        self._masks = masks

    def read(self, indices: Sequence[int]) -> NDArray[np.bool_]:
        """Read masks: ``(len(indices), H, W)`` bool, true = hole."""
        check_indices(indices, self.num_frames)
        return self._masks.read(back_and_forth(indices, self._masks.num_frames))


def back_and_forth(times: Sequence[int], length: int) -> list[int]:
    """Frame numbers of a sequence that turns round at both ends, ``0 1 2 1 0 1 …`` for a length of 3."""
    last = length - 1
    return [last - abs(last - time % max(2 * last, 1)) for time in times]


class ShadowMasks:
    """Another sequence, with a stand-in for the shadow of what each hole covers.

    The shadow is the hole itself, leaning from its lowest row on and moved down, and the hole becomes both together.

    Args:
        masks: the sequence.
        drop: how far the shadow lies below, as a share of the frame's height.
        lean: columns to the right by which the shadow leans per row of height; negative to the left.

    Raises:
        MaskError: if ``drop`` is negative.
    """

    def __init__(self, masks: MaskSequence, *, drop: float, lean: float) -> None:
        if drop < 0:
            raise MaskError(f"a shadow that drops by {drop}: expected 0 or more")
        self.num_frames, self.height, self.width = masks.num_frames, masks.height, masks.width
        self._masks = masks
        self._drop = drop
        self._lean = lean

    def read(self, indices: Sequence[int]) -> NDArray[np.bool_]:
        """Read masks: ``(len(indices), H, W)`` bool, true = hole."""
        return np.stack([mask | self._shadow(mask) for mask in self._masks.read(indices)])

    def _shadow(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        rows = np.flatnonzero(mask.any(axis=1))
        if not len(rows):
            return mask
        fall = np.array([[1, -self._lean, self._lean * rows[-1]], [0, 1, self._drop * self.height]])
        size = (self.width, self.height)
        return np.asarray(cv2.warpAffine(mask.astype(np.uint8), fall, size, flags=cv2.INTER_NEAREST) > 0)
