"""Clips of cut-out pictures that move over each other: large motion, parallax and occlusion, all of it known."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vinpaint.data.kept import KeptPictures
from vinpaint.data.moving_layers import Drift, MovingLayer, draw_layers, layered_flow
from vinpaint.data.photographs import Photographs, covering
from vinpaint.data.sources import DataError
from vinpaint.data.textures import random_texture
from vinpaint.data.windows import Window, WindowRequest, add_flow
from vinpaint.masks import AffineRange, MaskGenerator
from vinpaint.masks.shapes import DrawnShapes, ShapeBank
from vinpaint.ops.conversion import mask_to_tensor, to_tensor

_TEXTURE_COVER = 1.3  # sides of a picture made by program, of those of the frame
_ENDLESS = 100_000  # windows of an epoch where there are no photographs to count


class LayeredMotion:
    """Windows in which shapes cut out of pictures move over a moving picture, each on a smooth affine path of its own.

    The paths start from the middle frame. A cut-out moves with the backdrop and, beyond it, by itself. Most motion is
    small and some is very large: shifts per frame are log-normal. With two frames this is training data of optical
    flow; with more, clips with parallax and occlusion for networks that complete.

    Args:
        root: folder of photographs; pictures are made by program when not given.
        mask: what draws the holes; there are none when not given.
        images: which files of the folder are photographs, as a pattern; ``**/*`` looks into folders.
        include: only photographs whose name matches one of these names or patterns; all when not given.
        exclude: none of those whose name matches one of these.
        shapes: mask bank that cut-outs take their shape from; drawn by program when not given.
        min_layers: fewest cut-outs.
        max_layers: most cut-outs, at most 255.
        min_size: smallest longer side of a cut-out, as a share of the frame's shorter side.
        max_size: largest such side.
        steps: range of turning, growing, leaning and stretching per frame; the translation is not read.
        shift: median of the shift per frame in pixels, of the backdrop and of a cut-out beyond it.
        shift_spread: standard deviation of the logarithm of the shift.
        max_shift: longest shift per frame in pixels.
        curve: a path gains or loses up to this share of its pace per frame.
        static_probability: share of the windows whose backdrop stands still, 0 to 1.
        min_cover: the backdrop is scaled to cover at least this many times the frame's sides.
        max_cover: and at most this many times.
        tone: contrast, brightness and balance of colours of a window change by up to this share.
        jitter: brightness and contrast change from frame to frame by up to this share of full scale.
        jitter_probability: share of the windows in which they do.
        noise: levels (of 255) by which pixels of a frame are off, at most, either way; the bound is drawn per window.
        textures: different pictures made by program.
        texture_probability: share of the layers that show one of them where there are photographs.
        cache_megabytes: pictures kept, per process, in 10^6 bytes; both kinds have their own.

    Raises:
        DataError: if a range is empty or a probability lies outside 0 to 1; on drawing, if there are no photographs, or
            the motion is wanted as affine maps.

    Source: the idea is that of FlyingChairs (arXiv:1504.06852): objects under affine motion over photographs. Smooth
    paths over several frames, shapes, and all ranges are ours.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        mask: MaskGenerator | None = None,
        *,
        images: str = "*",
        include: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        shapes: str | Path | None = None,
        min_layers: int = 4,
        max_layers: int = 12,
        min_size: float = 0.12,
        max_size: float = 0.9,
        steps: AffineRange | None = None,
        shift: float = 3.0,
        shift_spread: float = 1.2,
        max_shift: float = 60.0,
        curve: float = 0.1,
        static_probability: float = 0.1,
        min_cover: float = 1.1,
        max_cover: float = 1.8,
        tone: float = 0.25,
        jitter: float = 0.02,
        jitter_probability: float = 0.5,
        noise: float = 4.0,
        textures: int = 200,
        texture_probability: float = 0.2,
        cache_megabytes: int = 400,
    ) -> None:
        for what, low, high, smallest, largest in (
            ("layers", min_layers, max_layers, 0, 255),
            ("sizes", min_size, max_size, 0.02, np.inf),
            ("covers", min_cover, max_cover, 1, np.inf),
            ("shifts", shift, max_shift, 0, np.inf),
        ):
            if not smallest <= low <= high <= largest:
                raise DataError(f"{what} {low} to {high}: expected {smallest} <= low <= high <= {largest}")
        for name, share in (
            ("static_probability", static_probability),
            ("jitter_probability", jitter_probability),
            ("texture_probability", texture_probability),
            ("tone", tone),
            ("jitter", jitter),
        ):
            if not 0 <= share <= 1:
                raise DataError(f"{name} {share}: expected 0 to 1")
        if textures < 1 or min(shift_spread, curve, noise) < 0:
            raise DataError(
                f"textures {textures}, shift_spread {shift_spread}, curve {curve}, noise {noise}: expected 1 or more "
                "textures, and 0 or more of the others"
            )
        self.photographs = None
        if root is not None:
            self.photographs = Photographs(
                root, images=images, include=include, exclude=exclude, cache_megabytes=cache_megabytes
            )
        self.mask = mask
        self.shapes: ShapeBank | DrawnShapes = DrawnShapes() if shapes is None else ShapeBank(shapes)
        self.min_layers, self.max_layers = min_layers, max_layers
        self.min_size, self.max_size = min_size, max_size
        self.steps = AffineRange() if steps is None else steps
        self.shift, self.shift_spread, self.max_shift = shift, shift_spread, max_shift
        self.curve = curve
        self.static_probability = static_probability
        self.min_cover, self.max_cover = min_cover, max_cover
        self.tone, self.jitter, self.jitter_probability, self.noise = tone, jitter, jitter_probability, noise
        self.textures = textures
        self.texture_probability = 1.0 if root is None else texture_probability
        self._kept = KeptPictures(cache_megabytes)

    def __len__(self) -> int:
        return _ENDLESS if self.photographs is None else len(self.photographs)

    def draw(self, number: int, rng: np.random.Generator, wanted: WindowRequest) -> Window:
        """Draw pictures, shapes and paths, and holes."""
        T, H, W = wanted.num_frames, wanted.height, wanted.width
        if wanted.motion == "affine":
            raise DataError("layers move apart, by no one affine map: set motion to flow or null")
        layers = self._layers(number, rng, wanted)
        drawn = [draw_layers(layers, time, H, W) for time in range(T)]
        frames = self._developed(np.stack([frame for frame, _ in drawn]), rng)
        masks = np.zeros((T, H, W), np.bool_) if self.mask is None else self.mask(T, H, W, rng)
        window: Window = {
            "frames": to_tensor(frames),
            "masks": mask_to_tensor(masks),
            "name": f"layers-{number:06d}",
        }
        if wanted.motion == "flow":
            labels = [seen for _, seen in drawn]
            pairs = list(pairwise(range(T)))
            forward = [layered_flow(layers, labels, a, b) for a, b in pairs]
            backward = [layered_flow(layers, labels, b, a) for a, b in pairs]
            add_flow(window, forward=_stacked(forward, H, W), backward=_stacked(backward, H, W))
        return window

    # ---------------------------------------------------------------- layers

    def _layers(self, number: int, rng: np.random.Generator, wanted: WindowRequest) -> list[MovingLayer]:
        T, H, W = wanted.num_frames, wanted.height, wanted.width
        times = [time - T // 2 for time in range(T)]
        picture, into = self._backdrop(self._picture(number, rng, H, W), rng, H, W)
        camera = self._drift(rng)
        views = [np.eye(3)] * T
        if rng.random() >= self.static_probability:
            views = [camera.matrix(time, ((W - 1) / 2, (H - 1) / 2)) for time in times]
        layers = [MovingLayer(picture, [view @ into for view in views])]
        for _ in range(int(rng.integers(self.min_layers, self.max_layers + 1))):
            cut = self._cut_out(self._picture(int(rng.integers(2**31)), rng, H, W), rng, min(H, W))
            centre = rng.uniform(-0.05, 1.05, 2) * (W, H)
            place = np.eye(3)
            place[:2, 2] = centre - (np.array(cut.shape[1::-1]) - 1) / 2
            own = self._drift(rng)
            maps = [
                view @ own.matrix(time, (centre[0], centre[1])) @ place for view, time in zip(views, times, strict=True)
            ]
            layers.append(MovingLayer(cut, maps))
        return layers

    def _drift(self, rng: np.random.Generator) -> Drift:
        length = min(self.shift * np.exp(self.shift_spread * rng.standard_normal()), self.max_shift)
        angle = rng.uniform(0, 2 * np.pi)
        shift = length * np.array([np.cos(angle), np.sin(angle)])
        curve = self.curve * rng.uniform(-1, 1)
        return Drift(self.steps, shift, strength=rng.random(), curve=curve, rng=rng)

    def _picture(self, number: int, rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
        if self.photographs is not None and rng.random() >= self.texture_probability:
            return self.photographs.read(number % len(self.photographs))
        sides = round(height * _TEXTURE_COVER), round(width * _TEXTURE_COVER)
        key = (int(rng.integers(self.textures)), *sides)
        if key in self._kept:
            return self._kept[key]
        painter = np.random.default_rng(key)  # what is painted depends on its number, not on who asked first
        return self._kept.keep(key, random_texture(*sides, painter, scale=height * painter.uniform(0.15, 0.7)))

    def _backdrop(
        self, picture: NDArray[np.uint8], rng: np.random.Generator, height: int, width: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """A picture no finer than the frames, and the map from its pixels to those of the middle frame."""
        cover = rng.uniform(self.min_cover, self.max_cover)
        picture, scale = covering(picture, cover=cover, height=height, width=width)
        rows, columns = picture.shape[:2]
        left, top = rng.uniform(0, 1, 2) * (columns * scale - width, rows * scale - height)
        into = np.diag([scale * rng.choice([-1.0, 1.0]), scale, 1.0])
        into[:2, 2] = (columns * scale if into[0, 0] < 0 else 0) - left, -top
        return picture, into

    def _cut_out(self, picture: NDArray[np.uint8], rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
        """A shape filled from anywhere in a picture, as :class:`MovingLayer` takes it, clear along its border."""
        shape = self.shapes.draw(rng)
        longer = side * np.exp(rng.uniform(np.log(self.min_size), np.log(self.max_size)))
        w, h = (max(round(length * longer / max(shape.shape)), 4) for length in shape.shape[::-1])
        cover = cv2.resize(shape * np.uint8(255), (w, h), interpolation=cv2.INTER_AREA)
        cover = cv2.GaussianBlur(cv2.copyMakeBorder(cover, 2, 2, 2, 2, cv2.BORDER_CONSTANT), (3, 3), 0)
        h, w = cover.shape
        sides = picture.shape[:2]
        zoom = max(rng.uniform(0.6, 1.6), h / sides[0], w / sides[1])
        rows, columns = (min(round(length / zoom), most) for length, most in zip((h, w), sides, strict=True))
        top, left = (int(rng.integers(most - part + 1)) for most, part in zip(sides, (rows, columns), strict=True))
        part = picture[top : top + rows, left : left + columns]
        part = np.asarray(cv2.resize(part, (w, h), interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR))
        part = part[:, ::-1] if rng.random() < 0.5 else part
        covered = cv2.multiply(part, cv2.cvtColor(cover, cv2.COLOR_GRAY2RGB), scale=1 / 255)
        return np.dstack((covered, cover)).astype(np.uint8, copy=False)

    # ---------------------------------------------------------------- light

    def _developed(self, frames: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Change the light of a window, and a little of each frame; add noise."""
        T = len(frames)
        gain = 1 + self.tone * rng.uniform(-1, 1) + 0.3 * self.tone * rng.uniform(-1, 1, 3)
        offset = self.tone * rng.uniform(-0.5, 0.5) * 127.5
        flicker = np.zeros((T, 2))
        if rng.random() < self.jitter_probability:
            flicker = self.jitter * rng.uniform(-1, 1, (T, 2))
        bound = int(rng.uniform(0, self.noise) + 0.5)
        levels = np.arange(256)[:, None] - 127.5
        for frame, (contrast, brightness) in zip(frames, flicker, strict=True):
            table = levels * gain * (1 + contrast) + 127.5 + offset + 255 * brightness
            frame[:] = cv2.LUT(frame, np.clip(np.rint(table), 0, 255).astype(np.uint8)[None])
            if bound:
                grain = rng.integers(0, 2 * bound + 1, frame.shape, np.uint8)
                frame[:] = cv2.subtract(cv2.add(frame, grain), np.full_like(frame, bound))
        return frames


def _stacked(
    flows: Sequence[tuple[NDArray[np.float32], NDArray[np.bool_]]], height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    if not flows:  # a window of one frame
        return np.zeros((0, 2, height, width), np.float32), np.zeros((0, height, width), np.bool_)
    return np.stack([flow for flow, _ in flows]), np.stack([seen for _, seen in flows])
