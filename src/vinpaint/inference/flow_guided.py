"""Completes clips along optical flow, without any weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import torch
from torch import Tensor

from vinpaint.errors import UserError
from vinpaint.inference.flow_guided_fallback import (
    FallbackName,
    SpatialFill,
    carried_gaps,
    carry_over,
    fill_never_visible,
    fill_smoothly,
    spatial_fill,
)
from vinpaint.inference.flow_guided_fields import Bools, Floats, Levels, pixels_of, sample_field, to_levels
from vinpaint.inference.flow_guided_frames import HeldFrame, read_frame
from vinpaint.inference.flow_guided_motion import Motion, Step, WorkFrame, estimate_flow, first_step, next_step, reverse
from vinpaint.inference.flow_guided_offer import Fusion, make_offer, mix, offer_box
from vinpaint.inference.flow_guided_propagation import fuse, propagate
from vinpaint.inference.flow_guided_sources import Box, Source, follow_box, source_indices, weigh_source, weighted_mean
from vinpaint.inference.inpainter import MaskedClip, no_earlier_frame
from vinpaint.models.flow.dis import DISFlow
from vinpaint.models.flow.estimator import FlowEstimator
from vinpaint.ops.compositing import composite
from vinpaint.ops.conversion import mask_to_tensor, to_tensor

_ALIGNMENT_MARGIN = 40
"""Pixels around a hole, at the size at which motion is estimated, that are aligned with other frames."""


@dataclass
class _Draft:
    """A window completed at the size at which motion is estimated."""

    completed: list[Levels]
    missing: list[Bools]  # what no frame of the window showed
    motion: Motion


@dataclass
class _Finished:
    """A frame at its own size, ``(H, W, 3)`` uint8 each.

    Attributes:
        completed: as it leaves, the hole alone being of account.
        plain: as it is handed on to the next frame: by fixed weights, since what a fusion adds must not add up.
        made_up: what no frame so far has shown, ``(H, W)`` bool; None: nothing that is known of.
    """

    completed: Levels
    plain: Levels
    made_up: Bools | None = None


class FlowGuidedInpainter:
    """Carries what other frames show into the hole, along optical flow. The family of DFVI and FGVC, by hand.

    Per window: flow between neighbours of smoothly filled frames, continued into the hole; colours carried along it
    from past and future, by spatially and by temporally continued motion; the same again with flow of the result
    (``passes``). Then every frame is aligned directly with frames at several ``distances``, whose visible colours are
    sampled once at the clip's own size (bicubic), weighed by agreement with that result, corrected for seams in the
    gradient domain and averaged. What no frame of the window shows is carried on from the previous frame, or made up
    by ``fallback``.

    Frames are read once, in order, at most ``window + context`` ahead of what has been yielded; ``window + 2 context``
    of them are held, however long the clip. Frames around which there is no hole cost nothing but reading.

    Args:
        flow: optical flow; None is OpenCV's DIS, medium preset.
        window: frames completed together.
        context: frames before and after a window that are looked at with it: the farthest a colour can come from is
            ``window + context`` frames, the farthest it can come from for certain is ``context``.
        passes: how often colours are carried through a window; each pass but the first estimates flow anew on the
            result of the one before.
        margin: pixels around a hole where flow is not believed, at the size at which it is estimated.
        persistence: share of its own motion that a thing hidden in the hole keeps per frame, in [0, 1]; colours are
            carried once for each share.
        distances: frames between a frame and those it is aligned with directly, each way; with none of them, colours
            stay as carried.
        tolerance: levels by which a directly aligned colour may differ from the carried one.
        carried_weight: weight of the carried colour beside the directly aligned ones, each at most 1.
        gradient_blending: whether sources, and what is carried over, are corrected for seams in the gradient domain.
        max_flow_side: pixels of the longer side at which motion is estimated, at most; larger frames are reduced.
        cut_threshold: share of pixels with contradictory flow from which a pair of neighbours counts as a cut, across
            which nothing is carried.
        fallback: what makes up pixels that were never visible: ``patches`` of the rest of the frame, ``telea``,
            ``smooth``, or a callable. Patches are sharp and can be mistaken, the others blur.
        fusion: what mixes the carried and the aligned colours and corrects the result; None leaves the mean of fixed
            weights.

    Raises:
        UserError: if an argument is out of its range.

    Source: DFVI (arXiv:1905.02884) and FGVC (arXiv:2009.01835) for the order of things; no network is used.
    """

    def __init__(
        self,
        *,
        flow: FlowEstimator | None = None,
        window: int = 48,
        context: int = 24,
        passes: int = 2,
        margin: int = 8,
        persistence: Sequence[float] = (0.95,),
        distances: Sequence[int] = (1, 2, 4, 8, 14, 22),
        tolerance: float = 20.0,
        carried_weight: float = 0.1,
        gradient_blending: bool = True,
        max_flow_side: int = 640,
        cut_threshold: float = 0.4,
        fallback: FallbackName | SpatialFill = "patches",
        fusion: Fusion | None = None,
    ) -> None:
        for name, value, least in (
            ("window", window, 1), ("context", context, 0), ("passes", passes, 1), ("margin", margin, 0),
            ("max_flow_side", max_flow_side, 16),
        ):  # fmt: skip
            if value < least:
                raise UserError(f"{name}={value}: expected {least} or more")
        if not all(0 <= share <= 1 for share in persistence):
            raise UserError(f"persistence={list(persistence)}: expected shares in [0, 1]")
        if any(distance < 1 for distance in distances):
            raise UserError(f"distances={list(distances)}: expected numbers of frames, 1 or more")
        if tolerance <= 0 or carried_weight <= 0:
            raise UserError(f"tolerance={tolerance}, carried_weight={carried_weight}: expected more than 0")
        if not 0 < cut_threshold <= 1:
            raise UserError(f"cut_threshold={cut_threshold}: expected a share in (0, 1]; 1 finds no cuts")
        self.flow: FlowEstimator = flow if flow is not None else DISFlow()
        self.window = window
        self.context = context
        self.passes = passes
        self.margin = margin
        self.persistence = tuple(persistence)
        self.distances = tuple(distances)
        self.tolerance = tolerance
        self.carried_weight = carried_weight
        self.gradient_blending = gradient_blending
        self.max_flow_side = max_flow_side
        self.cut_threshold = cut_threshold
        self.fallback = spatial_fill(fallback)
        self.fusion = fusion

    def stream(self, clip: MaskedClip) -> Iterator[Tensor]:
        """Complete ``clip``; see :class:`vinpaint.inference.inpainter.Inpainter`."""
        yield from self.stream_from(clip, 0, no_earlier_frame)

    def stream_from(self, clip: MaskedClip, start: int, earlier: Callable[[int], Levels]) -> Iterator[Tensor]:
        """Go on with ``clip``; see :class:`vinpaint.inference.inpainter.ResumableInpainter`.

        What no frame shows is carried on from the frame before. A fusion changes frames after that, so with one the
        frames since the last one without a hole are completed again.
        """
        begin = start
        if self.fusion is not None:
            begin = next((index for index in range(start, 0, -1) if not clip.masks.read([index - 1]).any()), 0)
        for index, (frame, _) in enumerate(self.stream_carrying(clip, begin, earlier), begin):
            if index >= start:
                yield frame

    def stream_carrying(
        self, clip: MaskedClip, start: int, carried: Callable[[int], Levels]
    ) -> Iterator[tuple[Tensor, Levels]]:
        """Go on with ``clip``; see :class:`vinpaint.inference.inpainter.CarryingInpainter`."""
        for frame, finished in self._stream(clip, start, carried):
            yield frame, finished.plain

    def stream_with_gaps(self, clip: MaskedClip) -> Iterator[tuple[Tensor, Tensor]]:
        """Complete ``clip``; see :class:`vinpaint.inference.inpainter.GapTellingInpainter`."""
        for frame, finished in self._stream(clip, 0, no_earlier_frame):
            gap = np.zeros(frame.shape[1:], np.bool_) if finished.made_up is None else finished.made_up
            yield frame, torch.from_numpy(gap)

    def _stream(
        self, clip: MaskedClip, start: int, carried: Callable[[int], Levels]
    ) -> Iterator[tuple[Tensor, _Finished]]:
        held: dict[int, HeldFrame] = {}
        previous: _Finished | None = None
        if start:
            earlier = carried(start - 1)
            previous = _Finished(earlier, earlier)
        for window in self._windows(clip.num_frames):
            if window.stop <= start:
                continue
            first, last = max(window.start - self.context, 0), min(window.stop + self.context, clip.num_frames)
            for index in [index for index in held if index < first]:
                del held[index]
            for index in range(max(held, default=first - 1) + 1, last):
                held[index] = read_frame(clip, index, max_side=self.max_flow_side, margin=self.margin)
            frames = [held[index] for index in range(first, last)]
            wanted = range(max(window.start, start), window.stop)
            draft = self._draft(frames) if any(held[index].hole.any() for index in wanted) else None
            for index in wanted:
                frame = held[index]
                result = to_tensor(frame.image)
                if draft is None or not frame.hole.any():
                    previous = _Finished(frame.image, frame.image)
                else:
                    previous = self._finish(frames, draft, index - first, previous)
                    result = composite(result, to_tensor(previous.completed), mask_to_tensor(frame.hole))
                yield result, previous

    def _windows(self, num_frames: int) -> Iterator[range]:
        """The frames that are completed together, one window after the other."""
        start = 0
        while start < num_frames:
            end = min(start + self.window, num_frames)
            if num_frames - end <= self.context:
                end = num_frames  # what the window looks at anyway is finished with it
            yield range(start, end)
            start = end

    def _draft(self, window: list[HeldFrame]) -> _Draft:
        """Complete a window at working size by carrying colours from neighbour to neighbour."""
        frames = [held.work for held in window]
        completed = [held.filled for held in window]
        missing = [frame.hole for frame in frames]
        motion: list[Step] = []
        for number in range(self.passes):
            motion = self._first_motion(window) if number == 0 else self._next_motion(frames, completed, motion)
            past = propagate(frames, motion, persistence=self.persistence)
            future = propagate(frames[::-1], reverse(motion), persistence=self.persistence)[::-1]
            completed = []
            for t, frame in enumerate(frames):
                image, missing[t] = fuse(frame, [*past[t], *future[t]])
                before: tuple[Floats, Floats] | None = None
                if t > 0 and not motion[t - 1].cut:
                    points = pixels_of(missing[t]) + motion[t - 1].toward[missing[t]]
                    before = points, sample_field(completed[-1], points)
                completed.append(fill_never_visible(image, missing[t], before, fill_smoothly))
        return _Draft(completed, missing, motion)

    def _first_motion(self, window: list[HeldFrame]) -> list[Step]:
        """Motion along the filled frames; windows overlap, so each frame remembers its step."""
        steps = []
        for here, there in pairwise(window):
            if here.step is None:
                here.step = first_step(
                    self.flow, here.work, there.work, (here.filled, there.filled), cut_threshold=self.cut_threshold
                )
            steps.append(here.step)
        return steps

    def _next_motion(self, frames: list[WorkFrame], completed: list[Levels], motion: Sequence[Step]) -> list[Step]:
        """Motion along the frames that the previous pass completed."""
        pairs = zip(pairwise(frames), pairwise(completed), motion, strict=True)
        return [next_step(self.flow, *ends, images, cut=step.cut) for ends, images, step in pairs]

    def _finish(self, window: list[HeldFrame], draft: _Draft, t: int, previous: _Finished | None) -> _Finished:
        """Complete one frame at its own size."""
        frame = window[t]
        box = Box.around(frame.work.hole, _ALIGNMENT_MARGIN)
        sources = self._sources(window, draft, t, box)
        pixels = pixels_of(frame.hole)
        H, W = frame.hole.shape
        h, w = frame.work.hole.shape
        scale = np.array([W / w, H / h], np.float32)
        inner = (pixels + 0.5) / scale - 0.5  # the same places at working size
        boxed = inner - np.array([box.left, box.top], np.float32)
        colours = [sample_field(draft.completed[t], inner)]
        shares = [np.full(len(pixels), self.carried_weight, np.float32)]
        for source in sources:
            points = (sample_field(source.points, boxed) + 0.5) * scale - 0.5
            other = window[source.index]
            hidden = sample_field(other.hole, points) >= 1e-3
            shares.append(np.where(hidden, 0, sample_field(source.weight, boxed)))
            seen = sample_field(other.image, points, interpolation=cv2.INTER_CUBIC)
            colours.append(seen + sample_field(source.correction, boxed))
        plain = frame.image.copy()
        plain[frame.hole] = to_levels(weighted_mean(colours, shares))
        missing = frame.hole.copy()
        unseen = sample_field(draft.missing[t], inner) > 0.5
        missing[frame.hole] = unseen & (np.sum(shares[1:], axis=0) == 0)
        made_up = missing
        if missing.any():
            before: tuple[Floats, Floats] | None = None
            if t > 0 and not draft.motion[t - 1].cut and previous is not None:
                toward = draft.motion[t - 1].toward
                before = carry_over(previous.plain, plain, missing, toward, gradient_blending=self.gradient_blending)
                made_up = carried_gaps(missing, before[0], previous.made_up)
            plain = fill_never_visible(plain, missing, before, self.fallback)
        if self.fusion is None:
            return _Finished(plain, plain, made_up)
        seen_by = [(source, window[source.index].small) for source in sources]
        offer = make_offer(
            frame.work, plain, (draft.completed[t], draft.missing[t]), seen_by, box,
            index=t, carried_weight=self.carried_weight,
        )  # fmt: skip
        part = offer_box(frame.work.hole)
        places = inner - np.array([part.left, part.top], np.float32)
        candidates = (colours, shares, offer.offsets)
        mixed = mix(self.fusion(offer), plain, frame.hole, candidates, places=places, scale=float(scale.mean()))
        return _Finished(mixed, plain, made_up)

    def _sources(self, window: list[HeldFrame], draft: _Draft, t: int, box: Box) -> list[Source]:
        first, last = t, t
        while first > 0 and not draft.motion[first - 1].cut:
            first -= 1
        while last < len(window) - 1 and not draft.motion[last].cut:
            last += 1
        indices = source_indices(t, first, last, self.distances)
        if not indices:
            return []
        target = draft.completed[t]
        boxes = [follow_box(box, draft.motion, t, s, target.shape[:2]) for s in indices]
        views = [draft.completed[s][other.slices] for s, other in zip(indices, boxes, strict=True)]
        flows = estimate_flow(self.flow, target[box.slices], views)
        return [
            weigh_source(
                window[t].work, target, window[s].work, flow + other.offset_from(box), box,
                index=s, distance=abs(s - t), tolerance=self.tolerance, gradient_blending=self.gradient_blending,
            )
            for s, other, flow in zip(indices, boxes, flows, strict=True)
        ]  # fmt: skip
