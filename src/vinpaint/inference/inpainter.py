"""What an engine reads and what it promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vinpaint.masks.protocols import MaskError, MaskSequence
from vinpaint.video.clip import ClipReader


class MaskedClip:
    """A clip and its holes, read together and lazily.

    Args:
        clip: the frames.
        masks: the holes, as many and as large as the frames.

    Raises:
        MaskError: if the counts or the sizes differ; the message says both.
    """

    def __init__(self, clip: ClipReader, masks: MaskSequence) -> None:
        if masks.num_frames != clip.num_frames:
            raise MaskError(
                f"{clip.name}: {clip.num_frames} frames but {masks.num_frames} masks; give one mask per frame, "
                "or a single image for all of them"
            )
        if (masks.height, masks.width) != (clip.height, clip.width):
            raise MaskError(
                f"{clip.name}: frames are {clip.width}x{clip.height} but masks {masks.width}x{masks.height}; "
                "resize the masks to the frames"
            )
        self.clip = clip
        self.masks = masks

    @property
    def name(self) -> str:
        return self.clip.name

    @property
    def num_frames(self) -> int:
        return self.clip.num_frames

    @property
    def height(self) -> int:
        return self.clip.height

    @property
    def width(self) -> int:
        return self.clip.width

    @property
    def frame_rate(self) -> Fraction:
        return self.clip.frame_rate

    def read(self, indices: Sequence[int]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read frames ``(N, H, W, 3)`` uint8 RGB and holes ``(N, H, W)`` bool, true = hole."""
        return self.clip.read(indices), self.masks.read(indices)


@runtime_checkable
class Inpainter(Protocol):
    """Completes a clip of any length and size, frame by frame, in bounded memory."""

    def stream(self, clip: MaskedClip) -> Iterator[Tensor]:
        """Complete ``clip``.

        Yields:
            The completed frames in order, ``(3, H, W)`` float32 RGB in [0, 1] on the CPU. Pixels outside the hole are
            the input's to the bit (``value / 255``), and what lay under the hole has no influence.
        """
        ...


@runtime_checkable
class ResumableInpainter(Inpainter, Protocol):
    """An engine that can go on in the middle of a clip."""

    def stream_from(
        self, clip: MaskedClip, start: int, earlier: Callable[[int], NDArray[np.uint8]]
    ) -> Iterator[Tensor]:
        """Complete ``clip`` from a frame on, those before it being completed already.

        Args:
            clip: the whole clip.
            start: the first frame to complete, in ``[0, num_frames]``.
            earlier: gives a frame before ``start`` as the same engine completed it, ``(H, W, 3)`` uint8 RGB.

        Yields:
            What ``stream`` yields from that frame on; the same once written as 8-bit levels.
        """
        ...


@runtime_checkable
class CarryingInpainter(ResumableInpainter, Protocol):
    """An engine whose frames hand on to the next something else than they are completed with."""

    def stream_carrying(
        self, clip: MaskedClip, start: int, carried: Callable[[int], NDArray[np.uint8]]
    ) -> Iterator[tuple[Tensor, NDArray[np.uint8]]]:
        """Complete ``clip`` from a frame on, like :meth:`stream_from`.

        Args:
            clip: the whole clip.
            start: the first frame to complete, in ``[0, num_frames]``.
            carried: gives what a frame before ``start`` handed on.

        Yields:
            Each frame and what it hands on, ``(H, W, 3)`` uint8 RGB, which differs from it in the hole alone.
        """
        ...


@runtime_checkable
class GapTellingInpainter(Inpainter, Protocol):
    """An engine that borrows from other frames, and knows what none of them showed."""

    def stream_with_gaps(self, clip: MaskedClip) -> Iterator[tuple[Tensor, Tensor]]:
        """Complete ``clip`` like :meth:`stream`.

        Yields:
            Each frame and the part of its hole that was made up, ``(H, W)`` bool.
        """
        ...


def no_earlier_frame(index: int) -> NDArray[np.uint8]:
    """What a clip that begins with its first frame has for the frames before it."""
    raise IndexError(f"frame {index} was asked for, but none has been completed yet")
