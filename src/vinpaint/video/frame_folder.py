"""Frames written as a folder of PNG images."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vinpaint.video.clip import ClipError, check_frame
from vinpaint.video.partial import PartialOutput

_COMPRESSION = 3  # zlib level: a third of the time of Pillow's default for a few per cent of size


class FrameFolderWriter:
    """Writes frames as ``00000.png``, ``00001.png`` … into a folder.

    The folder appears under its name when ``close`` succeeds; leaving the context with an exception removes it.

    Args:
        path: the folder to write.
        height: rows of a frame in pixels.
        width: columns of a frame in pixels.
        overwrite: whether an existing folder of PNG images may be replaced.

    Raises:
        ClipError: if the folder cannot be written; the message is one line.
    """

    def __init__(self, path: str | os.PathLike[str], *, height: int, width: int, overwrite: bool = False) -> None:
        self.path = Path(path)
        self.height, self.width = height, width
        self.num_frames = 0
        self._closed = False
        self._output = PartialOutput(self.path, folder=True, overwrite=overwrite)

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Append a frame.

        Args:
            frame: ``(height, width, 3)`` uint8 RGB.

        Raises:
            ClipError: if it has another shape or type, or cannot be written; the folder is then removed.
        """
        try:
            check_frame(self.path, frame, self.height, self.width)
            if self._closed:
                raise ClipError(f"{self.path}: the folder is closed; open another writer")
            file = self._output.partial / f"{self.num_frames:05d}.png"
            Image.fromarray(np.ascontiguousarray(frame)).save(file, compress_level=_COMPRESSION)
            self.num_frames += 1
        except BaseException as error:
            self.abort()
            if isinstance(error, OSError):
                raise self._output.failure(error) from error
            raise

    def close(self) -> None:
        """Give the folder its name; safe to call twice.

        Raises:
            ClipError: if nothing was written or the name was taken meanwhile; what was written is removed.
        """
        if self._closed:
            return
        self._closed = True
        if not self.num_frames:
            self.abort()
            raise ClipError(f"{self.path}: no frame was written; nothing is kept")
        self._output.commit()

    def abort(self) -> None:
        """Remove what was written so far; safe to call twice."""
        self._closed = True
        self._output.discard()

    def __enter__(self) -> FrameFolderWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()
