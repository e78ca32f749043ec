"""Completes clips frame by frame with STRA-Net: in temporal order, completed frames becoming references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vinpaint.errors import UserError
from vinpaint.inference.inpainter import MaskedClip
from vinpaint.inference.kept_frame import KeptFrame, open_or_filled
from vinpaint.inference.placement import Precision, place, resolve_device, resolve_precision
from vinpaint.inference.recurrent_references import RecurrentReferences, ReferenceStrategy
from vinpaint.models.cpnet import PreparedFrames
from vinpaint.models.stra_net import Completion, Motion, References, STRANet
from vinpaint.models.stra_net.motion import stack_motions
from vinpaint.models.stra_net.temporal import Features

_COARSE = 8
"""Pixels per side of the cells in which holes are compared when references are chosen by coverage."""


class RecurrentInpainter:
    """Completes each frame from references around it; once completed, it is a reference without a hole itself.

    Frames are read in order, ``reference_window`` frames ahead of the one that is completed, and leave as they are
    finished. Memory does not depend on the length of the clip: what is kept are the frames within the window that may
    still be references, as 8-bit pixels, the completed hole and 0.8 MB of features each, and the motion between the
    near ones, which is estimated once for each pair of neighbours, from the frames as they were read.

    Args:
        model: the network. It is copied if its device or precision has to change, and used as it is otherwise.
        recurrent: False leaves completed frames out: every frame is completed from the clip as it was read.
        near_references: frames on each side of a target that are always references, aligned by flow too.
        distant_references: further references at most. The paper takes up to 20 references in all.
        reference_window: frames on each side that references are taken from; how far the engine looks ahead.
        reference_strategy: ``strided`` | ``cpnet`` | ``coverage``, see :class:`RecurrentReferences`.
        device: ``auto`` is a GPU if there is one; ``keep`` is where the network is; or a device's name.
        precision: ``fp32``, ``bf16`` or ``fp16``, of weights and features; positions are always float32.
        chunk_size: references that are read or aligned at a time; bounds memory and changes values by rounding only.

    Raises:
        UserError: if the network is no STRANet, an argument is none of these, or the device is absent.

    Source: STRA-Net (BMVC 2021), section 3.1.
    """

    def __init__(
        self,
        model: STRANet,
        *,
        recurrent: bool = True,
        near_references: int = 3,
        distant_references: int = 13,
        reference_window: int = 30,
        reference_strategy: ReferenceStrategy = "strided",
        device: str = "auto",
        precision: Precision = "fp32",
        chunk_size: int = 8,
    ) -> None:
        if not isinstance(model, STRANet):
            raise UserError(f"model is a {type(model).__name__}: this engine runs a STRANet; use WindowInpainter")
        if chunk_size < 1:
            raise UserError(f"chunk_size={chunk_size}: expected at least 1")
        self.model = model
        self.recurrent = recurrent
        self.near_references = near_references
        self.distant_references = distant_references
        self.reference_window = reference_window
        self.reference_strategy: ReferenceStrategy = reference_strategy
        self.device = device
        self.precision: Precision = precision
        self.chunk_size = chunk_size
        self._references(1)  # what cannot be is refused here, not in the middle of a clip
        resolve_device(device, model)
        resolve_precision(precision)

    @property
    def reach(self) -> int:
        """Frames between a target and its farthest reference."""
        return self._references(1).reach

    def stream(self, clip: MaskedClip) -> Iterator[Tensor]:
        """Complete ``clip``; see :class:`vinpaint.inference.inpainter.Inpainter`."""
        for completed, _ in self._stream(clip, keep_aligned=False):
            yield completed

    def _stream(self, clip: MaskedClip, *, keep_aligned: bool) -> Iterator[tuple[Tensor, Borrowed | None]]:
        network = place(self.model, resolve_device(self.device, self.model), self.precision)
        was_training = network.training
        network.eval()
        try:
            run = _Run(
                clip, network, references=self._references(clip.num_frames), recurrent=self.recurrent,
                chunk_size=self.chunk_size, keep_aligned=keep_aligned,
            )  # fmt: skip
            for target in range(clip.num_frames):
                yield run.complete(target)
        finally:
            network.train(was_training)

    def _references(self, num_frames: int) -> RecurrentReferences:
        return RecurrentReferences(
            num_frames,
            near=self.near_references,
            distant=self.distant_references,
            window=self.reference_window,
            strategy=self.reference_strategy,
        )


class Borrowed(NamedTuple):
    """What a target was completed from.

    Attributes:
        completion: of the network.
        indices: the references of each of its ``aligned`` portions.
    """

    completion: Completion
    indices: tuple[tuple[int, ...], ...]


class _Run:
    """One run over a clip: completes its frames one after the other and keeps those that are still borrowed from."""

    def __init__(
        self,
        clip: MaskedClip,
        network: STRANet,
        *,
        references: RecurrentReferences,
        recurrent: bool,
        chunk_size: int,
        keep_aligned: bool,
    ) -> None:
        self.clip = clip
        self.network = network
        self.references = references
        self.recurrent = recurrent
        self.chunk_size = chunk_size
        self.keep_aligned = keep_aligned
        self.device = network.mean.device
        self.frames: dict[int, KeptFrame] = {}
        self.hidden: dict[int, Tensor] = {}
        self.pyramids: dict[int, Features] = {}
        self.steps: dict[int, tuple[Motion, Motion]] = {}
        self.end = 0  # first frame not yet read

    @torch.no_grad()
    def complete(self, target: int) -> tuple[Tensor, Borrowed | None]:
        """Complete a frame ``(3, H, W)``, all before it having been completed; None: it has no hole."""
        self._read_until(min(target + self.references.reach + 1, self.clip.num_frames))
        frame = self.frames[target]
        completed, borrowed = frame.image(None), None
        if frame.hole.any():
            borrowed = self._complete(target, frame)
            completed = borrowed.completion.frame[0].clamp(0, 1)
            if self.recurrent:
                frame.filled = completed[:, frame.hole[0]]
                frame.features = frame.features.new_empty(0)  # what was computed of it had a hole
                self.pyramids.pop(target, None)
        self._forget(target + 1)
        return completed.cpu(), borrowed

    def _read_until(self, end: int) -> None:
        while self.end < end:
            indices = range(self.end, min(self.end + self.chunk_size, end))
            pixels, masks = self.clip.read(indices)
            holes = torch.from_numpy(masks).unsqueeze(1).to(self.device)
            levels = torch.from_numpy(pixels).to(self.device).movedim(-1, -3)
            hidden = F.avg_pool2d(holes.float(), _COARSE, ceil_mode=True, count_include_pad=False).flatten(1)
            for index, image, hole, cells in zip(indices, levels, holes, hidden, strict=True):
                # copies: a view would keep its whole chunk alive
                self.frames[index] = KeptFrame(torch.where(hole, 0, image).contiguous(), hole.clone())
                self.hidden[index] = cells.clone()
            self.end = indices[-1] + 1

    def _forget(self, coming: int) -> None:
        kept = {index for index in self.frames if index >= coming or self.references.kept(index, coming)}
        self.frames = {index: self.frames[index] for index in kept}
        self.hidden = {index: self.hidden[index] for index in kept}
        self.pyramids = {index: value for index, value in self.pyramids.items() if index in kept}
        self.steps = {index: step for index, step in self.steps.items() if index >= coming - self.references.near_count}

    def _complete(self, target: int, frame: KeptFrame) -> Borrowed:
        near = self.references.near(target)
        distant = self.references.distant(target, self.hidden) if self.network.uses_affine else ()
        motions = self._motions(target, near) if self.network.uses_flow else {}
        portions = [(chunk, True) for chunk in self._chunks(near)] + [(chunk, False) for chunk in self._chunks(distant)]
        uses_affine = self.network.uses_affine
        completion = self.network.complete(
            self._prepare([frame], [None]),
            self._features([target]) if uses_affine else None,
            (self._portion(chunk, motions if is_near else {}) for chunk, is_near in portions),
            size=(self.clip.height, self.clip.width),
            keep_aligned=self.keep_aligned,
        )
        indices = (
            chunk
            for chunk, is_near in portions
            for wanted in (uses_affine, is_near and self.network.uses_flow)
            if wanted
        )
        return Borrowed(completion, tuple(indices))

    def _chunks(self, indices: Sequence[int]) -> list[tuple[int, ...]]:
        return [tuple(indices[start : start + self.chunk_size]) for start in range(0, len(indices), self.chunk_size)]

    def _portion(self, indices: tuple[int, ...], motions: Mapping[int, Motion]) -> References:
        """References as the network reads them, completed ones without a hole: ``(1, R, ...)``."""
        frames = [self.frames[index] for index in indices]
        prepared = self._prepare(frames, [frame.filled for frame in frames])
        return References(
            PreparedFrames(*(part.unsqueeze(0) for part in prepared)),
            self._features(indices).unsqueeze(0) if self.network.uses_affine else None,
            stack_motions([motions[index] for index in indices]) if motions else None,
            self._pyramid(indices) if self.network.align_domain == "feature" else None,
        )

    def _features(self, indices: Sequence[int]) -> Tensor:
        """Features for alignment ``(R, C, h, w)``, computed of frames that have none."""
        missing = [self.frames[index] for index in indices if not self.frames[index].features.numel()]
        if missing:
            encoded = self.network.encode_alignment(self._prepare(missing, [frame.filled for frame in missing]))
            for frame, features in zip(missing, encoded, strict=True):
                frame.features = features.clone()
        return torch.stack([self.frames[index].features for index in indices])

    def _pyramid(self, indices: Sequence[int]) -> Features:
        """Features that are copied, ``(1, R, C, h, w)`` for each scale, computed of frames that have none."""
        missing = [index for index in indices if index not in self.pyramids]
        if missing:
            frames = [self.frames[index] for index in missing]
            encoded = self.network.encode_copy(self._prepare(frames, [frame.filled for frame in frames]))
            for position, index in enumerate(missing):
                self.pyramids[index] = tuple(level[position].clone() for level in encoded)
        return tuple(
            torch.stack(levels).unsqueeze(0)
            for levels in zip(*(self.pyramids[index] for index in indices), strict=True)
        )

    def _motions(self, target: int, near: Sequence[int]) -> dict[int, Motion]:
        """Motion ``(1, ...)`` from a frame to those near it."""
        branch = self.network.flow
        if branch.mode == "direct":
            here = self._as_read(target)
            return {index: branch.between(here, self._as_read(index))[0] for index in near}
        motions: dict[int, Motion] = {}
        for step in (1, -1):
            index = target + step
            while index in near:
                onward, back = self._step(min(index, index - step))
                link = onward if step > 0 else back
                before = motions.get(index - step)
                motions[index] = link if before is None else before.then(link)
                index += step
        return motions

    def _step(self, index: int) -> tuple[Motion, Motion]:
        """Motion from a frame to the next, and back, estimated once."""
        if index not in self.steps:
            self.steps[index] = self.network.flow.between(self._as_read(index), self._as_read(index + 1))
        return self.steps[index]

    def _as_read(self, index: int) -> PreparedFrames:
        return self._prepare([self.frames[index]], [None])

    def _prepare(self, frames: Sequence[KeptFrame], filled: Sequence[Tensor | None]) -> PreparedFrames:
        """Frames as the network reads them, ``(N, ...)``, their holes filled or, where that is None, open."""
        return self.network.prepare(*open_or_filled(frames, filled))
