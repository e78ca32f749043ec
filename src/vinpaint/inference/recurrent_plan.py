"""What residual aggregation needs to know of a frame that STRA-Net completed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch.nn.functional as F

from vinpaint.inference.residual_candidates import AffineMap, AggregationPlan, Candidate, FlowMap, SpatialScores
from vinpaint.models.stra_net import Aligned, Completion, PatchScores
from vinpaint.models.stra_net.spatial import CELL


def aggregation_plan(
    completion: Completion, indices: Sequence[Sequence[int]], *, size: tuple[int, int], recurrent: bool
) -> AggregationPlan:
    """Hand on how references were aligned and weighted, so that their detail is carried in the same way.

    Args:
        completion: of one frame, with its candidates kept.
        indices: the references of each portion of candidates.
        size: (height, width) of the frame.
        recurrent: whether what completed references were filled with was used.
    """
    candidates = tuple(
        candidate
        for aligned, portion in zip(completion.aligned, indices, strict=True)
        for candidate in _candidates(aligned, portion, size, recurrent)
    )
    spatial = None if completion.patch_scores is None else _spatial_scores(completion.patch_scores)
    return AggregationPlan(candidates, spatial)


def _candidates(
    aligned: Aligned, portion: Sequence[int], size: tuple[int, int], recurrent: bool
) -> Iterator[Candidate]:
    height, width = size
    extended = (aligned.visible.shape[-2], aligned.visible.shape[-1])
    for place, index in enumerate(portion):
        logits = aligned.logits[0, place].cpu()
        if logits.ndim:  # local: a map on a coarser grid
            logits = F.interpolate(logits.unsqueeze(0), extended, mode="bilinear", align_corners=False)
            logits = logits[0, 0, :height, :width]
        if aligned.placement.motion is not None:
            flow, valid = (part[0, place, :, :height, :width].cpu() for part in aligned.placement.motion)
            yield Candidate(index, FlowMap(flow), logits, valid[0], recurrent)
        elif aligned.placement.theta is not None:
            yield Candidate(
                index, AffineMap(aligned.placement.theta[0, place].cpu(), extended), logits, None, recurrent
            )


def _spatial_scores(scores: PatchScores) -> SpatialScores | None:
    borrows = scores.borrows[0]
    weights = scores.scores[0, borrows]
    keys = (weights.sum(0) > 0).nonzero().squeeze(1)
    if not len(keys):
        return None
    return SpatialScores(CELL, scores.grid, scores.rows[borrows].cpu(), keys.cpu(), weights[:, keys].cpu())
