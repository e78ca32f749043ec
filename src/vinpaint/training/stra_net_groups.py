"""Targets of STRA-Net's training, completed together where they stand at the same place of their clips."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from vinpaint.errors import UserError
from vinpaint.losses import alignment_l1
from vinpaint.models.flow.estimator import FlowPair
from vinpaint.models.stra_net import Aligned, Completion, STRANet
from vinpaint.ops.compositing import composite
from vinpaint.training.targets import TargetBatch

T = TypeVar("T")

ERROR_SPACING = 16
"""Pixels between the points at which errors of flow are drawn."""


class STRANetBatch(TargetBatch):
    """A batch, its targets, and where none of their references may show anything.

    Keys:
        hidden: ``(B, K, 1, H, W)`` float32 in {0, 1}, inside the holes of the targets.
    """

    hidden: Tensor


class Group(NamedTuple):
    """Some targets, completed.

    Attributes:
        share: of the targets of the batch.
        truth: ``(N, 3, H, W)`` in [0, 1].
        holes: ``(N, 1, H, W)`` in {0, 1}.
        known: ``(N, 1, H, W)`` in {0, 1}, where the targets can be compared with their references.
        completed: of the network.
    """

    share: float
    truth: Tensor
    holes: Tensor
    known: Tensor
    completed: Completion

    def alignment_error(self, *, affine: bool) -> Tensor | None:
        """The error of the references laid by affine maps, or of those laid by flow; None where there are none."""
        height, width = self.truth.shape[-2:]
        laid: list[Aligned] = [a for a in self.completed.aligned if (a.placement.theta is not None) == affine]
        if not laid:
            return None
        frames = torch.cat([a.frames for a in laid], dim=1)[..., :height, :width]
        visible = torch.cat([a.visible for a in laid], dim=1)[..., :height, :width]
        return alignment_l1(self.truth, self.known, frames, visible)

    @torch.no_grad()
    def measures(self) -> dict[str, Tensor]:
        """What is logged and not minimised."""
        shown = {"leftover_share": self.completed.leftover.mean()}
        if (error := self.alignment_error(affine=False)) is not None:
            shown["alignment_flow"] = error
        return shown

    def for_the_critic(self) -> Tensor:
        """The results, for whose leftover alone the spatial aggregation can be blamed, ``(N, 3, H, W)``."""
        temporal = composite(self.truth, self.completed.temporal, self.holes).detach()
        if self.completed.spatial is None:
            return temporal
        return composite(temporal, self.completed.spatial, self.completed.leftover)


def complete_groups(
    network: STRANet, batch: STRANetBatch, *, spatial: bool, true_flow: bool = False, flow_error: float = 0.0
) -> Iterator[Group]:
    """Complete the targets of a batch, group by group.

    Args:
        network: what completes them.
        batch: clips and their draws.
        spatial: whether the spatial aggregation takes part.
        true_flow: whether flow is that of the batch, ``flow_forward`` and ``flow_backward`` between neighbours,
            ``(B, T - 1, 2, H, W)`` px.
        flow_error: of the true flow, see :func:`disturbed`.

    Raises:
        UserError: if the batch has no flow and ought to.
    """
    flows: FlowPair | None = None
    if true_flow:
        entries = cast(dict[str, Any], batch)
        if "flow_forward" not in entries:
            raise UserError("true_flow=true: the data knows no flow; set data.motion=flow, or true_flow=false")
        flows = FlowPair(*(disturbed(entries[way], flow_error) for way in ("flow_forward", "flow_backward")))
    frames, masks, targets = batch["frames"], batch["masks"], batch["targets"].cpu()
    given = batch["given"].view(*batch["given"].shape, 1, 1, 1)
    clip = network.prepare_clip(frames, masks * (1 - given), flows=flows)
    height, width = frames.shape[-2:]
    for target in range(frames.shape[1]):
        rows, places = (found.to(frames.device) for found in (targets == target).nonzero(as_tuple=True))
        if not len(rows):
            continue
        chosen = _clips(clip, rows)
        completed = network.complete_in_clip(
            chosen, target, hide=batch["hidden"][rows, places], spatial=spatial, keep_aligned=True
        )
        known = chosen.frame(target).known[..., :height, :width]
        yield Group(len(rows) / targets.numel(), frames[rows, target], masks[rows, target], known, completed)


def disturbed(flow: Tensor, deviation: float) -> Tensor:
    """Add errors to flow that are smooth in space, as those of estimators are.

    Args:
        flow: ``(B, T, 2, H, W)`` px.
        deviation: of the errors at points :data:`ERROR_SPACING` pixels apart, between which they change linearly, px.
    """
    if not deviation:
        return flow
    H, W = flow.shape[-2:]
    points = (-(-H // ERROR_SPACING) + 1, -(-W // ERROR_SPACING) + 1)
    errors = torch.randn(flow.shape[0] * flow.shape[1], 2, *points, device=flow.device) * deviation
    spread = F.interpolate(errors, size=(H, W), mode="bilinear", align_corners=True)
    return flow + torch.unflatten(spread, 0, flow.shape[:2])


def _clips(clip: T, rows: Tensor) -> T:
    """Some clips of what a network prepared: every tensor in it is cut along its first axis."""
    prepared: Any = clip
    if isinstance(prepared, Tensor):
        return prepared[rows]  # type: ignore[return-value]
    if isinstance(prepared, tuple):
        parts = [_clips(part, rows) for part in prepared]
        return type(prepared)(*parts) if hasattr(prepared, "_fields") else tuple(parts)  # type: ignore[return-value]
    return clip
