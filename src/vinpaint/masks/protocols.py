"""What masks are to everything that reads or makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vinpaint.errors import UserError


@runtime_checkable
class MaskSequence(Protocol):
    """The holes of one clip, read lazily.

    Attributes:
        num_frames: number of masks, that of the clip.
        height: rows in pixels, those of the clip.
        width: columns in pixels, those of the clip.
    """

    num_frames: int
    height: int
    width: int

    def read(self, indices: Sequence[int]) -> NDArray[np.bool_]:
        """Read masks: ``(len(indices), H, W)`` bool, true = hole."""
        ...


class MaskGenerator(Protocol):
    """Draws the holes of a whole clip."""

    def __call__(self, num_frames: int, height: int, width: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Draw ``(num_frames, height, width)`` bool, true = hole, from ``rng`` alone."""
        ...


class MaskError(UserError):
    """Masks that cannot be read or do not fit their clip; the message is one line a user can act on."""
