"""A folder of photographs, decoded when they are asked for and kept up to a bound."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vinpaint.data.kept import KeptPictures
from vinpaint.data.name_patterns import select_names
from vinpaint.data.sources import DataError
from vinpaint.video.image_files import IMAGE_SUFFIXES, decode_image, open_store


class Photographs:
    """Photographs by number.

    Args:
        root: the folder.
        images: which of its files are photographs, as a pattern relative to ``root``; ``**/*`` looks into folders.
        include: only those whose file name without suffix matches one of these names or patterns; all when not given.
        exclude: none of those whose name matches one of these.
        cache_megabytes: decoded photographs kept, per process, in 10^6 bytes.

    Raises:
        DataError: on first use, if there are none.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        images: str = "*",
        include: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        cache_megabytes: int = 256,
    ) -> None:
        self.root = Path(root).expanduser()
        self.images = images
        self.include = include
        self.exclude = exclude
        self._kept = KeptPictures(cache_megabytes)

    @cached_property
    def paths(self) -> list[Path]:
        """The files, in the order of their paths."""
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder; name one that holds photographs")
        found = sorted(
            path
            for path in self.root.glob(self.images)
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
        )
        if not found:
            kinds = ", ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
            raise DataError(f"{self.root}: nothing matches {self.images}; expected photographs ({kinds})")
        names = [path.stem for path in found]
        chosen = set(select_names(names, include=self.include, exclude=self.exclude, where=str(self.root)))
        return [path for path in found if path.stem in chosen]

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        """Name of a photograph: its file name without suffix."""
        return self.paths[index].stem

    def read(self, index: int) -> NDArray[np.uint8]:
        """Decode a photograph, or take it from those that are kept: ``(H, W, 3)`` uint8 RGB, not to be written to.

        Raises:
            ClipError: if it cannot be read.
        """
        if index in self._kept:
            return self._kept[index]
        store = open_store(self.paths[index])
        return self._kept.keep(index, decode_image(store, store.names[0]))


def covering(picture: NDArray[np.uint8], *, cover: float, height: int, width: int) -> tuple[NDArray[np.uint8], float]:
    """Scale a picture so that it covers a frame, leaving the enlarging to whoever warps it.

    A warp samples points, so what is finer than the frame is averaged away before.

    Args:
        picture: ``(H, W, 3)`` uint8.
        cover: times the frame's sides that it is to cover at least, 1 or more.
        height: rows of the frame.
        width: columns of the frame.

    Returns:
        The picture, reduced where it was too fine, and the pixels of the frame per pixel of it, 1 or more.
    """
    rows, columns = picture.shape[:2]
    scale = cover * max(height / rows, width / columns)
    if scale >= 1:
        return picture, scale
    size = (max(round(columns * scale), width), max(round(rows * scale), height))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8), 1.0
