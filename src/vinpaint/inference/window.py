"""Completes clips of any length with a network that completes a few frames at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Literal, Protocol, cast, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vinpaint.errors import UserError
from vinpaint.inference.inpainter import MaskedClip, no_earlier_frame
from vinpaint.inference.placement import Precision, place, resolve_device, resolve_precision
from vinpaint.inference.resizing import resize_completed, resize_visible
from vinpaint.inference.schedule import Window, window_schedule
from vinpaint.inference.shots import Shots, check_cut_threshold
from vinpaint.inference.transfer import ReadAhead, arriving, upload
from vinpaint.ops.chunks import Chunks
from vinpaint.ops.compositing import composite
from vinpaint.ops.conversion import from_levels, to_tensor
from vinpaint.ops.region import Region, region_of

Blend = Literal["mean", "ema_half"]
Quantize = Literal["round", "truncate"]


@runtime_checkable
class WindowModel(Protocol):
    """A network whose frames can be encoded once and shared by all windows they take part in.

    ``transform`` must not depend on the order of the frames: wanted ones come first.
    """

    def encode(self, frames: Tensor, masks: Tensor) -> Tensor:
        """Features ``(B, T, C, h, w)`` of frames ``(B, T, 3, H, W)`` and masks ``(B, T, 1, H, W)``, each on its own."""
        ...

    def transform(self, features: Tensor, masks: Tensor, *, num_queries: int | None = None) -> Tensor:
        """Completed features of the first ``num_queries`` frames."""
        ...

    def decode(self, features: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
        """Frames ``(B, T, 3, *size)`` in [0, 1] of completed features, each on its own."""
        ...


@runtime_checkable
class RegionModel(WindowModel, Protocol):
    """A network that can leave out what does not matter to a region of the frames."""

    def transform_region(
        self, features: Tensor, masks: Tensor, *, region: Region, num_queries: int | None = None
    ) -> Tensor:
        """What :meth:`decode_region` reads, of the first ``num_queries`` frames."""
        ...

    def decode_region(self, features: Tensor, *, region: Region, size: tuple[int, int]) -> Tensor:
        """The region of frames of ``size``, ``(B, T, 3, bottom - top, right - left)`` in [0, 1]."""
        ...


class WindowInpainter:
    """Slides a window over a clip, completes its frames together with references from elsewhere, and blends windows.

    Frames are read, completed and yielded as they finish. A network with ``encode``, ``transform`` and ``decode``
    (:class:`WindowModel`) encodes each frame once; features are dropped when the coming windows do not need them. Any
    other network is called as ``forward(frames, masks)`` per window, frames in temporal order, references last. Windows
    without a hole are skipped.

    Args:
        model: the network. It is copied if its device or precision has to change, and used as it is otherwise.
        neighbor_radius: frames on each side of a window's centre.
        neighbor_stride: frames from one centre to the next, at most ``neighbor_radius + 1``.
        reference_stride: frames from one reference to the next.
        max_references: references per window, the nearest to its centre; memory and time per frame are then the same
            for any length. None takes all, as the public code does.
        blend: what a frame completed by several windows becomes: ``mean`` of all, or ``ema_half``, each window
            averaged with what was there before (the public code, which so weighs the last window most).
        quantize: ``round`` leaves frames unrounded until they are written, to the nearest level; ``truncate`` cuts
            every window and the result down to whole levels, as the public code does.
        size: (height, width) in pixels at which the network works, whatever the clip's size; ``native`` is the clip's.
            Clips of another size are resized for the network, and only the hole is taken from the result.
        device: ``auto`` is a GPU if there is one; ``keep`` is where the network is; or a device's name.
        precision: ``fp32``, ``bf16`` or ``fp16``, of weights and features.
        chunk_size: frames that are read, encoded or decoded at a time.
        cut_threshold: score from which neighbouring frames count as a cut (see
            :func:`vinpaint.inference.shots.scene_change`); every shot is then completed as if it were a clip. Frames
            are read a second time for it, ahead of what is completed. None: frames are mixed across cuts.

    Raises:
        UserError: if an argument is none of these or the device is absent.

    Source: STTN (arXiv:2007.10247), equation 1, and the public code's test script, which ``blend="ema_half"`` and
    ``quantize="truncate"`` follow to the level.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        neighbor_radius: int = 5,
        neighbor_stride: int = 5,
        reference_stride: int = 10,
        max_references: int | None = None,
        blend: Blend = "mean",
        quantize: Quantize = "round",
        size: tuple[int, int] | Literal["native"] = (240, 432),
        device: str = "auto",
        precision: Precision = "fp32",
        chunk_size: int = 4,
        cut_threshold: float | None = None,
    ) -> None:
        _check_choice("blend", blend, ("mean", "ema_half"))
        _check_choice("quantize", quantize, ("round", "truncate"))
        resolve_precision(precision)
        if chunk_size < 1:
            raise UserError(f"chunk_size={chunk_size}: expected at least 1")
        if size != "native" and (isinstance(size, str) or len(size) != 2 or min(size) < 1):
            raise UserError(f"size={size}: expected native or [height, width] in pixels")
        self.model = model
        self.neighbor_radius = neighbor_radius
        self.neighbor_stride = neighbor_stride
        self.reference_stride = reference_stride
        self.max_references = max_references
        self.blend = blend
        self.quantize = quantize
        self.size: tuple[int, int] | None = None if isinstance(size, str) else (size[0], size[1])
        self.device = device
        self.precision = precision
        self.chunk_size = chunk_size
        self.cut_threshold = cut_threshold
        if cut_threshold is not None:
            check_cut_threshold(cut_threshold)
        next(self._schedule(1))  # a schedule that cannot be is refused here, not in the middle of a clip
        resolve_device(device, model)

    def stream(self, clip: MaskedClip) -> Iterator[Tensor]:
        """Complete ``clip``; see :class:`vinpaint.inference.inpainter.Inpainter`."""
        yield from self.stream_from(clip, 0, no_earlier_frame)

    def stream_from(
        self, clip: MaskedClip, start: int, earlier: Callable[[int], NDArray[np.uint8]]
    ) -> Iterator[Tensor]:
        """Go on with ``clip``; see :class:`vinpaint.inference.inpainter.ResumableInpainter`.

        Every window that a frame to come takes part in is completed, again where an earlier start had done so.
        """
        network = self._place()
        was_training = network.training
        network.eval()
        try:
            device = resolve_device(self.device, network)
            inputs = _WindowInputs(clip, network, self.size, device, self.chunk_size)
            with ReadAhead(clip, active=device.type == "cuda") as reader:
                yield from arriving(self._finished(inputs, reader, start), device)
        finally:
            network.train(was_training)

    def _finished(self, inputs: _WindowInputs, reader: ReadAhead, start: int) -> Iterator[Iterator[Tensor]]:
        """The frames that are final after each window, made as they are taken, on the device of the network."""
        clip = inputs.clip
        pending: dict[int, _PendingFrame] = {}
        # features needed within the stretch that a reference spends as a neighbour are kept over it
        ahead = -(-max(self.reference_stride, 2 * self.neighbor_radius + 1) // self.neighbor_stride) + 1
        for window, coming in _look_ahead(self._windows(clip), ahead):
            needed = {index for later in coming for index in (*later.neighbors, *later.references)}
            if window.neighbors.stop <= start:
                if clip.masks.read(window.neighbors).any():
                    inputs.pass_over(window)
                inputs.keep(needed)
                continue
            new = [index for index in window.neighbors if index not in pending]
            if new:
                after = coming[0].neighbors if coming else ()
                then = [index for index in after if index not in window.neighbors]
                for index, frame, hole in zip(new, *reader.read(new, then), strict=True):
                    pending[index] = _PendingFrame(frame, hole)
            wanted = [index for index in window.neighbors if pending[index].has_hole]
            if wanted:
                for index, completed in zip(wanted, inputs.complete(window, wanted, pending), strict=True):
                    pending[index].add(self._cut_levels(completed), self.blend)
            final = coming[0].neighbors.start if coming else clip.num_frames
            done = [(index, pending.pop(index)) for index in sorted(pending) if index < final]
            yield (self._finish(frame, inputs) for index, frame in done if index >= start)
            inputs.keep(needed)

    @torch.no_grad()
    def _finish(self, frame: _PendingFrame, inputs: _WindowInputs) -> Tensor:
        """Put the completed hole into the native frame."""
        if frame.completed is None:
            return to_tensor(frame.frame)
        known = from_levels(upload(frame.frame, inputs.device))
        completed, holes = frame.completed.unsqueeze(0), upload(frame.hole, inputs.device).unsqueeze(0)
        if completed.shape[-2:] != known.shape[-2:]:
            # the border of the hole is enlarged together with the known pixels beside it, or it would not meet them
            around, covered = inputs.prepare([frame])
            completed = resize_completed(composite(around, completed, covered), inputs.native_size)
        return composite(known, self._cut_levels(completed)[0], holes)

    def _cut_levels(self, frames: Tensor) -> Tensor:
        return frames if self.quantize == "round" else frames.mul(255).floor_().div_(255)

    def _windows(self, clip: MaskedClip) -> Iterator[Window]:
        end_of_shot = None if self.cut_threshold is None else Shots(clip, threshold=self.cut_threshold).end_of
        return self._schedule(clip.num_frames, end_of_shot)

    def _schedule(self, num_frames: int, end_of_shot: Callable[[int, int], int] | None = None) -> Iterator[Window]:
        return window_schedule(
            num_frames,
            neighbor_radius=self.neighbor_radius,
            neighbor_stride=self.neighbor_stride,
            reference_stride=self.reference_stride,
            max_references=self.max_references,
            end_of_shot=end_of_shot,
        )

    def _place(self) -> nn.Module:
        """The network on its device and in its precision; a copy, laid out for convolutions, unless it already is."""
        placed = place(self.model, resolve_device(self.device, self.model), self.precision)
        if placed is self.model:
            return placed
        return cast(nn.Module, placed.to(memory_format=torch.channels_last))  # type: ignore[call-overload]


class _PendingFrame:
    """A frame between being read and being final."""

    def __init__(self, frame: NDArray[np.uint8], hole: NDArray[np.bool_]) -> None:
        self.frame = frame
        self.hole = hole
        self.has_hole = bool(hole.any())
        self.completed: Tensor | None = None
        self._windows = 0

    def add(self, completed: Tensor, blend: Blend) -> None:
        self._windows += 1
        if self.completed is None:
            self.completed = completed
        elif blend == "mean":
            self.completed = self.completed + (completed - self.completed) / self._windows
        else:
            self.completed = self.completed * 0.5 + completed * 0.5


class _WindowInputs:
    """What the network reads of each frame, made once and kept while windows need it."""

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

    def prepare(self, frames: Sequence[_PendingFrame]) -> tuple[Tensor, Tensor]:
        """Frames ``(N, 3, h, w)`` with hidden holes and masks ``(N, 1, h, w)`` at the network's size, on its device."""
        images = from_levels(upload(np.stack([frame.frame for frame in frames]), self.device))
        holes = upload(np.stack([frame.hole for frame in frames]), self.device).unsqueeze(1).float()
        return resize_visible(images, holes, self.size)

    @torch.no_grad()
    def complete(self, window: Window, wanted: Sequence[int], pending: dict[int, _PendingFrame]) -> Tensor:
        """Complete the ``wanted`` frames of a window: ``(len(wanted), 3, h, w)`` float32 in [0, 1]."""
        frames = [*window.neighbors, *window.references]
        self._fill(frames, pending)
        if not self.shares_features:
            images, masks = self._stacked(frames)
            dtype = next((value.dtype for value in self.network.parameters()), torch.float32)
            completed = self.network(images.to(dtype), masks.to(dtype))[0].float().clamp(0, 1)
            return cast(Tensor, completed[[frames.index(index) for index in wanted]])
        network = cast(WindowModel, self.network)
        features, masks = self._stacked([*wanted, *(index for index in frames if index not in wanted)])
        if isinstance(network, RegionModel) and self.device.type == "cpu":
            return self._complete_region(network, features, masks, len(wanted))
        features = network.transform(features, masks, num_queries=len(wanted))
        parts = self._decoded.run(
            lambda part: network.decode(features[:, part], size=self.size)[0].float(), features.shape[1]
        )
        return torch.cat(parts).clamp_(0, 1)

    def _complete_region(self, network: RegionModel, features: Tensor, masks: Tensor, num_queries: int) -> Tensor:
        """Complete what the holes span and leave the rest black; on a GPU every shape of a region has its price."""
        region = region_of(masks[:, :num_queries] > 0.5)
        features = network.transform_region(features, masks, region=region, num_queries=num_queries)
        completed = torch.zeros(num_queries, 3, *self.size, device=self.device)
        parts = self._decoded.run(
            lambda part: network.decode_region(features[:, part], region=region, size=self.size)[0].float(), num_queries
        )
        region.of(completed).copy_(torch.cat(parts).clamp_(0, 1))
        return completed

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

    def _fill(self, frames: Sequence[int], pending: dict[int, _PendingFrame]) -> None:
        for index in frames:
            if index in self._passed:
                chunk = self._passed[index]
                held = {other for other in chunk if other in self._passed}  # the others were dropped meanwhile
                self._encode(chunk, pending, keep=held)
                self._passed = {other: mates for other, mates in self._passed.items() if other not in held}
        missing = iter(index for index in frames if index not in self._kept)
        while chunk := tuple(islice(missing, self.chunk_size)):
            self._encode(chunk, pending, keep=set(chunk))

    def _encode(self, chunk: Sequence[int], pending: dict[int, _PendingFrame], *, keep: set[int]) -> None:
        unread = [index for index in chunk if index not in pending]
        read = {}
        if unread:
            read = {
                index: _PendingFrame(frame, hole)
                for index, frame, hole in zip(unread, *self.clip.read(unread), strict=True)
            }
        images, masks = self.prepare([read[index] if index in read else pending[index] for index in chunk])
        if self.shares_features:
            network = cast(WindowModel, self.network)
            clip, holes = images.unsqueeze(0), masks.unsqueeze(0)
            images = torch.cat(
                self._encoded.run(lambda part: network.encode(clip[:, part], holes[:, part])[0], len(chunk))
            )
        for index, image, mask in zip(chunk, torch.split(images, 1), torch.split(masks, 1), strict=True):
            if index in keep:
                # copies: a slice would keep its whole chunk alive
                self._kept[index] = (image.clone(), mask > 0.5)

    def _stacked(self, frames: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Kept values of frames, ``(1, T, C, h, w)`` and masks ``(1, T, 1, H, W)`` in {0, 1}."""
        values, masks = zip(*(self._kept[index] for index in frames), strict=True)
        return torch.cat(values).unsqueeze(0), torch.cat(masks).float().unsqueeze(0)


def _look_ahead(windows: Iterator[Window], count: int) -> Iterator[tuple[Window, list[Window]]]:
    """Each window together with the ``count`` that follow it."""
    queue = deque(islice(windows, count + 1))
    while queue:
        window = queue.popleft()
        yield window, list(queue)
        queue.extend(islice(windows, 1))


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise UserError(f"{name}={value}: expected {' or '.join(choices)}")
