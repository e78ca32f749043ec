"""One door for every kind of clip."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Literal

from vinpaint.video.clip import ClipError, ClipReader, ClipWriter
from vinpaint.video.frame_folder import FrameFolderWriter
from vinpaint.video.image_files import IMAGE_SUFFIXES
from vinpaint.video.images import ImageClip
from vinpaint.video.video_file import VideoFile
from vinpaint.video.video_writer import VIDEO_SUFFIXES, VideoWriter


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
        reader: who decodes video files; ``auto`` takes what is exact (see ``VideoFile``).
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
    return VideoFile(path, reader=reader)


def open_writer(
    path: str | os.PathLike[str],
    *,
    frame_rate: Fraction | int,
    height: int,
    width: int,
    quality: float = 7,
    lossless: bool = False,
    preset: str = "fast",
    like: ClipReader | Path | str | None = None,
    copy_audio: bool = True,
    overwrite: bool = False,
) -> ClipWriter:
    """Open a video file or a folder of PNG images for writing.

    A name that ends in ``.mp4``, ``.mkv`` or ``.mov`` becomes a video (see ``VideoWriter``), a name without suffix
    or with a closing slash a folder of images named ``00000.png`` on (see ``FrameFolderWriter``; rate, quality and
    sound have no meaning there). The output is written beside and renamed when it is complete.

    Args:
        path: what to write.
        frame_rate: frames per second.
        height: rows of a frame in pixels.
        width: columns of a frame in pixels.
        quality: x264's constant rate factor, 0 (best) to 51.
        lossless: store the video so that it reads back bit for bit.
        preset: x264's trade of time for size, ``ultrafast`` to ``veryslow``.
        like: the clip or file that is being rewritten; its times and its sound are kept.
        copy_audio: whether to keep the sound of ``like``.
        overwrite: whether something of that name may be replaced.

    Returns:
        The writer; use it as a context manager.

    Raises:
        ClipError: if nothing can be written there; the message is one line.
    """
    suffix = Path(path).suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return VideoWriter(
            path,
            frame_rate=frame_rate,
            height=height,
            width=width,
            quality=quality,
            lossless=lossless,
            preset=preset,
            like=like,
            copy_audio=copy_audio,
            overwrite=overwrite,
        )
    if suffix and not os.fspath(path).endswith(("/", os.sep)) and not Path(path).is_dir():
        kinds = ", ".join(sorted(VIDEO_SUFFIXES))
        raise ClipError(f"{path}: cannot write {suffix}; end the name in {kinds}, or in / for a folder of images")
    return FrameFolderWriter(path, height=height, width=width, overwrite=overwrite)
