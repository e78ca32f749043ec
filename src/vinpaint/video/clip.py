"""What a clip is to everything that reads one."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
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


@runtime_checkable
class ClipWriter(Protocol):
    """Takes the frames of one clip in order; what it writes appears under its name only when it is complete.

    Leaving the context with an exception (Ctrl-C included) removes what was written.

    Attributes:
        path: the final name.
        num_frames: frames written so far.
    """

    path: Path
    num_frames: int

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Append a frame, ``(H, W, 3)`` uint8 RGB.

        Raises:
            ClipError: if it does not fit or cannot be written; the output is then removed.
        """
        ...

    def close(self) -> None:
        """Complete the output and give it its name; safe to call twice.

        Raises:
            ClipError: if it cannot be completed; it is then removed.
        """
        ...

    def abort(self) -> None:
        """Remove what was written so far; safe to call twice."""
        ...

    def __enter__(self) -> ClipWriter: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ClipError(UserError):
    """A clip that cannot be read or written; the message is one line a user can act on."""


def check_indices(clip: ClipReader, indices: Sequence[int]) -> NDArray[np.int64]:
    """Check that every frame number lies inside a clip.

    Returns:
        The numbers as an array.

    Raises:
        IndexError: if one does not; the message names it and the range.
    """
    numbers = np.asarray(indices, dtype=np.int64).reshape(-1)
    outside = numbers[(numbers < 0) | (numbers >= clip.num_frames)]
    if outside.size:
        raise IndexError(f"{clip.name}: frame {outside[0]} asked for, the clip has frames 0 to {clip.num_frames - 1}")
    return numbers


def one_line(error: BaseException) -> str:
    """Tell an exception in one line, without the name of its class."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(reason).split())


def check_frame(path: Path, frame: NDArray[np.uint8], height: int, width: int) -> None:
    """Check that a frame to write is ``(height, width, 3)`` uint8.

    Raises:
        ClipError: if it is not; the message says both.
    """
    if frame.shape != (height, width, 3) or frame.dtype != np.uint8:
        raise ClipError(f"{path}: frame is {frame.dtype} {frame.shape}; give uint8 ({height}, {width}, 3) RGB")
