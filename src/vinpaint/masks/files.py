"""Masks from files: a folder of pictures, a zip of them, a video, one picture, or a box."""

from __future__ import annotations

import io
import os
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import IO
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from vinpaint.masks.box import is_box, parse_box
from vinpaint.masks.pictures import picture_size, read_picture, threshold
from vinpaint.masks.protocols import MaskError, MaskSequence
from vinpaint.masks.sequences import DilatedMasks, StillMasks, check_indices
from vinpaint.video.clip import ClipError

IMAGE_SUFFIXES = frozenset({".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg", ".webp", ".pgm", ".ppm"})


def open_masks(
    spec: str | Path | Sequence[int], *, num_frames: int, height: int, width: int, dilation: int = 0
) -> MaskSequence:
    """Open the masks of a clip.

    Args:
        spec: a folder of pictures, a zip of pictures, a mask video, one picture (or a folder, zip or video of one) for
            the whole clip, or a box ``"x,y,w,h"`` in pixels (also as four integers).
        num_frames: number of frames of the clip.
        height: rows of the clip in pixels.
        width: columns of the clip in pixels.
        dilation: how often holes grow by a 3x3 cross.

    Returns:
        The masks, read as they are asked for. What counts as a hole: see :func:`vinpaint.masks.pictures.read_picture`;
        a video counts as compressed with loss, so its holes are the pixels of half brightness and more.

    Raises:
        MaskError: if nothing is there or cannot be read, or if the count or the size does not fit the clip; the
            message says both numbers.
    """
    masks = _open_any(spec, num_frames=num_frames, height=height, width=width)
    if masks.num_frames != num_frames:
        raise MaskError(
            f"masks {spec}: {masks.num_frames} masks for {num_frames} frames; give one mask per frame, "
            "or a single image for the whole clip"
        )
    if (masks.height, masks.width) != (height, width):
        raise MaskError(
            f"masks {spec} are {masks.width}x{masks.height} but the frames are {width}x{height}; "
            "export the masks at the size of the frames"
        )
    return masks if dilation == 0 else DilatedMasks(masks, dilation=dilation)


def open_sequence(path: Path) -> MaskSequence:
    """Open stored masks without a clip to fit: as many and as large as they are.

    Args:
        path: a folder of pictures, a zip of pictures, one picture or a mask video.

    Returns:
        The masks, read as they are asked for.

    Raises:
        MaskError: if nothing is there, or it cannot be read, or the pictures differ in size.
    """
    if path.is_dir():
        return FolderMasks(path)
    if not path.exists():
        raise MaskError(
            f"masks {path}: no such file or folder; give a folder of images, a zip, a video, one image, "
            "or a box x,y,w,h"
        )
    if path.suffix.lower() == ".zip":
        return ZipMasks(path)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return StillMasks(read_picture(path, name=str(path)), num_frames=1)
    return VideoMasks(path)


def _open_any(spec: str | Path | Sequence[int], *, num_frames: int, height: int, width: int) -> MaskSequence:
    path = Path(spec).expanduser() if isinstance(spec, str | Path) else None
    if not isinstance(spec, Path) and is_box(spec) and not (path and path.exists()):
        x, y, w, h = parse_box(spec, height=height, width=width)
        mask = np.zeros((height, width), dtype=bool)
        mask[y : y + h, x : x + w] = True
        return StillMasks(mask, num_frames=num_frames)
    if path is None:
        raise MaskError(f"masks {spec}: expected a path or a box of four numbers, x,y,w,h")
    masks = open_sequence(path)
    if masks.num_frames == 1 and num_frames != 1:
        return StillMasks(masks.read([0])[0], num_frames=num_frames)
    return masks


class _PictureMasks(ABC):
    """Masks stored one picture each; sizes are compared when opened, pixels are read when asked for."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        pictures = [name for name in names if _is_picture(name)]
        if not pictures:
            raise MaskError(f"masks {path}: no images in it; expected one image per frame, or one for the whole clip")
        self.path = path
        self._names = sorted(pictures, key=_natural)
        self.num_frames = len(pictures)
        self.height, self.width = self._size(self._names[0])
        for name in self._names[1:]:
            height, width = self._size(name)
            if (height, width) != (self.height, self.width):
                raise MaskError(
                    f"masks {path}: {name} is {width}x{height} but {self._names[0]} is {self.width}x{self.height}; "
                    "all masks of a clip have one size"
                )

    def read(self, indices: Sequence[int]) -> NDArray[np.bool_]:
        """Read masks: ``(len(indices), H, W)`` bool, true = hole."""
        check_indices(indices, self.num_frames)
        masks = np.zeros((len(indices), self.height, self.width), dtype=bool)
        for place, index in enumerate(indices):
            name = self._names[index]
            masks[place] = read_picture(self._open(name), name=f"{self.path}/{name}")
        return masks

    def _size(self, name: str) -> tuple[int, int]:
        return picture_size(self._open(name), name=f"{self.path}/{name}")

    @abstractmethod
    def _open(self, name: str) -> Path | IO[bytes]: ...


class FolderMasks(_PictureMasks):
    """Masks in a folder, one picture per frame, in the order of their names (numbers by value).

    Args:
        path: the folder; files that are no pictures and hidden files are passed over.

    Raises:
        MaskError: if there is no picture, or sizes differ.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, os.listdir(path))

    def _open(self, name: str) -> Path:
        return self.path / name


class ZipMasks(_PictureMasks):
    """Masks in a zip file, one picture per frame, in the order of their names (numbers by value).

    Args:
        path: the zip file; members that are no pictures and hidden members are passed over.

    Raises:
        MaskError: if it is no zip file, holds no picture, or sizes differ.
    """

    def __init__(self, path: Path) -> None:
        self._file: tuple[int, ZipFile] | None = None
        self._path = path
        super().__init__(path, self._zip().namelist())

    def _zip(self) -> ZipFile:
        # A file opened before a fork shares its position with the child, so each process opens its own.
        if self._file is None or self._file[0] != os.getpid():
            try:
                self._file = (os.getpid(), ZipFile(self._path))
            except (BadZipFile, OSError) as error:
                raise MaskError(f"masks {self._path} cannot be read as a zip file ({error}): pack it again") from error
        return self._file[1]

    def _open(self, name: str) -> IO[bytes]:
        try:
            return io.BytesIO(self._zip().read(name))
        except (BadZipFile, OSError, zlib.error) as error:
            raise MaskError(f"mask {self._path}/{name} is damaged ({error}): pack the zip again") from error

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_file": None}


class VideoMasks:
    """Masks in a video file.

    Args:
        path: the video; a pixel is a hole where its brightest channel is 128 or more.

    Raises:
        MaskError: if the video cannot be read.
    """

    def __init__(self, path: Path) -> None:
        from vinpaint.video import open_clip

        try:
            self._clip = open_clip(path)
        except ClipError as error:
            raise MaskError(f"masks: {error}") from error
        self.num_frames, self.height, self.width = self._clip.num_frames, self._clip.height, self._clip.width
        self._name = str(path)

    def read(self, indices: Sequence[int]) -> NDArray[np.bool_]:
        """Read masks: ``(len(indices), H, W)`` bool, true = hole."""
        check_indices(indices, self.num_frames)
        try:
            frames = self._clip.read(indices)
        except ClipError as error:
            raise MaskError(f"masks: {error}") from error
        return threshold(frames, name=self._name)


def _is_picture(name: str) -> bool:
    parts = Path(name).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and Path(name).suffix.lower() in IMAGE_SUFFIXES


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key by which ``frame10`` follows ``frame9``."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
