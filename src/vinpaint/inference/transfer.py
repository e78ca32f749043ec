"""Between the CPU, which reads and writes frames, and the device that completes them: neither waits for the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vinpaint.inference.inpainter import MaskedClip

Read = tuple[NDArray[np.uint8], NDArray[np.bool_]]
"""Frames ``(N, H, W, 3)`` and holes ``(N, H, W)``."""


def upload(array: NDArray[Any], device: torch.device) -> Tensor:
    """Bring an array to a device as it is; to a GPU from pinned memory, while the CPU goes on."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def arriving(batches: Iterable[Iterable[Tensor]], device: torch.device) -> Iterator[Tensor]:
    """Bring finished frames to the CPU.

    A GPU is given the work of the next batch before the frames of one are waited for: it computes while they are
    written, at the price of one batch of delay. On the CPU nothing is delayed.

    Args:
        batches: frames in order; asking for the next batch gives the device the work that its frames are made by.
        device: where that work happens.

    Yields:
        The same frames, on the CPU.
    """
    underway: deque[_Download] = deque()
    for batch in batches:
        if device.type != "cuda":
            yield from (frame.cpu() for frame in batch)
            continue
        underway.append(_Download(batch, device))
        if len(underway) > 1:
            yield from underway.popleft().wait()
    for download in underway:
        yield from download.wait()


class _Download:
    """Frames ``(3, H, W)`` on their way from a GPU."""

    def __init__(self, frames: Iterable[Tensor], device: torch.device) -> None:
        self._landing = [_leaving(frame) if frame.is_cuda else frame for frame in frames]
        self._arrived = torch.cuda.current_stream(device).record_event()

    def wait(self) -> Iterator[Tensor]:
        """The frames, in ordinary memory: whoever collects a clip must not pin all of it."""
        self._arrived.synchronize()
        for frame in self._landing:
            yield frame.clone() if frame.is_pinned() else frame


def _leaving(frame: Tensor) -> Tensor:
    """Where a frame arrives: pinned, its channels side by side as in a picture, for what is stored of it."""
    landing = torch.empty((*frame.shape[1:], frame.shape[0]), dtype=frame.dtype, pin_memory=True)
    return landing.copy_(frame.movedim(0, -1), non_blocking=True).movedim(-1, 0)


class ReadAhead:
    """Reads the frames that are wanted next on a thread of its own, while a GPU works on those before.

    Args:
        clip: the clip and its holes.
        active: whether to; otherwise frames are read when they are asked for.
    """

    def __init__(self, clip: MaskedClip, *, active: bool) -> None:
        self._clip = clip
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="reader") if active else None
        self._coming: tuple[tuple[int, ...], Future[Read]] | None = None

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def read(self, indices: Sequence[int], then: Sequence[int]) -> Read:
        """Read frames, as :meth:`MaskedClip.read`, and begin with those of the next call, ``then``."""
        coming, self._coming = self._coming, None
        read = coming[1].result() if coming and coming[0] == tuple(indices) else self._clip.read(indices)
        if self._pool and then:
            self._coming = tuple(then), self._pool.submit(self._clip.read, tuple(then))
        return read
