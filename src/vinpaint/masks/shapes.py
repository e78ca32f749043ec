"""Single object shapes, as pieces to be laid over a frame: from recorded masks, or drawn."""

from __future__ import annotations

import zlib
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np
from numpy.typing import NDArray

from vinpaint.masks.bank import list_bank
from vinpaint.masks.contours import fill_contour, smooth_contour
from vinpaint.masks.files import open_sequence
from vinpaint.masks.pictures import read_objects
from vinpaint.masks.protocols import MaskError
from vinpaint.video import ClipError
from vinpaint.video.image_files import IMAGE_SUFFIXES, ImageStore, open_store

Shape = NDArray[np.uint8]  # (h, w) in {0, 1}, tight around the object

_DRAWS = 20  # pictures tried before a bank is called empty: objects leave the frame for a while
_DRAWN_SIDE = 256  # pixels; finer than the holes that drawn shapes are scaled to
_SMALLEST_PIECE = 0.03  # share of its object's area
_DUST = 12  # pixels; a piece with fewer has no shape


class ShapeBank:
    """Shapes of the objects in recorded masks; one picture is read per draw, and nothing before.

    Where a picture numbers its objects (grey levels or palette indices), one of them is taken.

    Args:
        folder: holds folders of pictures, zips of pictures, mask videos or single pictures.
        smallest: share of its picture that an object has to cover, so that specks of a segmentation are no shapes.

    Raises:
        MaskError: on drawing, if there is nothing to read.
    """

    def __init__(self, folder: str | Path, *, smallest: float = 0.002) -> None:
        self.folder = Path(folder).expanduser()
        self.smallest = smallest
        self._stores: dict[Path, ImageStore] = {}

    @cached_property
    def _entries(self) -> list[Path]:
        return list_bank(self.folder)

    def draw(self, rng: np.random.Generator) -> Shape:
        """Choose a sequence, a picture and an object."""
        for _ in range(_DRAWS):
            objects = self._read(self._entries[int(rng.integers(len(self._entries)))], rng)
            areas = np.bincount(objects.ravel(), minlength=2)
            large = 1 + np.flatnonzero(areas[1:] >= max(self.smallest * objects.size, _DUST))
            if len(large):
                return _tight(_without_dust(_tight(objects == large[int(rng.integers(len(large)))])))
        raise MaskError(f"mask bank {self.folder}: {_DRAWS} draws in a row held no object; are the masks black?")

    def _read(self, entry: Path, rng: np.random.Generator) -> NDArray[np.integer]:
        """One picture of a sequence, objects numbered from 1."""
        if not entry.is_dir() and entry.suffix.lower() not in {".zip", *IMAGE_SUFFIXES}:
            masks = open_sequence(entry, verify=False)
            (mask,) = masks.read([int(rng.integers(masks.num_frames))]).astype(np.uint8)
            return np.asarray(mask)
        if entry not in self._stores:
            try:
                self._stores[entry] = open_store(entry)
            except ClipError as error:
                raise MaskError(f"masks: {error}") from error
        store = self._stores[entry]
        name = store.names[int(rng.integers(len(store.names)))]
        label = store.label(name)
        try:
            with store.open(name) as file:
                return read_objects(file, label)
        except (BadZipFile, OSError, zlib.error) as error:
            raise MaskError(f"mask {label} is damaged ({error}): save it again") from error


class DrawnShapes:
    """Smooth closed shapes drawn at random: what to use where no recorded masks are at hand.

    Args:
        min_points: fewest points of the contour, at least 3.
        max_points: most points of the contour.
        roughness: a point's distance from the centre is between ``1 - roughness`` and 1 of the largest.
    """

    def __init__(self, *, min_points: int = 5, max_points: int = 10, roughness: float = 0.7) -> None:
        self.min_points, self.max_points, self.roughness = min_points, max_points, roughness

    def draw(self, rng: np.random.Generator) -> Shape:
        """Draw one shape, upright or lying."""
        count = int(rng.integers(self.min_points, self.max_points + 1))
        angles = np.arange(count) * (2 * np.pi / count)
        radius = rng.uniform(1 - self.roughness, 1, count) * _DRAWN_SIDE / 2.5
        stretch = np.exp(rng.uniform(-0.4, 0.4))
        points = np.stack((np.cos(angles) * stretch, np.sin(angles) / stretch), axis=1) * radius[:, None]
        contour = smooth_contour(points)
        contour -= contour.min(axis=0)
        columns, rows = np.ceil(contour.max(axis=0)).astype(int) + 1
        return _tight(fill_contour(contour, int(rows), int(columns)))


def _without_dust(shape: Shape) -> Shape:
    """Keep the pieces of an object that are not tiny beside it: recorded masks have loose pixels and threads."""
    _, pieces, table, _ = cv2.connectedComponentsWithStats(shape, connectivity=8)
    areas = table[:, cv2.CC_STAT_AREA]
    keep = areas >= _SMALLEST_PIECE * areas[1:].sum()
    keep[0] = False
    return keep.astype(np.uint8)[pieces] if keep.any() else shape


def _tight(mask: NDArray[np.bool_] | Shape) -> Shape:
    """Cut a mask to what it covers."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.ascontiguousarray(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], dtype=np.uint8)
