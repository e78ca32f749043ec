"""Clips made by program: textured layers that move over each other, with the true motion known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from types import TracebackType
from typing import overload

import cv2
import numpy as np
from numpy.typing import NDArray

from vinpaint.data.scenes import Affine, Layer, Scene, random_scene
from vinpaint.data.sources import DataError
from vinpaint.video import ClipReader

_SMALLEST = 8  # pixels of a side; textures need a few
_HALF = 128  # coverage from which a layer counts as what is seen


def _check_size(num_frames: int, height: int, width: int) -> None:
    if num_frames < 1 or min(height, width) < _SMALLEST:
        raise DataError(
            f"procedural clip of {num_frames} frames of {width}x{height}: expected at least 1 frame of "
            f"{_SMALLEST}x{_SMALLEST}"
        )


class ProceduralClip:
    """One random scene seen by a moving camera: parallax, occlusion, and motion by parts of a pixel.

    The backdrop, the ground, the objects and what stands in front each move rigidly (shift, turn, zoom) on smooth
    paths, so the true flow is known. Frames are drawn when they are read, in any order, and no draw depends on another.

    Args:
        seed: which scene; the same seed is the same clip whatever its length.
        num_frames: length of the clip.
        height: rows in pixels.
        width: columns in pixels.
        frame_rate: frames per second.
        name: what to call the clip; ``procedural-<seed>`` when not given.

    Raises:
        DataError: if there is no frame, or a side is shorter than 8 pixels.
    """

    def __init__(
        self,
        seed: int | Sequence[int] = 0,
        *,
        num_frames: int = 60,
        height: int = 240,
        width: int = 432,
        frame_rate: Fraction | int = 24,
        name: str | None = None,
    ) -> None:
        _check_size(num_frames, height, width)
        self._seed = seed
        self.num_frames = num_frames
        self.height = height
        self.width = width
        self.frame_rate = Fraction(frame_rate)
        self.name = name or "procedural-" + "-".join(str(part) for part in np.atleast_1d(np.asarray(seed)))

    @cached_property
    def _scene(self) -> Scene:
        return random_scene(self.height, self.width, np.random.default_rng(self._seed))

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Draw frames: ``(len(indices), H, W, 3)`` uint8 RGB."""
        frames = np.empty((len(indices), self.height, self.width, 3), np.uint8)
        for place, index in enumerate(indices):
            self._check(index)
            self._draw(index, frames[place])
        return frames

    def flow(self, index: int, *, target: int | None = None) -> NDArray[np.float32]:
        """True motion of what is seen in a frame.

        Args:
            index: the frame.
            target: where to, any frame of the clip; the next one when not given.

        Returns:
            ``(2, H, W)`` float32 in pixels, channel 0 = x: what is at ``(x, y)`` in frame ``index`` is at ``(x + u,
            y + v)`` in frame ``target``, whether or not it is visible there.
        """
        target = index + 1 if target is None else target
        self._check(index, target)
        labels, grid = self._labels(index), self._grid()
        flow = np.zeros((2, self.height, self.width), np.float32)
        for number, layer in enumerate(self._scene.layers):
            seen = labels == number
            if seen.any():
                between = self._to_frame(layer, target) @ np.linalg.inv(self._to_frame(layer, index))
                flow[:, seen] = (between[:2] @ grid[:, seen] - grid[:2, seen]).astype(np.float32)
        return flow

    def occluded(self, index: int, *, target: int | None = None) -> NDArray[np.bool_]:
        """What of a frame is hidden or out of sight in another.

        Args:
            index: the frame.
            target: the other frame; the next one when not given.

        Returns:
            ``(H, W)`` bool, true where what is seen at a pixel of frame ``index`` is not seen in frame ``target``.
        """
        target = index + 1 if target is None else target
        flow, here, there = self.flow(index, target=target), self._labels(index), self._labels(target)
        x, y = (self._grid()[:2] + flow)[:2]
        slack = 1e-3  # pixels; rounding must not push a border that stays where it is out of sight
        outside = (x < -slack) | (y < -slack) | (x > self.width - 1 + slack) | (y > self.height - 1 + slack)
        columns = np.round(x).clip(0, self.width - 1).astype(int)
        rows = np.round(y).clip(0, self.height - 1).astype(int)
        return np.asarray(outside | (there[rows, columns] != here))

    def close(self) -> None:
        """Nothing is held open."""

    def __enter__(self) -> ProceduralClip:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self, *indices: int) -> None:
        for index in indices:
            if not 0 <= index < self.num_frames:
                raise IndexError(f"{self.name}: frame {index} of {self.num_frames}")

    def _to_frame(self, layer: Layer, time: int) -> Affine:
        return layer.to_frame(time, self._scene.camera, ((self.width - 1) / 2, (self.height - 1) / 2))

    def _grid(self) -> NDArray[np.float64]:
        y, x = np.mgrid[: self.height, : self.width].astype(np.float64)
        return np.stack((x, y, np.ones_like(x)))

    def _draw(self, time: int, frame: NDArray[np.uint8]) -> None:
        for layer in self._scene.layers:
            window, picture = self._warp(layer, time)
            if layer.covers_all:
                frame[window] = picture
            else:
                cover = picture[..., 3:].astype(np.uint16)
                mixed = cover * picture[..., :3] + (255 - cover) * frame[window] + 128
                frame[window] = (mixed + (mixed >> 8)) >> 8  # a division by 255 that rounds, within 16 bits

    def _warp(self, layer: Layer, time: int) -> tuple[tuple[slice, slice], NDArray[np.uint8]]:
        """The part of the frame that a layer reaches, perhaps empty, and the layer as it lies there."""
        matrix = self._to_frame(layer, time)
        left, top, right, bottom = 0, 0, self.width, self.height
        if not layer.endless:
            h, w = layer.picture.shape[:2]
            corners = (matrix @ np.array([[0, w - 1, 0, w - 1], [0, 0, h - 1, h - 1], [1, 1, 1, 1]]))[:2]
            left, top = (int(side) for side in np.floor(corners.min(axis=1)).clip(0))
            right, bottom = (int(side) for side in (np.ceil(corners.max(axis=1)) + 1).clip(None, (right, bottom)))
        if left >= right or top >= bottom:
            return (slice(0, 0), slice(0, 0)), np.empty((0, 0, 4), np.uint8)
        warped = cv2.warpAffine(
            layer.picture,
            matrix[:2] - np.array([[0, 0, left], [0, 0, top]]),
            (right - left, bottom - top),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101 if layer.endless else cv2.BORDER_CONSTANT,
        )
        return (slice(top, bottom), slice(left, right)), np.asarray(warped, dtype=np.uint8)

    def _labels(self, time: int) -> NDArray[np.int64]:
        """Number of the layer seen at every pixel, ``(H, W)``."""
        labels = np.zeros((self.height, self.width), np.int64)
        for number, layer in enumerate(self._scene.layers):
            if not layer.covers_all:
                window, picture = self._warp(layer, time)
                labels[window][picture[..., 3] >= _HALF] = number
        return labels


@dataclass(frozen=True)
class ProceduralSource:
    """A procedural clip, not yet drawn; it has no masks of its own."""

    name: str
    seed: tuple[int, int]
    num_frames: int
    height: int
    width: int

    def open(self) -> ProceduralClip:
        """Prepare the clip."""
        return ProceduralClip(
            self.seed, num_frames=self.num_frames, height=self.height, width=self.width, name=self.name
        )

    def open_masks(self, clip: ClipReader) -> None:
        """Have none."""


class ProceduralClips(Sequence[ProceduralSource]):
    """A data set of clips made by program, which needs no file.

    Args:
        num_clips: how many; they cost nothing until they are drawn.
        num_frames: length of each.
        height: rows in pixels.
        width: columns in pixels.
        seed: another seed is another set; clips of two seeds have nothing in common.

    Raises:
        DataError: if there are no clips or frames, or a side is shorter than 8 pixels.
    """

    def __init__(
        self, *, num_clips: int = 100, num_frames: int = 60, height: int = 240, width: int = 432, seed: int = 0
    ) -> None:
        _check_size(num_frames, height, width)
        if num_clips < 1:
            raise DataError(f"a set of {num_clips} procedural clips: expected at least 1")
        self.num_clips = num_clips
        self.num_frames = num_frames
        self.height = height
        self.width = width
        self.seed = seed

    def __len__(self) -> int:
        return self.num_clips

    @overload
    def __getitem__(self, index: int) -> ProceduralSource: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[ProceduralSource]: ...

    def __getitem__(self, index: int | slice) -> ProceduralSource | Sequence[ProceduralSource]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(self.num_clips))]
        if not -self.num_clips <= index < self.num_clips:
            raise IndexError(f"clip {index} of {self.num_clips}")
        number = index % self.num_clips
        name = f"procedural-{self.seed}-{number:06d}"
        return ProceduralSource(name, (self.seed, number), self.num_frames, self.height, self.width)
