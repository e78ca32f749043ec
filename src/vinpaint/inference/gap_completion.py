"""Two engines, each where it is better: one borrows what other frames show, one makes up what none does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vinpaint.errors import UserError
from vinpaint.inference.hole_store import HoleStore
from vinpaint.inference.inpainter import GapTellingInpainter, Inpainter, MaskedClip


class GapCompletion:
    """Completes a clip by an engine that borrows, and what nothing showed by another, which sees the rest as known.

    The second engine needs the first one's frames in any order, so none leaves before the first has seen the whole
    clip. They are kept inside holes only, beyond 16 MiB in a temporary file. Where the first made nothing up, the
    second does nothing.

    Args:
        engine: what borrows, and tells what it could not.
        completion: what completes that.

    Raises:
        UserError: if the engine does not tell what it made up.
    """

    def __init__(self, engine: Inpainter, completion: Inpainter) -> None:
        if not isinstance(engine, GapTellingInpainter):
            raise UserError(
                f"{type(engine).__name__} does not tell what no frame showed it: leave out completion=, "
                "or choose model=flow_guided_fusion or model=flow_guided"
            )
        self.engine = engine
        self.completion = completion

    def stream(self, clip: MaskedClip) -> Iterator[Tensor]:
        """Complete ``clip``; see :class:`vinpaint.inference.inpainter.Inpainter`."""
        with closing(HoleStore()) as store:
            for index, (frame, gap) in enumerate(self.engine.stream_with_gaps(clip)):
                hole = torch.from_numpy(clip.masks.read([index])[0])
                if hole.any():
                    levels = frame[:, hole].mul(255).round_()  # what the next engine reads are 8-bit frames
                    store.put(index, torch.cat((levels, gap[hole].unsqueeze(0))))
            yield from self.completion.stream(MaskedClip(_Borrowed(clip, store), _Gaps(clip, store)))


class _Borrowed:
    """The clip as the first engine left it."""

    def __init__(self, clip: MaskedClip, store: HoleStore) -> None:
        self.name = clip.name
        self.num_frames = clip.num_frames
        self.height = clip.height
        self.width = clip.width
        self.frame_rate = clip.frame_rate
        self._clip = clip
        self._store = store

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Read frames ``(N, H, W, 3)`` uint8 RGB, their holes filled."""
        frames, holes = self._clip.read(indices)
        filled: NDArray[np.uint8] = frames.copy()
        for frame, hole, index in zip(filled, holes, indices, strict=True):
            values = self._store.get(index)
            if values is not None:
                frame[hole] = values[:3].T.to(torch.uint8).numpy()
        return filled

    def close(self) -> None:
        """Do nothing: the clip underneath belongs to whoever opened it."""

    def __enter__(self) -> _Borrowed:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Gaps:
    """What the first engine made up."""

    def __init__(self, clip: MaskedClip, store: HoleStore) -> None:
        self.num_frames = clip.num_frames
        self.height = clip.height
        self.width = clip.width
        self._masks = clip.masks
        self._store = store

    def read(self, indices: Sequence[int]) -> NDArray[np.bool_]:
        """Read ``(N, H, W)`` bool."""
        gaps: NDArray[np.bool_] = self._masks.read(indices).copy()
        for gap, index in zip(gaps, indices, strict=True):
            values = self._store.get(index)
            if values is not None:
                gap[gap] = values[3].numpy() > 0
        return gaps
