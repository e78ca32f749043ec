"""What a network reads of the frames of its windows, and what it makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vinpaint.inference.inpainter import MaskedClip
from vinpaint.inference.resizing import resize_visible
from vinpaint.inference.schedule import Window
from vinpaint.inference.transfer import upload
from vinpaint.inference.window_model import RegionModel, WindowModel
from vinpaint.ops.chunks import Chunks
from vinpaint.ops.conversion import from_levels
from vinpaint.ops.region import Region, region_of

Blend = Literal["mean", "ema_half"]

BORDER = 1
"""Known pixels around a hole that the network completes too, so that its seam with them can be told."""


class PendingFrame:
    """A frame between being read and being final.

    Attributes:
        frame: ``(H, W, 3)`` uint8 RGB.
        hole: ``(H, W)`` bool, true = hole.
        has_hole: whether any pixel is.
        completed: what the windows so far make of it, ``(3, h, w)``; None before the first.
    """

    def __init__(self, frame: NDArray[np.uint8], hole: NDArray[np.bool_]) -> None:
        self.frame = frame
        self.hole = hole
        self.has_hole = bool(hole.any())
        self.completed: Tensor | None = None
        self._weight: Tensor | float = 0.0

    def add(self, completed: Tensor, blend: Blend, weight: Tensor | float = 1.0) -> None:
        """Blend in what another window makes of the frame; ``weight`` counts in a mean alone, per pixel or whole."""
        self._weight = self._weight + weight
        if self.completed is None:
            self.completed = completed
        elif blend == "mean":
            self.completed = self.completed + (completed - self.completed) * weight / self._weight
        else:
            self.completed = self.completed * 0.5 + completed * 0.5


class WindowInputs:
    """What the network reads of each frame, made once and kept while windows need it.

    Args:
        clip: the clip and its holes.
        network: in evaluation mode, on its device.
        size: (height, width) at which the network works; None: the clip's.
        device: of the network.
        chunk_size: frames encoded or decoded at a time.
    """

    def __init__(
        self,
        clip: MaskedClip,
        network: nn.Module,
        size: tuple[int, int] | None,
        device: torch.device,
        chunk_size: int,
    ) -> None:
        self.clip = clip
        self.network = network
        self.device = device
        self.chunk_size = chunk_size
        self._encoded, self._decoded = Chunks(chunk_size, "frames encoded"), Chunks(chunk_size, "frames decoded")
        self.native_size = (clip.height, clip.width)
        self.size = size or self.native_size
        self.shares_features = isinstance(network, WindowModel)
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}  # features or frame (1, C, h, w), mask (1, 1, H, W) bool
        self._passed: dict[int, tuple[int, ...]] = {}  # frames that would be kept, and the chunk each was encoded in

    def prepare(self, frames: Sequence[PendingFrame]) -> tuple[Tensor, Tensor]:
        """Frames ``(N, 3, h, w)`` with hidden holes and masks ``(N, 1, h, w)`` at the network's size, on its device."""
        images = from_levels(upload(np.stack([frame.frame for frame in frames]), self.device))
        holes = upload(np.stack([frame.hole for frame in frames]), self.device).unsqueeze(1).float()
        return resize_visible(images, holes, self.size)

    @torch.no_grad()
    def complete(
        self, window: Window, wanted: Sequence[int], pending: dict[int, PendingFrame]
    ) -> list[tuple[Tensor, Tensor | float]]:
        """Complete the ``wanted`` frames of a window.

        Returns:
            Of each the frame ``(3, h, w)`` float32 in [0, 1], black where no hole is near, and how much it counts.
        """
        frames = self._order(window, wanted)
        self._fill(frames, pending)
        values, masks = self._stacked(frames)
        chosen = [frames.index(index) for index in wanted]
        region = None
        if self._cuts_regions:
            region = region_of(masks[:, chosen] > 0.5).grown(BORDER, self.size)
        return [(frame, 1.0) for frame in self._run(values, masks, chosen, region)]

    def keep(self, needed: Iterable[int]) -> None:
        """Forget what is not among the ``needed`` frames."""
        needed = set(needed)
        self._kept = {index: value for index, value in self._kept.items() if index in needed}
        self._passed = {index: chunk for index, chunk in self._passed.items() if index in needed}

    def pass_over(self, window: Window) -> None:
        """Note what completing a window would encode together: the last digit of a feature can depend on it."""
        missing = [index for index in (*window.neighbors, *window.references) if index not in self._passed]
        for first in range(0, len(missing), self.chunk_size):
            chunk = tuple(missing[first : first + self.chunk_size])
            self._passed.update(dict.fromkeys(chunk, chunk))

    @property
    def _cuts_regions(self) -> bool:
        """Whether only what the holes span is completed; on a GPU every shape of a region has its price."""
        return isinstance(self.network, RegionModel) and self.device.type == "cpu"

    def _order(self, window: Window, wanted: Sequence[int]) -> list[int]:
        """The frames of a window as the network gets them: the wanted ones first if it asks for that."""
        frames = [*window.neighbors, *window.references]
        return [*wanted, *(index for index in frames if index not in wanted)] if self.shares_features else frames

    def _values(self, images: Tensor, masks: Tensor) -> Tensor:
        """What is kept of frames ``(N, 3, h, w)`` with hidden holes: features if windows share them."""
        return self._encode(images, masks) if self.shares_features else images

    def _encode(self, images: Tensor, masks: Tensor) -> Tensor:
        """Features ``(N, C, h', w')`` of frames ``(N, 3, h, w)`` and masks ``(N, 1, h, w)``."""
        network, clip, holes = cast(WindowModel, self.network), images.unsqueeze(0), masks.unsqueeze(0)
        return torch.cat(self._encoded.run(lambda part: network.encode(clip[:, part], holes[:, part])[0], len(images)))

    def _run(self, values: Tensor, masks: Tensor, chosen: Sequence[int], region: Region | None) -> Tensor:
        """Complete the ``chosen`` frames of a window, the first ones of it if the network shares features.

        Args:
            values: features or frames, ``(1, T, C, h, w)``.
            masks: ``(1, T, 1, H, W)`` in {0, 1}.
            chosen: places in the window.
            region: what is wanted of the frames, the rest stays black; None: everything.

        Returns:
            ``(len(chosen), 3, H, W)`` float32 in [0, 1].
        """
        if not self.shares_features:
            dtype = next((value.dtype for value in self.network.parameters()), torch.float32)
            frames = self.network(values.to(dtype), masks.to(dtype))[0].float().clamp(0, 1)
            return cast(Tensor, frames[list(chosen)])
        if region is None:
            network = cast(WindowModel, self.network)
            features = network.transform(values, masks, num_queries=len(chosen))
            parts = self._decoded.run(
                lambda part: network.decode(features[:, part], size=self.size)[0].float(), len(chosen)
            )
            return torch.cat(parts).clamp_(0, 1)
        cutting = cast(RegionModel, self.network)
        features = cutting.transform_region(values, masks, region=region, num_queries=len(chosen))
        completed = torch.zeros(len(chosen), 3, *self.size, device=self.device)
        parts = self._decoded.run(
            lambda part: cutting.decode_region(features[:, part], region=region, size=self.size)[0].float(), len(chosen)
        )
        region.of(completed).copy_(torch.cat(parts).clamp_(0, 1))
        return completed

    def _fill(self, frames: Sequence[int], pending: dict[int, PendingFrame]) -> None:
        for index in frames:
            if index in self._passed:
                chunk = self._passed[index]
                held = {other for other in chunk if other in self._passed}  # the others were dropped meanwhile
                self._keep_values(chunk, pending, keep=held)
                self._passed = {other: mates for other, mates in self._passed.items() if other not in held}
        missing = iter(index for index in frames if index not in self._kept)
        while chunk := tuple(islice(missing, self.chunk_size)):
            self._keep_values(chunk, pending, keep=set(chunk))

    def _keep_values(self, chunk: Sequence[int], pending: dict[int, PendingFrame], *, keep: set[int]) -> None:
        unread = [index for index in chunk if index not in pending]
        read = {}
        if unread:
            read = {
                index: PendingFrame(frame, hole)
                for index, frame, hole in zip(unread, *self.clip.read(unread), strict=True)
            }
        images, masks = self.prepare([read[index] if index in read else pending[index] for index in chunk])
        values = self._values(images, masks)
        for index, value, mask in zip(chunk, torch.split(values, 1), torch.split(masks, 1), strict=True):
            if index in keep:
                # copies: a slice would keep its whole chunk alive
                self._kept[index] = (value.clone(), mask > 0.5)

    def _stacked(self, frames: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Kept values of frames, ``(1, T, C, h, w)`` and masks ``(1, T, 1, H, W)`` in {0, 1}."""
        values, masks = zip(*(self._kept[index] for index in frames), strict=True)
        return torch.cat(values).unsqueeze(0), torch.cat(masks).float().unsqueeze(0)
