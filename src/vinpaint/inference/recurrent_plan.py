"""What residual aggregation needs to know of a frame that STRA-Net completed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vinpaint.inference.own_memory import in_own_memory
from vinpaint.inference.residual_candidates import AffineMap, AggregationPlan, Candidate, SpatialScores
from vinpaint.models.stra_net import Aligned, Completion, PatchScores
from vinpaint.models.stra_net.spatial import CELL
from vinpaint.ops.lifting import sample_at

_MARGIN = 4
"""Pixels around the hole within which residual aggregation asks for places."""


@dataclass(frozen=True)
class HoleFlow:
    """Optical flow around a hole, all of it that is asked for: plans of many frames are kept at a time.

    Attributes:
        flow: ``(2, b, d)`` pixels of the reduced frames, target to reference, channel 0 = x.
        corner: the place of its first pixel, ``(2,)`` px, x first.
    """

    flow: Tensor
    corner: Tensor

    def __call__(self, places: Tensor) -> Tensor:
        return places + sample_at(self.flow, places - self.corner).T


def aggregation_plan(
    completion: Completion, indices: Sequence[Sequence[int]], hole: Tensor, *, recurrent: bool
) -> AggregationPlan:
    """Hand on how references were aligned and weighted, so that their detail is carried in the same way.

    Args:
        completion: of one frame, with its candidates kept.
        indices: the references of each portion of candidates.
        hole: that of the frame, ``(1, h, w)`` bool.
        recurrent: whether what completed references were filled with was used.
    """
    candidates = tuple(
        candidate
        for aligned, portion in zip(completion.aligned, indices, strict=True)
        for candidate in _candidates(aligned, portion, hole[0], recurrent)
    )
    spatial = None if completion.patch_scores is None else _spatial_scores(completion.patch_scores)
    return AggregationPlan(candidates, spatial)


def _candidates(aligned: Aligned, portion: Sequence[int], hole: Tensor, recurrent: bool) -> Iterator[Candidate]:
    height, width = hole.shape
    extended = (aligned.visible.shape[-2], aligned.visible.shape[-1])
    theta, motion = aligned.placement
    rows, columns = (_around(hole.any(dim)) for dim in (1, 0))
    corner = torch.tensor([columns.start, rows.start], dtype=torch.float32)
    for place, index in enumerate(portion):
        logits = aligned.logits[0, place].cpu()
        if logits.ndim:  # local: a map on a coarser grid
            logits = F.interpolate(logits.unsqueeze(0), extended, mode="bilinear", align_corners=False)
            logits = logits[0, 0, :height, :width]
        if motion is not None:
            # copies: views would keep all of it
            flow = in_own_memory(motion.flow[0, place, :, rows, columns].cpu())
            believed = in_own_memory(motion.valid[0, place, 0, :height, :width].to("cpu", torch.uint8))
            yield Candidate(index, HoleFlow(flow, corner), logits, believed, recurrent)
        elif theta is not None:
            yield Candidate(index, AffineMap(theta[0, place].cpu(), extended), logits, None, recurrent)


def _around(touched: Tensor) -> slice:
    """The rows or columns that a hole touches, and a few beside them."""
    found = touched.nonzero()[:, 0]
    return slice(max(int(found[0]) - _MARGIN, 0), min(int(found[-1]) + _MARGIN + 1, len(touched)))


def _spatial_scores(scores: PatchScores) -> SpatialScores | None:
    borrows = scores.borrows[0]
    weights = scores.scores[0, borrows]
    keys = (weights.sum(0) > 0).nonzero().squeeze(1)
    if not len(keys):
        return None
    return SpatialScores(CELL, scores.grid, scores.rows[borrows].cpu(), keys.cpu(), weights[:, keys].cpu())
