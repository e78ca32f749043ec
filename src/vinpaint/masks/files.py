"""Masks from files: a folder of pictures, a zip of them, a video, one picture, or a box."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TypeVar
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from vinpaint.masks.box import is_box, parse_box
from vinpaint.masks.pictures import picture_size, read_picture, threshold
from vinpaint.masks.protocols import MaskError, MaskSequence
from vinpaint.masks.sequences import DilatedMasks, StillMasks, check_indices
from vinpaint.video import ClipError, open_clip
from vinpaint.video.image_files import IMAGE_SUFFIXES, open_store

_T = TypeVar("_T")


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


def open_sequence(path: Path, *, verify: bool = True) -> MaskSequence:
    """Open stored masks without a clip to fit: as many and as large as they are.

    Args:
        path: a folder of pictures, a zip of pictures, one picture or a mask video.
        verify: compare the sizes of all pictures now rather than when they are read.

    Returns:
        The masks, read as they are asked for.

    Raises:
        MaskError: if nothing is there, or it cannot be read, or the pictures differ in size.
    """
    if not path.exists():
        raise MaskError(
            f"masks {path}: no such file or folder; give a folder of images, a zip, a video, one image, "
            "or a box x,y,w,h"
        )
    if path.is_dir() or path.suffix.lower() == ".zip":
        return PictureMasks(path, verify=verify)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return StillMasks(read_picture(path, str(path)), num_frames=1)
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


class PictureMasks:
    """Masks stored one picture each, in a folder or a zip, in the order of their names (numbers by value).

    Pixels are read when asked for.

    Args:
        path: the folder or zip; files that are no pictures and hidden files are passed over.
        verify: compare the sizes of all pictures now, so that an odd one is reported before work starts; otherwise it
            is reported when it is read.

    Raises:
        MaskError: if it cannot be listed, holds no picture, or sizes differ.
    """

    def __init__(self, path: Path, *, verify: bool = True) -> None:
        try:
            self._store = open_store(path)
        except ClipError as error:
            raise MaskError(f"masks: {error}") from error
        names = self._store.names
        self.num_frames = len(names)
        self.height, self.width = self._read(names[0], picture_size)
        for name in names[1:] if verify else ():
            self._check_size(name, self._read(name, picture_size))

    def read(self, indices: Sequence[int]) -> NDArray[np.bool_]:
        """Read masks: ``(len(indices), H, W)`` bool, true = hole."""
        check_indices(indices, self.num_frames)
        masks = np.zeros((len(indices), self.height, self.width), dtype=bool)
        for place, index in enumerate(indices):
            name = self._store.names[index]
            mask = self._read(name, read_picture)
            self._check_size(name, mask.shape)
            masks[place] = mask
        return masks

    def _check_size(self, name: str, size: tuple[int, ...]) -> None:
        if size != (self.height, self.width):
            raise MaskError(
                f"mask {self._store.label(name)} is {size[1]}x{size[0]} but {self._store.names[0]} is "
                f"{self.width}x{self.height}; all masks of a clip have one size"
            )

    def _read(self, name: str, read: Callable[[IO[bytes], str], _T]) -> _T:
        label = self._store.label(name)
        try:
            with self._store.open(name) as file:
                return read(file, label)
        except (BadZipFile, OSError, zlib.error) as error:
            raise MaskError(f"mask {label} is damaged ({error}): save it again") from error


class VideoMasks:
    """Masks in a video file.

    Args:
        path: the video; a pixel is a hole where its brightest channel is 128 or more.

    Raises:
        MaskError: if the video cannot be read.
    """

    def __init__(self, path: Path) -> None:
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
        return threshold(frames, self._name)
