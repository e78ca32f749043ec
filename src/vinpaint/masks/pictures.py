"""What counts as a hole in a stored picture."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vinpaint.masks.protocols import MaskError

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
    try:
        with Image.open(source) as image:
            if image.format in _LOSSY:
                (mask,) = threshold(np.asarray(image.convert("RGB"))[None], name)
                return np.asarray(mask)
            return _holes(image)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise MaskError(f"mask {name} cannot be read as an image ({_reason(error)}): save it again, as PNG") from error


def picture_size(source: Path | IO[bytes], name: str) -> tuple[int, int]:
    """Height and width of a picture in pixels, from its header alone."""
    try:
        with Image.open(source) as image:
            return image.height, image.width
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise MaskError(f"mask {name} cannot be read as an image ({_reason(error)}): save it again, as PNG") from error


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
