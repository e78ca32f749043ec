"""Clips made from photographs by a camera path that is known, with object-shaped holes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vinpaint.data.motion import Pixels, affine_flow, cumulative_motion, stays_inside, theta_between
from vinpaint.data.photographs import Photographs, covering
from vinpaint.data.sources import DataError
from vinpaint.data.windows import Window, WindowRequest, add_flow, check_mirrored, mirrored
from vinpaint.masks import AffineRange, MaskGenerator
from vinpaint.ops.conversion import mask_to_tensor, to_tensor


class ImageMotion:
    """Windows that pan, turn and zoom over photographs.

    The middle frame is a crop of the photograph; affine steps add up outwards from it. Each frame is sampled once from
    the photograph (bicubic, mirrored beyond its border), so no frame is blurred by another's warp. The true motion
    between any two frames is known, see :class:`vinpaint.data.windows.Window`.

    Args:
        root: folder of photographs.
        mask: what draws the holes.
        images: which files of the folder are photographs, as a pattern; ``**/*`` looks into folders.
        include: only photographs whose name matches one of these names or patterns; all when not given.
        exclude: none of those whose name matches one of these.
        steps: range of a step from frame to frame; that of :class:`vinpaint.masks.AffineRange` when not given.
        min_cover: the photograph is scaled to the crop so that it covers at least this many times its sides.
        max_cover: and at most this many times.
        static_probability: share of the windows in which the camera stands still, 0 to 1.
        jitter: brightness and contrast change from frame to frame by up to this share of full scale.
        jitter_probability: share of the windows in which they do.
        flip_probability: share of the photographs that are mirrored, 0 to 1.
        cache_megabytes: decoded photographs kept, per process, in 10^6 bytes.

    Raises:
        DataError: if a range is empty or a probability lies outside 0 to 1; on drawing, if there are no photographs.

    Source: training data of CPNet (arXiv:1908.11587) and STRA-Net (BMVC 2021): 5 frames synthesised from a picture
    (there Places) by random 2-D transforms, of which no range is published. The steps are half of those of the only
    public re-implementation, and lean and stretch as well.
    """

    def __init__(
        self,
        root: str | Path,
        mask: MaskGenerator,
        *,
        images: str = "*",
        include: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        steps: AffineRange | None = None,
        min_cover: float = 1.25,
        max_cover: float = 1.5,
        static_probability: float = 0.3,
        jitter: float = 0.02,
        jitter_probability: float = 0.2,
        flip_probability: float = 0.5,
        cache_megabytes: int = 256,
    ) -> None:
        if not 1 <= min_cover <= max_cover:
            raise DataError(f"covers {min_cover} to {max_cover}: expected 1 <= min_cover <= max_cover")
        for name, share in (("static_probability", static_probability), ("jitter_probability", jitter_probability)):
            if not 0 <= share <= 1:
                raise DataError(f"{name} {share}: expected 0 to 1")
        if not 0 <= jitter < 1:
            raise DataError(f"jitter {jitter}: expected 0 or more and less than 1")
        check_mirrored(flip_probability)
        self.photographs = Photographs(
            root, images=images, include=include, exclude=exclude, cache_megabytes=cache_megabytes
        )
        self.mask = mask
        self.steps = AffineRange() if steps is None else steps
        self.min_cover, self.max_cover = min_cover, max_cover
        self.static_probability = static_probability
        self.jitter, self.jitter_probability = jitter, jitter_probability
        self.flip_probability = flip_probability

    def __len__(self) -> int:
        return len(self.photographs)

    def draw(self, number: int, rng: np.random.Generator, wanted: WindowRequest) -> Window:
        """Draw a camera path over a photograph, and holes."""
        num_frames, height, width = wanted.num_frames, wanted.height, wanted.width
        index = number % len(self.photographs)
        picture = self.photographs.read(index)
        if rng.random() < self.flip_probability:
            picture = mirrored(picture)
        picture, into = self._crop(picture, height, width, rng)
        maps = [np.eye(3)] * num_frames
        if rng.random() >= self.static_probability:
            maps = cumulative_motion(num_frames, height, width, self.steps, rng)
        frames = np.stack([_sample(picture, there @ into, height, width) for there in maps])
        if rng.random() < self.jitter_probability:
            for frame, (contrast, brightness) in zip(frames, rng.uniform(-1, 1, (num_frames, 2)), strict=True):
                levels = (np.arange(256) - 127.5) * (1 + self.jitter * contrast) + 127.5
                levels += self.jitter * brightness * 255
                frame[:] = np.clip(np.round(levels), 0, 255).astype(np.uint8)[frame]
        window: Window = {
            "frames": to_tensor(frames),
            "masks": mask_to_tensor(self.mask(num_frames, height, width, rng)),
            "name": self.photographs.name(index),
        }
        if wanted.motion == "affine":
            window["theta"] = torch.from_numpy(theta_between(maps, height, width))
        elif wanted.motion == "flow":
            pairs = list(pairwise(maps))
            forward = np.stack([affine_flow(a, b, height, width) for a, b in pairs])
            backward = np.stack([affine_flow(b, a, height, width) for a, b in pairs])
            add_flow(
                window,
                forward=(forward, np.stack([stays_inside(flow) for flow in forward])),
                backward=(backward, np.stack([stays_inside(flow) for flow in backward])),
            )
        return window

    def _crop(
        self, picture: NDArray[np.uint8], height: int, width: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], Pixels]:
        """A photograph no finer than the frames, and the map from its pixels to those of the middle frame."""
        cover = rng.uniform(self.min_cover, self.max_cover)
        picture, scale = covering(picture, cover=cover, height=height, width=width)
        rows, columns = picture.shape[:2]
        left, top = rng.uniform(0, 1, 2) * (columns * scale - width, rows * scale - height)
        if scale == 1.0:
            left, top = round(left), round(top)  # the middle frame, and all of a still camera, is then not resampled
        into = np.diag([scale, scale, 1.0])
        into[:2, 2] = 0.5 * scale - 0.5 - left, 0.5 * scale - 0.5 - top
        return picture, into


def _sample(picture: NDArray[np.uint8], into: Pixels, height: int, width: int) -> NDArray[np.uint8]:
    warped = cv2.warpAffine(
        picture, into[:2], (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(warped, np.uint8)
