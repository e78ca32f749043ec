"""High resolution around any engine: it completes a reduced clip, detail comes from the full-size frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
from torch import Tensor

from vinpaint.errors import UserError
from vinpaint.inference.inpainter import Inpainter, MaskedClip
from vinpaint.inference.own_memory import LARGE_FRAME, in_own_memory, return_freed_memory
from vinpaint.inference.residual_candidates import (
    AggregationPlan,
    CandidateScores,
    PlanningInpainter,
    ReducedFrame,
)
from vinpaint.inference.residual_flow_scores import FlowScores
from vinpaint.inference.residual_gathering import (
    HeldFrame,
    cells_left_over,
    continued_residual,
    hole_pixels,
    spatial_residual,
    temporal_residual,
)
from vinpaint.inference.residual_reduction import reduce_levels, reduced_clip, resolve_scale
from vinpaint.inference.shared_reads import SharedReads
from vinpaint.ops.compositing import composite
from vinpaint.ops.lifting import reduced_places, sample_at
from vinpaint.ops.residual_selection import SELECTIONS, Selection
from vinpaint.ops.residuals import enlarge_frames

Residual = Literal["none", "temporal", "full"]
Base = Literal["reduced", "network"]


@dataclass
class _Pending:
    """A frame whose reduced completion is known."""

    held: HeldFrame
    plan: AggregationPlan | None


class ResidualAggregation:
    """Completes a clip at its own size with an engine that sees it reduced, without any parameters.

    The engine completes means over squares of ``lr_scale`` pixels. Its result is enlarged bilinearly, and the detail
    that this lacks, frame minus enlarged reduced frame, is carried into the hole from references along the motion
    between the completed reduced frames (temporal), and from patches of the same frame for what no reference shows
    (spatial). Completed frames are references for later ones.

    Frames leave in order, ``reach`` frames after the engine's; ``2 * reach + 1`` frames are held as 8-bit pixels,
    however long the clip.

    Args:
        engine: what completes the reduced clip. One that resizes by itself should be told to work at ``native`` size.
        scores: finds and scores references; None takes the engine's own plan if it is a
            :class:`vinpaint.inference.residual_candidates.PlanningInpainter`, else :class:`FlowScores`.
        lr_scale: 1, 2, 4, 8 or ``auto``, see :func:`vinpaint.inference.residual_reduction.resolve_scale`; 1 is the
            engine alone, unless its own residuals are wanted (``base``).
        residual: ``none`` enlarges bilinearly and no more, ``temporal`` takes detail from references, ``full`` also
            from patches of the same frame.
        base: what residuals are taken against and added to. ``reduced``, the completed reduced frame, as in the paper.
            ``network``, what the engine makes of every pixel, known ones included: a network that has not learned for
            long blurs even these, and what it leaves out of them comes back too, at scale 1 as well. What no reference
            shows takes a smooth continuation of the residual around it then, or detail of patches. The engine must be
            one that tells its plans. Of no account with ``residual="none"``.
        select: how a pixel chooses among references, see :func:`vinpaint.ops.residual_selection.residual_sum`.
        topk: references per pixel with ``select="topk"``.
        temperature: disagreement, in [0, 1] of the colour range, that costs a factor of e with ``select="agree"``.
        gate: a reference that disagrees more with the completed reduced frame is left out; None leaves none out.

    Raises:
        UserError: if an argument is none of these.

    Source: STRA-Net (BMVC 2021), residual aggregation; HiFill (CVPR 2020) for the spatial part. The paper has
    ``select="soft"`` without a gate; an engine may have made up other things than the references show, and detail of
    something else must not be pasted, so references are judged by agreement here unless told otherwise.
    """

    def __init__(
        self,
        engine: Inpainter,
        *,
        scores: CandidateScores | None = None,
        lr_scale: int | str = "auto",
        residual: Residual = "full",
        base: Base = "reduced",
        select: Selection = "topk",
        topk: int = 3,
        temperature: float = 0.01,
        gate: float | None = 0.08,
    ) -> None:
        if residual not in get_args(Residual):
            raise UserError(f"residual={residual}: expected {', '.join(get_args(Residual))}")
        if base not in get_args(Base):
            raise UserError(f"base={base}: expected {' or '.join(get_args(Base))}")
        if residual == "none":
            base = "reduced"  # nothing is taken against it
        if base == "network" and not (scores is None and isinstance(engine, PlanningInpainter)):
            raise UserError(
                f"base=network around a {type(engine).__name__}: it does not tell what it makes of known pixels; "
                "use base=reduced"
            )
        if select not in SELECTIONS:
            raise UserError(f"select={select}: expected {', '.join(SELECTIONS)}")
        if topk < 1 or temperature <= 0:
            raise UserError(f"topk={topk}, temperature={temperature}: expected 1 or more, and more than 0")
        if gate is not None and gate <= 0:
            raise UserError(f"gate={gate}: expected more than 0, or null for none")
        resolve_scale(lr_scale, (1, 1))  # what cannot be is refused here, not in the middle of a clip
        self.engine = engine
        self.scores = scores
        self.lr_scale = lr_scale
        self.residual: Residual = residual
        self.base: Base = base
        self.select: Selection = select
        self.topk = topk
        self.temperature = temperature
        self.gate = gate

    def stream(self, clip: MaskedClip) -> Iterator[Tensor]:
        """Complete ``clip``; see :class:`vinpaint.inference.inpainter.Inpainter`."""
        scale = resolve_scale(self.lr_scale, (clip.height, clip.width))
        if scale == 1 and self.base == "reduced":
            yield from self.engine.stream(clip)
            return
        scores = self.scores
        planned = scores is None and isinstance(self.engine, PlanningInpainter)
        if scores is None and not planned:
            scores = FlowScores()
        reach = scores.reach if scores is not None else cast(PlanningInpainter, self.engine).reach
        if self.residual == "none":
            scores, reach = None, 0
        clip = SharedReads(clip)
        small = reduced_clip(clip, scale)
        completed: Iterator[tuple[Tensor, AggregationPlan | None]]
        if planned and self.residual != "none":
            completed = cast(PlanningInpainter, self.engine).stream_planned(small, known=self.base == "network")
        else:
            completed = ((frame, None) for frame in self.engine.stream(small))
        window: dict[int, _Pending] = {}
        taken = 0
        for target in range(clip.num_frames):
            window.pop(target - reach - 1, None)
            for index in range(taken, min(target + reach + 1, clip.num_frames)):
                window[index] = self._take(clip, index, next(completed), scale)
                taken = index + 1
                if clip.height * clip.width > LARGE_FRAME:
                    return_freed_memory()  # what the engine needed for a moment lies in gaps of no use to what follows
            yield self._finish(target, window, scores, scale)
            if planned:  # all plans that can name a frame up to the target are known
                named = {
                    candidate.index
                    for index, pending in window.items()
                    if index > target and pending.plan is not None
                    for candidate in pending.plan.candidates
                }
                window = {index: pending for index, pending in window.items() if index > target or index in named}

    @torch.no_grad()
    def _take(
        self, clip: SharedReads, index: int, result: tuple[Tensor, AggregationPlan | None], scale: int
    ) -> _Pending:
        frame, hole = clip.take(index)
        reduced, covered = reduce_levels(frame, hole, scale)
        made = result[0] if self.base == "network" else composite(reduced, result[0], covered)
        image = in_own_memory(made)
        small = ReducedFrame(image, in_own_memory(covered[0]))
        return _Pending(HeldFrame.open(index, frame, hole, small), result[1])

    @torch.no_grad()
    def _finish(self, target: int, window: dict[int, _Pending], scores: CandidateScores | None, scale: int) -> Tensor:
        held = window[target].held
        known = held.pixels()
        if not held.hole.any():
            return known
        if self.residual == "none":
            base = enlarge_frames(held.reduced.image[None], scale, held.size)[0]
            return composite(known, base.clamp(0, 1), held.hole[None])
        plan = window[target].plan
        if plan is None and scores is not None:
            plan = scores.plan(target, {index: pending.held.reduced for index, pending in window.items()})
        plan = plan or AggregationPlan(())
        references = {index: pending.held for index, pending in window.items()}
        places = hole_pixels(held.hole)
        residual, seen = temporal_residual(
            held, references, plan.candidates, places, scale,
            select=self.select, topk=self.topk, temperature=self.temperature, gate=self.gate,
        )  # fmt: skip
        left_over = held.hole.clone()
        left_over[held.hole] = ~seen
        if self.base == "network" and not bool(seen.all()):
            residual = continued_residual(held, residual, left_over, scale=scale)
        if self.residual == "full" and not bool(seen.all()):
            spatial = plan.spatial or cells_left_over(held.reduced, left_over, scale)
            if spatial is not None:
                residual[:, ~seen] = spatial_residual(held, residual, left_over, spatial, scale=scale)
        # the enlarged frame, at the pixels of the hole alone
        base = sample_at(held.reduced.image, reduced_places(places, scale))
        filled = (base + residual).clamp_(0, 1)
        held.complete(filled)
        window[target].plan = None
        known[:, held.hole] = filled
        return known
