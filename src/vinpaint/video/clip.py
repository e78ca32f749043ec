"""What a clip is to everything that reads one."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from types import TracebackType
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vinpaint.errors import UserError


@runtime_checkable
class ClipReader(Protocol):
    """Random access to the frames of one clip, decoded lazily.

    Attributes:
        name: what to call the clip in a table or a log (the file or folder name without suffix).
        num_frames: exact number of displayed frames.
        height: rows of a frame in pixels, after rotation.
        width: columns of a frame in pixels, after rotation.
        frame_rate: frames per second as a ratio (an average where the rate varies).
    """

    name: str
    num_frames: int
    height: int
    width: int
    frame_rate: Fraction

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Decode frames.

        Args:
            indices: frame numbers in any order, repeats allowed, each in ``[0, num_frames)``.

        Returns:
            ``(len(indices), H, W, 3)`` uint8 RGB.

        Raises:
            IndexError: if a number lies outside the clip.
            ClipError: if the file cannot be decoded there.
        """
        ...

    def close(self) -> None:
        """Release the file; safe to call twice."""
        ...

    def __enter__(self) -> ClipReader: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ClipError(UserError):
    """A clip that cannot be read or written; the message is one line a user can act on."""
