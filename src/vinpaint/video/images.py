"""Clips stored as one image per frame."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from vinpaint.video.clip import ClipError, check_indices
from vinpaint.video.image_files import decode_image, image_size, open_store


class ImageClip:
    """A clip of which every frame is an image: a folder, a zip or a single file.

    Greyscale, palette, alpha, CMYK and 16-bit images become 8-bit RGB: alpha is dropped (the stored colour stays),
    16-bit samples keep their upper byte. The orientation tag of a photograph is applied. Nothing decoded is kept,
    so memory does not depend on the length. Threads may read at once, and copies may cross processes.

    Args:
        path: a folder (the images directly in it, in natural order, without hidden files), a zip of images that lie
            in one folder, or one image.
        frame_rate: frames per second, which images do not tell.
        verify: look at the size of every image now, so that an odd one is reported before work starts (under 0.1 ms
            an image); otherwise it is reported when it is read.

    Raises:
        ClipError: if there is no image, one cannot be read, or two sizes differ.
    """

    def __init__(self, path: str | os.PathLike[str], *, frame_rate: Fraction | int = 24, verify: bool = True) -> None:
        self.path = Path(path)
        self.name = self.path.resolve().name if self.path.is_dir() else self.path.stem
        self.frame_rate = Fraction(frame_rate)
        self.store = open_store(self.path)
        self.num_frames = len(self.store.names)
        self.width, self.height = image_size(self.store, self.store.names[0])
        if verify:
            for name in self.store.names[1:]:
                self._check_size(name, image_size(self.store, name))

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Decode frames ``(len(indices), H, W, 3)`` uint8 RGB; the indices may repeat and come in any order."""
        numbers = check_indices(self, indices)
        frames = np.empty((len(numbers), self.height, self.width, 3), np.uint8)
        for number in np.unique(numbers):
            name = self.store.names[number]
            image = decode_image(self.store, name)
            self._check_size(name, (image.shape[1], image.shape[0]))
            frames[numbers == number] = image
        return frames

    def close(self) -> None:
        """Close the zip; safe to call twice, and a later read opens it again."""
        self.store.close()

    def __enter__(self) -> ImageClip:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_size(self, name: str, size: tuple[int, int]) -> None:
        if size != (self.width, self.height):
            raise ClipError(
                f"{self.store.label(name)}: {size[0]}x{size[1]}, but the first frame is {self.width}x{self.height}; "
                "give frames of one size"
            )
