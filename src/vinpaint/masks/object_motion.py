"""Object shapes that turn, grow and drift through the frame by random steps."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vinpaint.masks.protocols import MaskError
from vinpaint.masks.random_motion import AffineRange, fold, outwards
from vinpaint.masks.shapes import DrawnShapes, Shape, ShapeBank

_TRIES = 20  # sets of shapes; almost all can be scaled to a hole of the area that was drawn
_FITS = 8  # scalings of one set
_STRENGTHS = (1.0, 1.0, 1.0, 0.5, 0.25, 0.0)  # a path that leaves the bounds is drawn again, in the end as no motion
_SMALLEST_GROWTH, _LARGEST_GROWTH = 0.4, 2.5  # of an object over a long clip, as a factor on its area
_NEAREST_TO_BORDER = 0.08  # share of the frame that an object's middle keeps from the border of the middle frame


class ObjectMotionMask:
    """One to a few object shapes that move by random affine steps, drawn outwards from the middle frame.

    The hole of every frame stays within the given share of the frame: shapes are scaled to an area drawn for the
    middle frame, and paths that leave the bounds are drawn again, more slowly at last. An object's middle is reflected
    at the frame's border.

    Args:
        folder: mask bank with folders of pictures, zips, mask videos or single pictures; shapes are drawn by program
            when not given.
        motion: range of one step, about the middle of the object; that of the constructor's default when not given.
        velocity: further motion that is constant over a clip, up to this share of the frame's sides per frame.
        min_objects: fewest objects.
        max_objects: most objects.
        min_area: smallest share of a frame that the hole covers.
        max_area: largest such share.
        static_probability: share of the clips whose holes stand still, 0 to 1.
        dilation_probability: share of the clips whose holes are grown, 0 to 1.
        min_dilation: least growth of the border, as a share of the frame's shorter side.
        max_dilation: most growth.
        flip_probability: share of the objects that are mirrored left to right, 0 to 1.

    Raises:
        MaskError: if a range is empty or a probability lies outside 0 to 1; on drawing, if the bank holds no shape.

    Source: training data of CPNet (arXiv:1908.11587) and STRA-Net (BMVC 2021), whose ranges are not published; the
    steps are about twice those of the only public re-implementation's background.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        motion: AffineRange | None = None,
        velocity: float = 0.04,
        min_objects: int = 1,
        max_objects: int = 3,
        min_area: float = 0.05,
        max_area: float = 0.4,
        static_probability: float = 0.2,
        dilation_probability: float = 0.3,
        min_dilation: float = 0.006,
        max_dilation: float = 0.03,
        flip_probability: float = 0.5,
    ) -> None:
        for what, low, high, smallest, largest in (
            ("objects", min_objects, max_objects, 1, np.inf),
            ("areas", min_area, max_area, 0, 1),
            ("dilations", min_dilation, max_dilation, 0, 1),
        ):
            if not smallest <= low <= high <= largest:
                raise MaskError(f"{what} {low} to {high}: expected {smallest} <= min <= max <= {largest}")
        if not 0 < min_area < max_area:
            raise MaskError(f"areas {min_area} to {max_area}: expected 0 < min_area < max_area")
        for name, share in (
            ("static_probability", static_probability),
            ("dilation_probability", dilation_probability),
            ("flip_probability", flip_probability),
        ):
            if not 0 <= share <= 1:
                raise MaskError(f"{name} {share}: expected 0 to 1")
        if velocity < 0:
            raise MaskError(f"velocity {velocity}: expected 0 or more")
        self.shapes: ShapeBank | DrawnShapes = DrawnShapes() if folder is None else ShapeBank(folder)
        if motion is None:
            motion = AffineRange(rotation=10.0, scale=0.1, anisotropy=0.0, shear=5.0, translation=0.08)
        self.motion = motion
        self.velocity = velocity
        self.min_objects, self.max_objects = min_objects, max_objects
        self.min_area, self.max_area = min_area, max_area
        self.static_probability = static_probability
        self.dilation_probability = dilation_probability
        self.min_dilation, self.max_dilation = min_dilation, max_dilation
        self.flip_probability = flip_probability

    def __call__(self, num_frames: int, height: int, width: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Draw shapes and their paths: ``(num_frames, height, width)`` bool, true = hole."""
        size = np.array([width, height], dtype=np.float64)
        growth = 0
        if rng.random() < self.dilation_probability:
            growth = max(round(rng.uniform(self.min_dilation, self.max_dilation) * min(height, width)), 1)
        still = rng.random() < self.static_probability
        shapes, start = self._middle(size, growth, rng)
        for strength in (0.0,) if still else _STRENGTHS:
            paths = [self._path(num_frames, matrix, size, strength, rng) for matrix in start]
            masks = np.zeros((num_frames, height, width), np.uint8)
            for frame, mask in enumerate(masks):
                _lay(mask, shapes, [path[frame] for path in paths], growth)
            if self._within(masks):
                break
        return masks.astype(bool)

    def _middle(
        self, size: NDArray[np.float64], growth: int, rng: np.random.Generator
    ) -> tuple[list[Shape], list[NDArray[np.float64]]]:
        """Choose shapes and lay them into the middle frame: shapes, and maps ``(2, 3)`` from their middles."""
        width, height = size
        canvas = np.zeros((int(height), int(width)), np.uint8)
        for _ in range(_TRIES):
            count = int(rng.integers(self.min_objects, self.max_objects + 1))
            shapes = [self._mirrored(self.shapes.draw(rng), rng) for _ in range(count)]
            area = rng.uniform(self.min_area, self.max_area)
            shares = rng.dirichlet(np.full(count, 3.0))
            centres = rng.uniform(_NEAREST_TO_BORDER, 1 - _NEAREST_TO_BORDER, (count, 2)) * size
            scales = np.sqrt(shares * area * width * height / np.array([max(shape.sum(), 1) for shape in shapes]))
            for _ in range(_FITS):
                maps = [
                    np.column_stack((scale * np.eye(2), centre)) for scale, centre in zip(scales, centres, strict=True)
                ]
                _lay(canvas, shapes, maps, growth)
                covered = float(canvas.mean())
                if self._within(canvas[None]) and abs(covered / area - 1) < 0.1:
                    return shapes, maps
                # where the border cuts an object or objects overlap, less is covered than their areas
                scales *= np.clip(np.sqrt(area / max(covered, 1e-4)), 0.5, 2.0)
            if self._within(canvas[None]):
                return shapes, maps
        raise MaskError(
            f"{_TRIES} sets of shapes in a row could not be scaled to cover {self.min_area:g} to {self.max_area:g} of "
            f"{int(width)}x{int(height)}: widen min_area and max_area, or lower max_dilation"
        )

    def _path(
        self,
        num_frames: int,
        start: NDArray[np.float64],
        size: NDArray[np.float64],
        strength: float,
        rng: np.random.Generator,
    ) -> list[NDArray[np.float64]]:
        """Maps ``(2, 3)`` from a shape's middle into every frame."""
        velocity = strength * self.velocity * rng.uniform(-1, 1, 2)
        linear = {num_frames // 2: np.eye(2)}
        shift = {num_frames // 2: np.zeros(2)}
        for frame, before in outwards(num_frames):
            step, move = self.motion.draw(rng, strength=strength)
            grown = step @ linear[before]
            within = _SMALLEST_GROWTH < np.linalg.det(grown) < _LARGEST_GROWTH
            linear[frame] = grown if within else linear[before]
            shift[frame] = shift[before] + (move + (frame - before) * velocity) * size
        return [
            np.column_stack((linear[frame] @ start[:, :2], fold(start[:, 2] + shift[frame], size)))
            for frame in range(num_frames)
        ]

    def _within(self, masks: NDArray[np.uint8]) -> bool:
        covered = masks.mean(axis=(1, 2))
        return bool((covered >= self.min_area).all() and (covered <= self.max_area).all())

    def _mirrored(self, shape: Shape, rng: np.random.Generator) -> Shape:
        return np.ascontiguousarray(shape[:, ::-1]) if rng.random() < self.flip_probability else shape


def _lay(canvas: NDArray[np.uint8], shapes: list[Shape], maps: list[NDArray[np.float64]], growth: int) -> None:
    """Write shapes, given by maps from their middles, into a canvas in place."""
    height, width = canvas.shape
    canvas[:] = 0
    for shape, matrix in zip(shapes, maps, strict=True):
        middle = (np.array(shape.shape[::-1]) - 1) / 2
        into = np.column_stack((matrix[:, :2], matrix[:, 2] - matrix[:, :2] @ middle))
        laid = cv2.warpAffine(shape * 255, into, (width, height), flags=cv2.INTER_LINEAR, borderValue=0)
        canvas |= (laid >= 128).astype(np.uint8)  # smoother than nearest where a small shape is enlarged
    if growth:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * growth + 1, 2 * growth + 1))
        canvas[:] = cv2.dilate(canvas, kernel)
