"""Mask sequences in memory, and views of other sequences: dilated, resized."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vinpaint.masks.protocols import MaskError, MaskSequence

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def dilate(masks: NDArray[np.bool_], iterations: int) -> NDArray[np.bool_]:
    """Grow holes by a 3x3 cross, a number of times.

    Args:
        masks: ``(N, H, W)`` bool, true = hole.
        iterations: how often; n times is a diamond of radius n pixels. The frame's border does not grow inwards.

    Returns:
        ``(N, H, W)`` bool.

    Source: the public evaluation scripts of STTN, FuseFormer, E2FGVI and ProPainter, which all dilate four times.
    """
    if iterations == 0:
        return masks
    return np.stack([cv2.dilate(mask.astype(np.uint8), _CROSS, iterations=iterations) for mask in masks]).astype(bool)


def check_indices(indices: Sequence[int], num_frames: int) -> None:
    """Refuse frame numbers outside ``[0, num_frames)`` with an ``IndexError``."""
    for index in indices:
        if not 0 <= index < num_frames:
            raise IndexError(f"mask {index} of {num_frames}: numbers run from 0 to {num_frames - 1}")


class ArrayMasks:
    """Masks that are in memory.

    Args:
        masks: ``(T, H, W)`` bool, true = hole.

    Raises:
        MaskError: if the array has another shape or type.
    """

    def __init__(self, masks: NDArray[np.bool_]) -> None:
        if masks.ndim != 3 or masks.dtype != np.bool_:
            raise MaskError(f"masks {masks.shape} {masks.dtype}: expected (T, H, W) bool; threshold them, true = hole")
        self.num_frames, self.height, self.width = masks.shape
        self._masks = masks

    def read(self, indices: Sequence[int]) -> NDArray[np.bool_]:
        """Read masks: ``(len(indices), H, W)`` bool, true = hole."""
        check_indices(indices, self.num_frames)
        return self._masks[np.asarray(indices, dtype=np.intp)]


class StillMasks:
    """One mask that serves every frame of a clip.

    Args:
        mask: ``(H, W)`` bool, true = hole.
        num_frames: number of frames of the clip.
    """

    def __init__(self, mask: NDArray[np.bool_], *, num_frames: int) -> None:
        self.height, self.width = mask.shape
        self.num_frames = num_frames
        self._mask = mask

    def read(self, indices: Sequence[int]) -> NDArray[np.bool_]:
        """Read masks: ``(len(indices), H, W)`` bool, true = hole."""
        check_indices(indices, self.num_frames)
        return np.repeat(self._mask[None], len(indices), axis=0)


class DilatedMasks:
    """Another sequence with every hole grown, frame by frame as it is read.

    Args:
        masks: the sequence.
        dilation: how often a 3x3 cross is applied, 0 or more.

    Raises:
        MaskError: if ``dilation`` is negative.
    """

    def __init__(self, masks: MaskSequence, *, dilation: int) -> None:
        if dilation < 0:
            raise MaskError(f"dilation {dilation}: expected 0 or more; holes cannot be shrunk")
        self.num_frames, self.height, self.width = masks.num_frames, masks.height, masks.width
        self._masks = masks
        self._dilation = dilation

    def read(self, indices: Sequence[int]) -> NDArray[np.bool_]:
        """Read masks: ``(len(indices), H, W)`` bool, true = hole."""
        return dilate(self._masks.read(indices), self._dilation)


class ResizedMasks:
    """Another sequence at another size, by nearest neighbour.

    Args:
        masks: the sequence.
        height: rows wanted.
        width: columns wanted.
    """

    def __init__(self, masks: MaskSequence, *, height: int, width: int) -> None:
        self.num_frames, self.height, self.width = masks.num_frames, height, width
        self._masks = masks

    def read(self, indices: Sequence[int]) -> NDArray[np.bool_]:
        """Read masks: ``(len(indices), H, W)`` bool, true = hole."""
        return resize_masks(self._masks.read(indices), self.height, self.width)


def resize_masks(masks: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """Resize masks by nearest neighbour, sampling at pixel centres as Pillow does.

    Args:
        masks: ``(N, H, W)`` bool.
        height: rows wanted.
        width: columns wanted.

    Returns:
        ``(N, height, width)`` bool.
    """
    rows = ((np.arange(height) + 0.5) * masks.shape[1] / height).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * masks.shape[2] / width).astype(np.intp)
    return masks[:, rows[:, None], columns]
