"""One clip read by two, one of them ahead of the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from vinpaint.inference.inpainter import MaskedClip
from vinpaint.inference.own_memory import in_own_memory

_CHUNK = 8
"""Frames that are read again at a time."""


class SharedReads(MaskedClip):
    """A clip whose frames are read ahead by an engine and then taken in order by what works around it.

    To go back and forth in a compressed video costs a second and more per frame, as each time it is decoded on from a
    keyframe; to keep all frames in between costs memory. So frames are read again, a few at a time, but none before the
    engine has.

    Args:
        clip: the clip.
    """

    def __init__(self, clip: MaskedClip) -> None:
        super().__init__(clip.clip, clip.masks)
        self._end = 0  # one past the furthest frame read ahead
        self._waiting: dict[int, tuple[NDArray[np.uint8], NDArray[np.bool_]]] = {}

    def read(self, indices: Sequence[int]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read frames ahead; see :class:`MaskedClip`."""
        self._end = max(self._end, *(index + 1 for index in indices))
        return super().read(indices)

    def take(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read a frame ``(H, W, 3)`` and its hole ``(H, W)``, once; to be called in the order of the frames.

        They are in memory of their own, and the caller's to keep.
        """
        if index not in self._waiting:
            for number in range(index, max(index + 1, min(index + _CHUNK, self._end))):
                parts = [in_own_memory(torch.from_numpy(part[0])).numpy() for part in super().read([number])]
                self._waiting[number] = parts[0], parts[1]
        return self._waiting.pop(index)
