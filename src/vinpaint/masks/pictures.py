"""What counts as a hole in a stored picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vinpaint.masks.protocols import MaskError

_T = TypeVar("_T")

MOST_OBJECTS = 32
"""Levels up to which a grey picture is taken to number objects; no segmentation set has as many in a frame."""

_LOSSY = {"JPEG", "MPO", "WEBP", "AVIF", "JPEG2000"}
_LOSSY_THRESHOLD = 128
_BLACK = 32  # compression lifts black by a few levels, never by this many


def read_picture(source: Path | IO[bytes], name: str) -> NDArray[np.bool_]:
    """Read one mask.

    A pixel is a hole where it is not black: any nonzero level of a grey picture (labels of objects are often numbered
    1, 2, 3), any nonzero index of a palette picture, any nonzero channel of a colour picture. Where a picture has an
    alpha channel that is not opaque throughout, transparent pixels are no hole; a picture black throughout is then
    read by its alpha alone. Formats that compress with loss (JPEG, WebP, AVIF) blur the border of a hole, so there a
    pixel is a hole from half brightness on.

    Args:
        source: file, or an open binary stream.
        name: what to call the picture in an error.

    Returns:
        ``(H, W)`` bool, true = hole.

    Raises:
        MaskError: if it is no picture, is damaged, or is a lossy picture too dark to hold a mask.
    """
    return _open(source, name, lambda image: _lossy(image, name) if image.format in _LOSSY else _holes(image))


def read_objects(source: Path | IO[bytes], name: str) -> NDArray[np.integer]:
    """Read one mask with its objects apart.

    Grey levels and palette indices number objects; a picture with more than :data:`MOST_OBJECTS` levels numbers none
    (its edges are smooth), and one in colour, with an alpha channel, in one bit or compressed with loss cannot.

    Args:
        source: file, or an open binary stream.
        name: what to call the picture in an error.

    Returns:
        ``(H, W)`` unsigned, 0 where there is no hole, else the object's number; all of the hole is object 1 where none
        are numbered. Its nonzero pixels are those of :func:`read_picture`.

    Raises:
        MaskError: as :func:`read_picture`.
    """

    def objects(image: Image.Image) -> NDArray[np.integer]:
        if image.format in _LOSSY:
            return _lossy(image, name).astype(np.uint8)
        if image.mode in ("L", "P"):
            labels = np.asarray(image)
            if np.count_nonzero(np.bincount(labels.ravel(), minlength=256)[1:]) <= MOST_OBJECTS:
                return labels
        return _holes(image).astype(np.uint8)

    return _open(source, name, objects)


def picture_size(source: Path | IO[bytes], name: str) -> tuple[int, int]:
    """Height and width of a picture in pixels, from its header alone."""
    return _open(source, name, lambda image: (image.height, image.width))


def threshold(frames: NDArray[np.uint8], name: str) -> NDArray[np.bool_]:
    """Find the holes of masks that were compressed with loss.

    Args:
        frames: ``(N, H, W, 3)`` uint8 RGB.
        name: what to call the masks in an error.

    Returns:
        ``(N, H, W)`` bool, true where the brightest channel is 128 or more.

    Raises:
        MaskError: if a frame is neither black nor anywhere as bright as 128: labels do not survive such compression.
    """
    level = frames.max(axis=-1)
    brightest = level.max(axis=(1, 2), initial=0)
    if ((brightest >= _BLACK) & (brightest < _LOSSY_THRESHOLD)).any():
        raise MaskError(
            f"mask {name} is compressed with loss and its brightest pixel is {int(brightest.max())}: expected white "
            "(255) holes; save labels as PNG"
        )
    return np.asarray(level >= _LOSSY_THRESHOLD)


def _open(source: Path | IO[bytes], name: str, read: Callable[[Image.Image], _T]) -> _T:
    try:
        with Image.open(source) as image:
            return read(image)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise MaskError(f"mask {name} cannot be read as an image ({_reason(error)}): save it again, as PNG") from error


def _lossy(image: Image.Image, name: str) -> NDArray[np.bool_]:
    return np.asarray(threshold(np.asarray(image.convert("RGB"))[None], name)[0])


def _holes(image: Image.Image) -> NDArray[np.bool_]:
    if image.mode in ("1", "L", "P", "F") or image.mode.startswith("I"):
        return np.asarray(np.asarray(image) != 0)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        channels = np.asarray(image.convert("RGBA"))
        colour: NDArray[np.bool_] = channels[..., :3].max(axis=-1) > 0
        alpha = channels[..., 3]
        if (alpha == 255).all():
            return colour
        # RGBA that is transparent somewhere but nowhere coloured: painted in black on nothing
        return (alpha > 0) if not colour[alpha > 0].any() else colour & (alpha > 0)
    return np.asarray(np.asarray(image.convert("RGB")).max(axis=-1) > 0)


def _reason(error: Exception) -> str:
    return "unknown format" if isinstance(error, UnidentifiedImageError) else str(error).split("\n", maxsplit=1)[0]
