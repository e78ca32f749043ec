"""Warp error: how much a completed video changes along the motion of the true one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vinpaint.errors import UserError
from vinpaint.metrics.base import Average, AveragedMetric, UndefinedError
from vinpaint.metrics.levels import Levels, check_levels, stored
from vinpaint.metrics.regions import Region
from vinpaint.models.flow.estimator import FlowEstimator
from vinpaint.ops.warp import backward_warp


def occlusion(forward: Tensor, backward: Tensor) -> Tensor:
    """Find the pixels of a frame that the next frame does not show.

    Args:
        forward: flow from the frame to the next, ``(N, 2, H, W)``, px.
        backward: flow from the next frame back, same shape.

    Returns:
        ``(N, 1, H, W)`` bool: true where the two flows disagree, or where the forward flow has an edge.

    Source: Lai et al., "Learning blind video temporal consistency" (ECCV 2018), and its code: forward differences, and
    a backward flow that is clamped at the border, so that leaving the frame is not by itself an occlusion.
    """
    returned, _ = backward_warp(backward, forward, padding_mode="border")
    length = forward.square().sum(dim=1, keepdim=True)
    disagreement = (returned + forward).square().sum(dim=1, keepdim=True)
    inconsistent = disagreement > 0.01 * (returned.square().sum(dim=1, keepdim=True) + length) + 0.5
    along_x = F.pad(forward.diff(dim=-1), (0, 1)).square()
    along_y = F.pad(forward.diff(dim=-2), (0, 0, 0, 1)).square()
    edge = (along_x + along_y).sum(dim=1, keepdim=True) > 0.01 * length + 0.002
    return inconsistent | edge


def warp_error(completed: Tensor, forward: Tensor, *, occluded: Tensor, masks: Tensor | None = None) -> Tensor:
    """Compare each completed frame with the next one, brought back along the flow.

    Args:
        completed: ``(T, 3, H, W)`` in [0, 1].
        forward: flow of the true video from each frame to the next, ``(T - 1, 2, H, W)``, px.
        occluded: ``(T - 1, 1, H, W)``, true where the next frame does not show the pixel.
        masks: ``(T, 1, H, W)``, 1 = hole; if given, only flow that starts or ends in a hole counts.

    Returns:
        ``(T - 1,)`` float64, the mean squared difference over visible pixels. A pair without any has 0 over the whole
        frame, as in the public code, and NaN in the hole. Papers print it times 100.

    Raises:
        UndefinedError: if there is only one frame.
        UserError: if flow or occlusion do not fit the frames.

    Source: Lai et al. (ECCV 2018), equation 9, with the frame as the target of the warp; the hole variant is that of
    the DEVIL benchmark.
    """
    T, _, H, W = completed.shape
    if T < 2:
        raise UndefinedError("a clip of one frame has no motion; give two frames or more")
    if forward.shape != (T - 1, 2, H, W) or occluded.shape != (T - 1, 1, H, W):
        raise UserError(
            f"flow {tuple(forward.shape)} and occlusion {tuple(occluded.shape)}: expected {(T - 1, 2, H, W)} and "
            f"{(T - 1, 1, H, W)} for {T} frames of {W}x{H}"
        )
    warped, _ = backward_warp(completed[1:].float(), forward, padding_mode="border")
    counted = ~occluded.bool()
    if masks is not None:
        ends, _ = backward_warp(masks[1:].float(), forward, padding_mode="border")
        counted = counted & ((masks[:-1] > 0.5) | (ends > 0.5))
    error = (warped.double() - completed[:-1].double()).square() * counted
    count = counted.sum(dim=(1, 2, 3)).double() * completed.shape[1]
    none = 1.0 if masks is None else torch.nan
    return error.sum(dim=(1, 2, 3)) / torch.where(count > 0, count, none)


class WarpError(AveragedMetric):
    """Warp error, E_warp of the tables (there times 100).

    The flow is that of the true video, so the number depends on what estimated it: results carry its name and must
    never be compared across flows. The defaults are the published protocol, but for the flow, which there is FlowNet2.

    Args:
        flow: estimates optical flow in both directions. Its attribute ``name``, or else the name of its class without
            "Flow", goes into the names of results.
        regions: ``whole`` for the frame, ``hole`` for flow that starts or ends in it; one number each.
        average: weigh videos alike, or pairs of frames (``frames``).
        levels: whether completed frames are rounded or truncated to 8 bits first, or left as they are.
        size_multiple: frames are resized up to multiples of this for the flow, which is brought back to their size, px;
            1 leaves them.
        pairs_at_once: pairs of frames given to the flow together.

    Source: Lai et al. (ECCV 2018) and its evaluation script.
    """

    higher_is_better = False

    def __init__(
        self,
        flow: FlowEstimator,
        *,
        regions: Sequence[Region] = ("whole", "hole"),
        average: Average = "videos",
        levels: Levels = "round",
        size_multiple: int = 64,
        pairs_at_once: int = 4,
    ) -> None:
        super().__init__(average=average, numbers=len(regions))
        if not isinstance(flow, FlowEstimator):
            raise UserError(f"flow is a {type(flow).__name__}: expected a FlowEstimator, such as DISFlow()")
        if not regions or not set(regions) <= {"whole", "hole"}:
            raise UserError(f"regions={list(regions)}: choose whole, hole or both")
        if size_multiple < 1 or pairs_at_once < 1:
            raise UserError(f"size_multiple={size_multiple}, pairs_at_once={pairs_at_once}: expected 1 or more")
        check_levels(levels)
        self.flow = flow
        self.regions = tuple(regions)
        self.levels = levels
        self.size_multiple = size_multiple
        self.pairs_at_once = pairs_at_once

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Name the flow, then the region unless it is the whole frame."""
        name = getattr(self.flow, "name", None) or type(self.flow).__name__.lower().removesuffix("flow")
        return tuple(f"_{name}" if region == "whole" else f"_{name}_{region}" for region in self.regions)

    def scores(self, completed: Tensor, truth: Tensor, masks: Tensor) -> Tensor:
        """Score one clip, see :func:`warp_error`."""
        if len(truth) < 2:
            raise UndefinedError("a clip of one frame has no motion; give two frames or more")
        completed = stored(completed, self.levels)
        parts = []
        for start in range(0, len(truth) - 1, self.pairs_at_once):
            frames = slice(start, min(start + self.pairs_at_once, len(truth) - 1) + 1)
            first, second = truth[frames][:-1].float(), truth[frames][1:].float()
            forward, backward = self._estimate(first, second)
            occluded = occlusion(forward, backward)
            holes = {"whole": None, "hole": masks[frames]}
            errors = [
                warp_error(completed[frames], forward, occluded=occluded, masks=holes[region])
                for region in self.regions
            ]
            parts.append(torch.stack(errors))
        return torch.cat(parts, dim=1)

    def _estimate(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        height, width = first.shape[-2:]
        size = [math.ceil(side / self.size_multiple) * self.size_multiple for side in (height, width)]
        with torch.no_grad():
            if size == [height, width]:
                flows = self.flow.both(first, second)
                return flows.forward, flows.backward
            flows = self.flow.both(_resize(first, size), _resize(second, size))
        scale = flows.forward.new_tensor((width / size[1], height / size[0])).view(2, 1, 1)
        forward, backward = (_resize(flow, [height, width]) * scale for flow in (flows.forward, flows.backward))
        return forward, backward


def _resize(images: Tensor, size: list[int]) -> Tensor:
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)
