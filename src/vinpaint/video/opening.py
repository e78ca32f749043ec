"""One door for every kind of clip."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Literal

from vinpaint.video.clip import ClipError, ClipReader
from vinpaint.video.image_files import IMAGE_SUFFIXES
from vinpaint.video.images import ImageClip
from vinpaint.video.pyav_clip import PyAVClip


def open_clip(
    path: str | os.PathLike[str],
    *,
    reader: Literal["auto", "decord", "pyav"] = "auto",
    frame_rate: Fraction | int = 24,
    verify: bool = True,
) -> ClipReader:
    """Open a video file, a folder of frames, a zip of frames or a single image.

    Args:
        path: what to open.
        reader: who decodes video files. ``pyav`` reads every file exactly.
        frame_rate: frames per second of images, which do not tell; a video file tells its own.
        verify: check at once that all images have one size, rather than when each is read.

    Returns:
        The clip; close it, or use it as a context manager.

    Raises:
        FileNotFoundError: if nothing is there.
        ClipError: if it cannot be read; the message is one line.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder; check the path")
    if path.is_dir() or path.suffix.lower() == ".zip" or path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageClip(path, frame_rate=frame_rate, verify=verify)
    if path.stat().st_size == 0:
        raise ClipError(f"{path}: the file is empty; copy or record it again")
    return PyAVClip(path)
