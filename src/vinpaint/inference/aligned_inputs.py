"""Windows whose frames are laid over one another before a network sees them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vinpaint.inference.camera_motion import CameraMotion, PixelMap
from vinpaint.inference.schedule import Window
from vinpaint.inference.window_inputs import BORDER, PendingFrame, WindowInputs
from vinpaint.ops.affine import affine_warp, pixel_theta
from vinpaint.ops.compositing import hide_holes
from vinpaint.ops.infill import harmonic_infill
from vinpaint.ops.network_residuals import restore_detail
from vinpaint.ops.region import Region, region_of

_STILL = 0.25
"""Pixels by which no corner may move for a frame to be left where it is: resampling would blur it for nothing."""

_SEEN = 1 - 2 / 255
"""Share of a sample that must be made of known pixels inside the frame."""

_OUTSIDE = 1e-3
"""How much what a window makes of places beyond its centre's frame counts, where 1 is what it makes of those inside."""

_TAPS = 3
"""Pixels around a place that a bicubic sample reads, and one for rounding."""


class AlignedInputs(WindowInputs):
    """Lays the frames of every window over its centre by the motion of the camera, and what is completed back.

    What the centre's frame does not reach of a frame is cut off, what a frame does not show of the centre's is hole.
    Features depend on the window, so that all its frames are encoded for each.

    Args:
        inputs: see :class:`WindowInputs`.
        restores_detail: whether what the network leaves out even of what it is shown is carried into holes
            (:func:`vinpaint.ops.network_residuals.restore_detail`); it then makes all frames of a window, not the
            wanted ones alone.
    """

    def __init__(self, *inputs: Any, restores_detail: bool = False) -> None:
        super().__init__(*inputs)
        self.restores_detail = restores_detail

    @cached_property
    def _motion(self) -> CameraMotion:
        return CameraMotion(self.clip, self.size)

    @torch.no_grad()
    def complete(
        self, window: Window, wanted: Sequence[int], pending: dict[int, PendingFrame]
    ) -> list[tuple[Tensor, Tensor | float]]:
        """Complete the ``wanted`` frames of a window; see :meth:`WindowInputs.complete`."""
        frames = self._order(window, wanted)
        self._fill(frames, pending)
        maps = self._motion.around(window.center, frames)
        maps = {index: np.eye(3) if _stands_still(maps[index], self.size) else maps[index] for index in frames}
        laid = [self._laid(*self._kept[index], maps[index]) for index in frames]
        images, holes = (torch.cat(part) for part in zip(*laid, strict=True))
        values = self._encode(images, holes) if self.shares_features else images
        chosen = [frames.index(index) for index in wanted]
        region = self._region(wanted, maps)
        made = range(len(frames)) if self.restores_detail else chosen
        completed = self._run(values.unsqueeze(0), holes.unsqueeze(0), made, region if self._cuts_regions else None)
        if self.restores_detail:
            parts = [region.of(whole) for whole in (completed, images, holes)]
            completed = torch.zeros_like(completed[: len(chosen)])
            for place, target in enumerate(chosen):
                region.of(completed)[place] = restore_detail(target, *parts)
        return [self._back(frame, maps[index]) for index, frame in zip(wanted, completed, strict=True)]

    def keep(self, needed: Iterable[int]) -> None:
        """Forget what is not among the ``needed`` frames."""
        needed = set(needed)
        super().keep(needed)
        if needed:
            self._motion.forget(min(needed))

    def pass_over(self, window: Window) -> None:
        """Do nothing: what is kept of a frame depends on no other."""

    def _values(self, images: Tensor, masks: Tensor) -> Tensor:
        """Frames whose holes are filled, so that samples beside them are made of known pixels alone."""
        return harmonic_infill(images, 1 - masks)

    def _laid(self, image: Tensor, mask: Tensor, moved: PixelMap) -> tuple[Tensor, Tensor]:
        """A frame ``(1, 3, H, W)`` as the centre would show it, its hole hidden, and that hole ``(1, 1, H, W)``."""
        hole = mask.float()
        if not _is_identity(moved):
            theta = pixel_theta(moved, self.size).to(self.device)
            image = affine_warp(image, theta, align_corners=True, mode="bicubic", padding="border").clamp_(0, 1)
            hole = (affine_warp(1 - hole, theta, align_corners=True) < _SEEN).float()
        return hide_holes(image, hole), hole

    def _back(self, completed: Tensor, moved: PixelMap) -> tuple[Tensor, Tensor | float]:
        """A completed frame ``(3, H, W)`` where it was before, and how much each pixel counts, ``(1, H, W)``."""
        if _is_identity(moved):
            return completed, 1.0
        theta = pixel_theta(np.linalg.solve(moved, np.eye(3)), self.size).to(self.device)
        batch = completed.unsqueeze(0)
        back = affine_warp(batch, theta, align_corners=True, mode="bicubic", padding="border").clamp_(0, 1)
        reached = affine_warp(torch.ones_like(batch[:, :1]), theta, align_corners=True)
        return back[0], reached[0].clamp_min(_OUTSIDE)

    def _region(self, wanted: Sequence[int], maps: dict[int, PixelMap]) -> Region:
        """What :meth:`_back` reads of completed frames for their holes and the border of these."""
        corners = []
        for index in wanted:
            top, bottom, left, right = region_of(self._kept[index][1]).grown(BORDER, self.size)
            box = np.array([[left, left, right, right], [top, bottom, top, bottom], [1, 1, 1, 1]], float)
            corners.append((np.linalg.solve(maps[index], box)[:2]).clip(0, [[self.size[1] - 1], [self.size[0] - 1]]))
        x, y = np.concatenate(corners, axis=1)
        around = Region(int(y.min()), int(y.max()) + 1, int(x.min()), int(x.max()) + 1)
        return around.grown(_TAPS, self.size)


def _is_identity(moved: PixelMap) -> bool:
    return np.array_equal(moved, np.eye(3))


def _stands_still(moved: PixelMap, size: tuple[int, int]) -> bool:
    """Whether a map moves no corner of a frame visibly."""
    height, width = size
    corners = np.array([[0, 0, width, width], [0, height, 0, height], [1, 1, 1, 1]], float)
    return bool(np.linalg.norm((moved @ corners - corners)[:2], axis=0).max() < _STILL)
