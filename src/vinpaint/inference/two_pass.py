"""Completes clips frame by frame with CPNet, backward and then forward: completed frames become references."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vinpaint.errors import UserError
from vinpaint.inference.hole_store import HoleStore
from vinpaint.inference.inpainter import MaskedClip
from vinpaint.inference.kept_frame import KeptFrame, open_or_filled
from vinpaint.inference.placement import Precision, place, resolve_device, resolve_precision
from vinpaint.inference.reference_schedule import ReferenceSchedule, ScheduleKind
from vinpaint.inference.resizing import resize_completed, resize_visible
from vinpaint.models.cpnet import CPNet, PreparedFrames, References
from vinpaint.ops.compositing import composite
from vinpaint.ops.conversion import mask_to_tensor, to_tensor

Passes = Literal["backward_forward", "forward"]
Blend = Literal["symmetric", "released"]


class TwoPassInpainter:
    """Completes each frame from references around it; once completed, it is a reference without a hole itself.

    The method needs the whole clip: a pass from the last frame to the first, then one from the first to the last that
    starts over from the frames as they were given; each frame is a mixture of the two, the first pass weighing more
    towards the start of the clip. The result of the first pass is kept inside holes only, beyond 16 MiB in a temporary
    file, and frames are yielded during the second. ``passes="forward"`` does without the first pass: one pass in
    temporal order, that looks ahead as far as its references.

    Memory does not depend on the length of the clip. What is kept are the frames that may still be references, up to
    ``2 * reference_radius / reference_stride`` of them or, if fewer, ``max_references`` (twice or more with the
    released schedule): 8-bit pixels, the completed hole in float32 and 0.8 MB of features each, at the size of the
    network. That is 160 MB with the defaults and holes of a tenth of the frame.

    Args:
        model: the network. It is copied if its device or precision has to change, and used as it is otherwise.
        passes: ``backward_forward`` is the released method; ``forward`` the recurrent one of half the cost.
        reference_radius: frames on each side of a target among which references are taken.
        reference_stride: frames from one reference to the next.
        max_references: references per target, the nearest; time per frame is proportional to their number. None: all.
        reference_schedule: ``grid`` or ``released``, see :class:`ReferenceSchedule`.
        stale_features: the released code keeps, for alignment in the second pass, features of the frames as the first
            pass completed them, although it restores frames and holes; a target is encoded afresh. False restores all.
        blend: share of the second pass in frame t of T: ``symmetric`` t / (T - 1), so that either pass decides alone
            where it was last, with all other frames completed; ``released`` t / T, which lets the first pass speak in
            the last frame, where it had nothing completed to borrow from.
        size: (height, width) in pixels at which the network works, whatever the clip's size; ``native`` is the clip's.
            Clips of another size are resized for the network, and only the hole is taken from the result.
        device: ``auto`` is a GPU if there is one; ``keep`` is where the network is; or a device's name.
        precision: ``fp32``, ``bf16`` or ``fp16``, of weights and features; positions are always float32.
        chunk_size: frames that are read, encoded or aligned at a time.

    Raises:
        UserError: if the network is no CPNet, an argument is none of these, or the device is absent.

    Source: Copy-and-Paste Networks (arXiv:1908.11587) and the released test script, reproduced to the level with
    ``released`` schedule and blend and ``stale_features``.
    """

    def __init__(
        self,
        model: CPNet,
        *,
        passes: Passes = "backward_forward",
        reference_radius: int = 120,
        reference_stride: int = 2,
        max_references: int | None = None,
        reference_schedule: ScheduleKind = "grid",
        stale_features: bool = False,
        blend: Blend = "symmetric",
        size: tuple[int, int] | Literal["native"] = (240, 424),
        device: str = "auto",
        precision: Precision = "fp32",
        chunk_size: int = 8,
    ) -> None:
        if not isinstance(model, CPNet):
            raise UserError(f"model is a {type(model).__name__}: this engine runs a CPNet; use WindowInpainter")
        if passes not in ("backward_forward", "forward"):
            raise UserError(f"passes={passes}: expected backward_forward or forward")
        if blend not in ("symmetric", "released"):
            raise UserError(f"blend={blend}: expected symmetric or released")
        if chunk_size < 1:
            raise UserError(f"chunk_size={chunk_size}: expected at least 1")
        if size != "native" and (isinstance(size, str) or len(size) != 2 or min(size) < 1):
            raise UserError(f"size={size}: expected native or [height, width] in pixels")
        self.model = model
        self.passes = passes
        self.reference_radius = reference_radius
        self.reference_stride = reference_stride
        self.max_references = max_references
        self.reference_schedule: ScheduleKind = reference_schedule
        self.stale_features = stale_features
        self.blend = blend
        self.size: tuple[int, int] | None = None if isinstance(size, str) else (size[0], size[1])
        self.device = device
        self.precision: Precision = precision
        self.chunk_size = chunk_size
        self._schedule(1)  # what cannot be is refused here, not in the middle of a clip
        resolve_device(device, model)
        resolve_precision(precision)

    def stream(self, clip: MaskedClip) -> Iterator[Tensor]:
        """Complete ``clip``; see :class:`vinpaint.inference.inpainter.Inpainter`."""
        network = place(self.model, resolve_device(self.device, self.model), self.precision)
        was_training = network.training
        network.eval()
        try:
            with closing(HoleStore()) as first_pass:
                yield from self._stream(clip, network, first_pass)
        finally:
            network.train(was_training)

    def _stream(self, clip: MaskedClip, network: CPNet, first_pass: HoleStore) -> Iterator[Tensor]:
        if self.passes == "backward_forward":
            for index, frame in self._pass(clip, network, -1).run():
                if frame.filled is not None:
                    first_pass.put(index, frame.filled)
        as_completed = first_pass.get if self.stale_features else None
        for index, frame in self._pass(clip, network, 1, as_completed=as_completed).run():
            pixels, holes = clip.read([index])
            known = to_tensor(pixels)[0]
            if frame.filled is None:
                yield known
                continue
            filled, first = frame.filled, first_pass.get(index)
            if first is not None:
                filled = torch.lerp(first.to(filled.device), filled, self._share_of_second_pass(index, clip.num_frames))
            completed = resize_completed(frame.image(filled).unsqueeze(0), (clip.height, clip.width))[0]
            yield composite(known, completed.cpu(), mask_to_tensor(holes)[0])

    def _share_of_second_pass(self, index: int, num_frames: int) -> float:
        return index / (num_frames if self.blend == "released" else max(num_frames - 1, 1))

    def _pass(
        self,
        clip: MaskedClip,
        network: CPNet,
        step: Literal[1, -1],
        *,
        as_completed: Callable[[int], Tensor | None] | None = None,
    ) -> _Pass:
        size = self.size or (clip.height, clip.width)
        return _Pass(
            clip, network, schedule=self._schedule(clip.num_frames), step=step, size=size,
            chunk_size=self.chunk_size, as_completed=as_completed,
        )  # fmt: skip

    def _schedule(self, num_frames: int) -> ReferenceSchedule:
        return ReferenceSchedule(
            num_frames,
            radius=self.reference_radius,
            stride=self.reference_stride,
            max_references=self.max_references,
            kind=self.reference_schedule,
        )


class _Pass:
    """One pass over a clip: completes its frames one after the other and keeps those that are still borrowed from."""

    def __init__(
        self,
        clip: MaskedClip,
        network: CPNet,
        *,
        schedule: ReferenceSchedule,
        step: Literal[1, -1],
        size: tuple[int, int],
        chunk_size: int,
        as_completed: Callable[[int], Tensor | None] | None,
    ) -> None:
        self.clip = clip
        self.network = network
        self.schedule = schedule
        self.step: Literal[1, -1] = step
        self.size = size
        self.chunk_size = chunk_size
        self.as_completed = as_completed
        self.device = network.mean.device
        self.frames: dict[int, KeptFrame] = {}

    def run(self) -> Iterator[tuple[int, KeptFrame]]:
        """Yield every frame with its number when it is completed."""
        order = range(self.clip.num_frames)[:: self.step]
        for position, target in enumerate(order):
            if not self._needed(target) <= self.frames.keys():
                coming = order[position : position + self.chunk_size]
                self._load(sorted(set().union(*map(self._needed, coming)) - self.frames.keys()))
            frame = self.frames[target]
            if frame.hole.any():
                self._complete(target, frame)
            yield target, frame
            kept = self.schedule.kept_after(self.frames, target, self.step)
            self.frames = {
                index: kept_frame
                for index, kept_frame in self.frames.items()
                if index in kept or (index - target) * self.step > 0
            }

    def _needed(self, target: int) -> set[int]:
        return {target, *self.schedule.references(target)}

    @torch.no_grad()
    def _load(self, missing: list[int]) -> None:
        for start in range(0, len(missing), self.chunk_size):
            chunk = missing[start : start + self.chunk_size]
            pixels, masks = self.clip.read(chunk)
            loaded = [KeptFrame(*stored) for stored in zip(*self._shrink(pixels, masks), strict=True)]
            earlier = [None if self.as_completed is None else self.as_completed(index) for index in chunk]
            for index, frame, features in zip(chunk, loaded, self._features(loaded, earlier), strict=True):
                frame.features = features.clone()  # a slice would keep its whole chunk alive
                self.frames[index] = frame

    def _shrink(self, pixels: NDArray[np.uint8], masks: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
        """Frames ``(N, 3, h, w)`` uint8 and holes ``(N, 1, h, w)`` bool at the network's size, on its device."""
        images, holes = resize_visible(
            to_tensor(pixels).to(self.device), mask_to_tensor(masks).to(self.device), self.size
        )
        return images.mul(255).round_().to(torch.uint8), holes > 0.5

    @torch.no_grad()
    def _complete(self, target: int, frame: KeptFrame) -> None:
        references = self.schedule.references(target)
        portions = (references[start : start + self.chunk_size] for start in range(0, len(references), self.chunk_size))
        completion = self.network.complete(
            self._prepare([frame], [None]),
            # stale features serve references alone
            frame.features.unsqueeze(0) if self.as_completed is None else self._features([frame], [None]),
            map(self._portion, portions),
            size=self.size,
        )
        frame.filled = completion.frame[0].clamp(0, 1)[:, frame.hole[0]]
        frame.features = self._features([frame], [frame.filled])[0]

    def _portion(self, references: tuple[int, ...]) -> References:
        """References as the network reads them, completed ones without a hole: ``(1, R, ...)``."""
        frames = [self.frames[index] for index in references]
        prepared = self._prepare(frames, [frame.filled for frame in frames])
        features = torch.stack([frame.features for frame in frames])
        return References(PreparedFrames(*(part.unsqueeze(0) for part in prepared)), features.unsqueeze(0))

    def _features(self, frames: Sequence[KeptFrame], filled: Sequence[Tensor | None]) -> Tensor:
        return self.network.encode_alignment(self._prepare(frames, filled))

    def _prepare(self, frames: Sequence[KeptFrame], filled: Sequence[Tensor | None]) -> PreparedFrames:
        """Frames as the network reads them, ``(N, ...)``, their holes filled or, where that is None, open."""
        return self.network.prepare(*open_or_filled(frames, filled))
