"""Dense inverse search: optical flow that needs no weights (OpenCV)."""

from __future__ import annotations

from typing import Any, Literal, cast, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vinpaint.errors import UserError
from vinpaint.models.flow.estimator import FlowPair

Levels = NDArray[np.uint8]
Floats = NDArray[np.float32]

DISPreset = Literal["ultrafast", "fast", "medium"]

_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}

_MIN_SIDE = 64
"""Frames are padded to this many pixels a side: OpenCV refuses some smaller frames and crashes on others."""

_RED, _GREEN, _BLUE = (np.float32(255 * share) for share in (0.299, 0.587, 0.114))


class DISFlow:
    """Optical flow by dense inverse search on grey levels, on the CPU.

    Args:
        preset: ``ultrafast``, ``fast`` or ``medium``: patches, iterations and refinement as OpenCV sets them; about
            0.6, 1.5 and 6 ms for a pair of 432x240 frames on two cores.
        finest_scale: scale at which patches are matched last, 0 = full resolution, 1 = half; None leaves the preset's.

    Raises:
        UserError: if the preset is none of these or the scale is negative.

    Source: Kroeger et al., "Fast optical flow using dense inverse search" (arXiv:1603.03590).
    """

    def __init__(self, *, preset: DISPreset = "medium", finest_scale: int | None = None) -> None:
        if preset not in get_args(DISPreset):
            raise UserError(f"preset={preset}: expected {', '.join(get_args(DISPreset))}")
        if finest_scale is not None and finest_scale < 0:
            raise UserError(f"finest_scale={finest_scale}: expected 0 (full resolution) or more")
        self.preset: DISPreset = preset
        self.finest_scale = finest_scale

    def estimate(self, first: Tensor, second: Tensor) -> Tensor:
        """Estimate flow from ``first`` to ``second``.

        Args:
            first: frames ``(N, 3, H, W)`` RGB in [0, 1], any size.
            second: frames of the same shape.

        Returns:
            ``(N, 2, H, W)`` float32 in pixels, on the device of the frames.

        Raises:
            ValueError: if the frames differ in shape or are not RGB.
        """
        before, after = _grey_pair(first, second)
        return _stack([self._flow(a, b) for a, b in zip(before, after, strict=True)], first)

    def both(self, first: Tensor, second: Tensor) -> FlowPair:
        """Estimate flow in both directions; see :meth:`estimate`."""
        before, after = _grey_pair(first, second)
        pairs = list(zip(before, after, strict=True))
        return FlowPair(
            _stack([self._flow(a, b) for a, b in pairs], first), _stack([self._flow(b, a) for a, b in pairs], first)
        )

    def _flow(self, first: Levels, second: Levels) -> Floats:
        # built anew for each pair: OpenCV's object keeps buffers and cannot be copied to another process
        dis = cv2.DISOpticalFlow.create(_PRESETS[self.preset])
        if self.finest_scale is not None:
            dis.setFinestScale(self.finest_scale)
        H, W = first.shape
        bottom, right = max(0, _MIN_SIDE - H), max(0, _MIN_SIDE - W)
        if bottom or right:
            first, second = (np.pad(image, ((0, bottom), (0, right)), mode="edge") for image in (first, second))
        # a flow of zeros is a guess that costs accuracy; None is none, which OpenCV's type stubs do not know
        return np.asarray(dis.calc(first, second, cast(Any, None))[:H, :W], np.float32)


def _grey_pair(first: Tensor, second: Tensor) -> tuple[Levels, Levels]:
    if first.shape != second.shape or first.ndim != 4 or first.shape[1] != 3:
        raise ValueError(
            f"frames {tuple(first.shape)} and {tuple(second.shape)}: expected two of the same shape (N, 3, H, W)"
        )
    return _grey(first), _grey(second)


def _grey(frames: Tensor) -> Levels:
    """Grey levels ``(N, H, W)`` uint8 of RGB frames in [0, 1]."""
    # NumPy rather than torch: waking its threads for so little work costs more than the work on a busy machine
    red, green, blue = frames.detach().float().cpu().numpy().swapaxes(0, 1)
    levels = red * _RED + green * _GREEN + blue * _BLUE
    return np.asarray(np.clip(np.rint(levels), 0, 255), np.uint8)


def _stack(flows: list[Floats], like: Tensor) -> Tensor:
    if not flows:
        return like.new_zeros((0, 2, *like.shape[-2:]), dtype=torch.float32)
    return torch.from_numpy(np.stack([flow.transpose(2, 0, 1) for flow in flows])).to(like.device)
