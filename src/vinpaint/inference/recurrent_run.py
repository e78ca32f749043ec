"""One run of STRA-Net over a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vinpaint.inference.camera_motion import CameraMotion, PixelMap
from vinpaint.inference.inpainter import MaskedClip
from vinpaint.inference.kept_frame import KeptFrame, open_or_filled
from vinpaint.inference.own_memory import in_own_memory
from vinpaint.inference.recurrent_references import RecurrentReferences
from vinpaint.models.cpnet import PreparedFrames
from vinpaint.models.stra_net import Completion, Motion, References, STRANet
from vinpaint.models.stra_net.motion import stack_motions
from vinpaint.models.stra_net.temporal import Features
from vinpaint.ops.affine import pixel_theta

AffineMaps = Literal["learned", "camera"]

_COARSE = 8
"""Pixels per side of the cells in which holes are compared when references are chosen by coverage."""


class Borrowed(NamedTuple):
    """What a target was completed from.

    Attributes:
        completion: of the network.
        indices: the references of each of its ``aligned`` portions; none of a frame without a hole.
        hole: that of the target, ``(1, h, w)`` bool.
    """

    completion: Completion
    indices: tuple[tuple[int, ...], ...]
    hole: Tensor


class RecurrentRun:
    """One run over a clip: completes its frames one after the other and keeps those that are still borrowed from.

    Args:
        clip: the clip.
        network: what completes a frame.
        references: which frames each is completed from.
        affine: see :class:`vinpaint.inference.recurrent.RecurrentInpainter`.
        recurrent: see there.
        chunk_size: see there.
        keep_aligned: whether it is to be told what frames were completed from.
        makes_known: whether the network is to make frames without a hole, too, as far as others that have one may
            borrow from them: each from itself alone, as from a reference that fits.
    """

    def __init__(
        self,
        clip: MaskedClip,
        network: STRANet,
        *,
        references: RecurrentReferences,
        affine: AffineMaps,
        recurrent: bool,
        chunk_size: int,
        keep_aligned: bool,
        makes_known: bool,
    ) -> None:
        self.clip = clip
        self.network = network
        self.references = references
        self.recurrent = recurrent
        self.chunk_size = chunk_size
        self.keep_aligned = keep_aligned
        self.makes_known = makes_known
        self.camera: CameraMotion | None = None
        if affine == "camera" and network.uses_affine:
            self.camera = CameraMotion(clip, (clip.height, clip.width))
        self.learned_maps = network.uses_affine and self.camera is None
        self.device = network.mean.device
        self.frames: dict[int, KeptFrame] = {}
        self.hidden: dict[int, Tensor] = {}
        self.pyramids: dict[int, Features] = {}
        self.steps: dict[int, tuple[Motion, Motion]] = {}
        self.end = 0  # first frame not yet read
        self.last_hole: int | None = None  # of the frames completed so far

    @torch.no_grad()
    def complete(self, target: int) -> tuple[Tensor, Borrowed | None]:
        """Complete a frame ``(3, H, W)``, all before it having been completed; None: it has no hole."""
        self._read_until(min(target + self.references.reach + 1, self.clip.num_frames))
        frame = self.frames[target]
        completed, borrowed = frame.image(None), None
        if frame.hole.any():
            self.last_hole = target
            borrowed = self._complete(target, frame)
            completed = borrowed.completion.frame[0].clamp(0, 1)
            if self.recurrent:
                frame.filled = in_own_memory(completed[:, frame.hole[0]])
                frame.features = frame.features.new_empty(0)  # what was computed of it had a hole
                self.pyramids.pop(target, None)
        elif self.makes_known and self._lends(target):
            borrowed = self._remake(target, frame)
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
                self.frames[index] = KeptFrame(in_own_memory(torch.where(hole, 0, image)), in_own_memory(hole))
                self.hidden[index] = cells.clone()
            self.end = indices[-1] + 1

    def _forget(self, coming: int) -> None:
        kept = {index for index in self.frames if index >= coming or self.references.kept(index, coming)}
        self.frames = {index: self.frames[index] for index in kept}
        self.hidden = {index: self.hidden[index] for index in kept}
        self.pyramids = {index: value for index, value in self.pyramids.items() if index in kept}
        self.steps = {index: step for index, step in self.steps.items() if index >= coming - self.references.near_count}
        if self.camera is not None:
            self.camera.forget(min(kept, default=coming))

    def _lends(self, target: int) -> bool:
        """Whether a frame that has a hole may borrow from one that has none."""
        before = self.last_hole is not None and target - self.last_hole <= self.references.reach
        return before or any(bool(frame.hole.any()) for index, frame in self.frames.items() if index > target)

    def _complete(self, target: int, frame: KeptFrame) -> Borrowed:
        near = self.references.near(target)
        distant = self.references.distant(target, self.hidden) if self.network.uses_affine else ()
        motions = self._motions(target, near) if self.network.uses_flow else {}
        portions = [(chunk, True) for chunk in self._chunks(near)] + [(chunk, False) for chunk in self._chunks(distant)]
        maps = {} if self.camera is None else self.camera.around(target, [*near, *distant])
        completion = self.network.complete(
            self._prepare([frame], [None]),
            self._features([target]) if self.learned_maps else None,
            (self._portion(chunk, motions if is_near else {}, maps) for chunk, is_near in portions),
            size=(self.clip.height, self.clip.width),
            keep_aligned=self.keep_aligned,
        )
        indices = (
            chunk
            for chunk, is_near in portions
            for wanted in (self.network.uses_affine, is_near and self.network.uses_flow)
            if wanted
        )
        return Borrowed(completion, tuple(indices), frame.hole)

    def _remake(self, target: int, frame: KeptFrame) -> Borrowed:
        """What the network makes of a frame without a hole that lies over itself."""
        itself = self._portion((target,), {}, {target: np.eye(3)})
        size = (self.clip.height, self.clip.width)
        return Borrowed(self.network.complete(self._as_read(target), None, [itself], size=size), (), frame.hole)

    def _chunks(self, indices: Sequence[int]) -> list[tuple[int, ...]]:
        return [tuple(indices[start : start + self.chunk_size]) for start in range(0, len(indices), self.chunk_size)]

    def _portion(
        self, indices: tuple[int, ...], motions: Mapping[int, Motion], maps: Mapping[int, PixelMap]
    ) -> References:
        """References as the network reads them, completed ones without a hole: ``(1, R, ...)``."""
        frames = [self.frames[index] for index in indices]
        prepared = self._prepare(frames, [frame.filled for frame in frames])
        return References(
            PreparedFrames(*(part.unsqueeze(0) for part in prepared)),
            self._features(indices).unsqueeze(0) if self.learned_maps and not maps else None,
            stack_motions([motions[index] for index in indices]) if motions else None,
            self._pyramid(indices) if self.network.align_domain == "feature" else None,
            self._thetas([maps[index] for index in indices], prepared.frames) if maps else None,
        )

    def _thetas(self, maps: Sequence[PixelMap], extended: Tensor) -> Tensor:
        """Affine maps of pixels as the network reads them, ``(1, R, 2, 3)``."""
        size = (extended.shape[-2], extended.shape[-1])
        return torch.cat([pixel_theta(moved, size) for moved in maps]).unsqueeze(0).to(self.device)

    def _features(self, indices: Sequence[int]) -> Tensor:
        """Features for alignment ``(R, C, h, w)``, computed of frames that have none."""
        missing = [self.frames[index] for index in indices if not self.frames[index].features.numel()]
        if missing:
            encoded = self.network.encode_alignment(self._prepare(missing, [frame.filled for frame in missing]))
            for frame, features in zip(missing, encoded, strict=True):
                frame.features = in_own_memory(features)
        return torch.stack([self.frames[index].features for index in indices])

    def _pyramid(self, indices: Sequence[int]) -> Features:
        """Features that are copied, ``(1, R, C, h, w)`` for each scale, computed of frames that have none."""
        missing = [index for index in indices if index not in self.pyramids]
        if missing:
            frames = [self.frames[index] for index in missing]
            encoded = self.network.encode_copy(self._prepare(frames, [frame.filled for frame in frames]))
            for position, index in enumerate(missing):
                self.pyramids[index] = tuple(in_own_memory(level[position]) for level in encoded)
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
            onward, back = self.network.flow.between(self._as_read(index), self._as_read(index + 1))
            self.steps[index] = (_in_own_memory(onward), _in_own_memory(back))
        return self.steps[index]

    def _as_read(self, index: int) -> PreparedFrames:
        return self._prepare([self.frames[index]], [None])

    def _prepare(self, frames: Sequence[KeptFrame], filled: Sequence[Tensor | None]) -> PreparedFrames:
        """Frames as the network reads them, ``(N, ...)``, their holes filled or, where that is None, open."""
        return self.network.prepare(*open_or_filled(frames, filled))


def _in_own_memory(motion: Motion) -> Motion:
    return Motion(in_own_memory(motion.flow), in_own_memory(motion.valid))
