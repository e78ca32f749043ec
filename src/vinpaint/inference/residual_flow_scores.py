"""Candidates for residual aggregation around any engine: optical flow between the frames it completed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from vinpaint.errors import UserError
from vinpaint.inference.residual_candidates import AggregationPlan, Candidate, FlowMap, ReducedFrame
from vinpaint.models.flow.dis import DISFlow
from vinpaint.models.flow.estimator import FlowEstimator
from vinpaint.ops.lifting import sample_at
from vinpaint.ops.residuals import identity_places


class FlowScores:
    """Aligns each completed frame directly with others at several distances.

    Completed frames have no holes, so flow is defined in the former hole too and nothing has to be continued into it.
    A flow is believed where that of the reference leads back. The flow of a pair of frames is estimated once, in both
    directions, and serves both.

    Args:
        flow: optical flow; None is OpenCV's DIS, medium preset.
        distances: frames between a target and its references, each way.
        round_trip: pixels of the reduced frame within which the flow of the reference must lead back; None: any flow is
            believed.
        completed: whether what the holes of earlier frames were filled with serves later ones.

    Raises:
        UserError: if an argument is out of its range.
    """

    def __init__(
        self,
        *,
        flow: FlowEstimator | None = None,
        distances: Sequence[int] = (1, 3, 6, 10),
        round_trip: float | None = 1.0,
        completed: bool = True,
    ) -> None:
        if not distances or any(distance < 1 for distance in distances):
            raise UserError(f"distances={list(distances)}: expected numbers of frames, 1 or more, at least one of them")
        if round_trip is not None and round_trip <= 0:
            raise UserError(f"round_trip={round_trip}: expected pixels, more than 0, or null to believe any flow")
        self.flow: FlowEstimator = flow if flow is not None else DISFlow()
        self.distances = tuple(distances)
        self.round_trip = round_trip
        self.completed = completed
        self.reach = max(self.distances)

    def plan(self, target: int, frames: Mapping[int, ReducedFrame]) -> AggregationPlan:
        """Plan one frame; see :class:`vinpaint.inference.residual_candidates.CandidateScores`."""
        candidates = []
        for index in (place for distance in self.distances for place in (target - distance, target + distance)):
            if index in frames:
                there, back = self._flows(target, index, frames)
                visible = None if self.round_trip is None else self._leads_back(there, back)
                candidates.append(Candidate(index, FlowMap(there), torch.zeros(()), visible, self.completed))
        frames[target].flows.clear()  # what is later keeps its own
        return AggregationPlan(candidates)

    def _flows(self, target: int, index: int, frames: Mapping[int, ReducedFrame]) -> tuple[Tensor, Tensor]:
        """Flow from the target to a reference and back, kept by the later of the two."""
        earlier, later = sorted((target, index))
        pairs = frames[later].flows
        if earlier not in pairs:
            both = self.flow.both(frames[later].image[None], frames[earlier].image[None])
            pairs[earlier] = both.forward[0], both.backward[0]
        to_earlier, to_later = pairs[earlier]
        return (to_earlier, to_later) if target == later else (to_later, to_earlier)

    def _leads_back(self, there: Tensor, back: Tensor) -> Tensor:
        height, width = there.shape[-2:]
        places = identity_places(height, width) + there.flatten(1).T
        drift = there + sample_at(back, places).reshape_as(there)
        believed: Tensor = drift.norm(dim=0) <= (self.round_trip or 0)
        return believed.float()
