"""Training windows with holes of their own: what a source of them is, and the data set over one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vinpaint.data.dataset import VideoSample
from vinpaint.data.sources import DataError
from vinpaint.ops.conversion import mask_to_tensor

Motion = Literal["affine", "flow"]


class Window(VideoSample, total=False):
    """A sample whose true motion may be known.

    Keys:
        theta: with ``motion="affine"``, ``(T, T, 2, 3)`` float32; ``theta[t, r]`` takes normalised coordinates of frame
            ``t`` to those of frame ``r``, align_corners=True.
        flow_forward: with ``motion="flow"``, ``(T - 1, 2, H, W)`` float32 in pixels, channel 0 = x, from frame ``t`` to
            ``t + 1``.
        flow_backward: the same from frame ``t + 1`` to ``t``.
        seen_forward: ``(T - 1, 1, H, W)`` float32 in {0, 1}, 1 where what is at a pixel of frame ``t`` is seen in
            ``t + 1``.
        seen_backward: the same from frame ``t + 1`` to ``t``.
    """

    theta: Tensor
    flow_forward: Tensor
    flow_backward: Tensor
    seen_forward: Tensor
    seen_backward: Tensor


@dataclass(frozen=True)
class WindowRequest:
    """What a window should be.

    Attributes:
        num_frames: frames.
        height: rows in pixels.
        width: columns in pixels.
        motion: which true motion to give.

    Raises:
        DataError: if there is nothing to draw, or no such motion.
    """

    num_frames: int = 5
    height: int = 240
    width: int = 432
    motion: Motion | None = None

    def __post_init__(self) -> None:
        if min(self.height, self.width, self.num_frames) < 1:
            raise DataError(f"{self.num_frames} frames of {self.width}x{self.height}: expected at least one of each")
        if self.motion is not None and self.motion not in get_args(Motion):
            raise DataError(f"motion {self.motion}: expected one of {', '.join(get_args(Motion))}, or none")


@runtime_checkable
class WindowSource(Protocol):
    """Draws training windows together with their holes."""

    def __len__(self) -> int:
        """How many windows make an epoch where nothing else is asked for."""
        ...

    def draw(self, number: int, rng: np.random.Generator, wanted: WindowRequest) -> Window:
        """Draw a window from ``rng`` alone; ``number`` counts windows, so that all material comes in turn.

        Raises:
            DataError: if the motion is wanted and not known.
        """
        ...


class WindowDataset(Dataset[Window]):
    """Windows of a source.

    Chance comes from the seed, the epoch and the number of the sample alone, as in
    :class:`vinpaint.data.VideoClipDataset`.

    Args:
        source: what draws the windows.
        wanted: size, length and motion of the windows.
        samples_per_epoch: windows of an epoch; as many as the source has when not given.
        seed: of all chance.

    Raises:
        DataError: if ``samples_per_epoch`` is less than 1.
    """

    def __init__(
        self,
        source: WindowSource,
        wanted: WindowRequest,
        *,
        samples_per_epoch: int | None = None,
        seed: int = 0,
    ) -> None:
        if samples_per_epoch is not None and samples_per_epoch < 1:
            raise DataError(
                f"samples_per_epoch {samples_per_epoch}: expected at least 1, or none for all of the source"
            )
        self.source = source
        self.wanted = wanted
        self.samples_per_epoch = samples_per_epoch
        self.seed = seed

    def __len__(self) -> int:
        return len(self.source) if self.samples_per_epoch is None else self.samples_per_epoch

    def __getitem__(self, key: int | tuple[int, int]) -> Window:
        """Draw a window.

        Args:
            key: the number of the sample, or ``(epoch, number)``; a number alone is of epoch 0.
        """
        epoch, index = key if isinstance(key, tuple) else (0, key)
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        rng = np.random.default_rng([self.seed, epoch, index])
        return self.source.draw(epoch * len(self) + index, rng, self.wanted)


def check_mirrored(probability: float) -> None:
    """Refuse what is no probability."""
    if not 0 <= probability <= 1:
        raise DataError(f"flip_probability {probability}: expected 0 to 1")


def mirrored(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mirror pictures ``(..., H, W, 3)`` left to right."""
    return np.ascontiguousarray(frames[..., ::-1, :])


def add_flow(
    window: Window,
    *,
    forward: tuple[NDArray[np.float32], NDArray[np.bool_]],
    backward: tuple[NDArray[np.float32], NDArray[np.bool_]],
) -> None:
    """Put the flow between neighbouring frames into a window.

    Args:
        window: the window.
        forward: flow ``(T - 1, 2, H, W)`` in pixels from each frame to the next, and where ``(T - 1, H, W)`` what it
            starts from is seen in the next.
        backward: the same from each next frame back.
    """
    window["flow_forward"], window["seen_forward"] = torch.from_numpy(forward[0]), mask_to_tensor(forward[1])
    window["flow_backward"], window["seen_backward"] = torch.from_numpy(backward[0]), mask_to_tensor(backward[1])
