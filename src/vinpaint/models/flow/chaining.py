"""Optical flow carried on from frame to frame, continued into holes, and checked."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vinpaint.ops.infill import harmonic_infill
from vinpaint.ops.visibility import visible_pixels
from vinpaint.ops.warp import backward_warp


def chain_flows(first: Tensor, second: Tensor) -> Tensor:
    """Follow a flow, and then another from where it leads.

    Args:
        first: flow from frame a to frame b, ``(N, 2, H, W)`` px, channel 0 = x.
        second: flow from frame b to frame c, same shape; outside the frame it continues with the value at its border.

    Returns:
        Flow from a to c, ``(N, 2, H, W)`` float32: ``first(p) + second(p + first(p))``.
    """
    carried, _ = backward_warp(second.float(), first, padding_mode="border")
    return first.float() + carried


def chain_valid(first: Tensor, first_valid: Tensor, second_valid: Tensor) -> Tensor:
    """Tell where a chain of flows holds: where both its links do.

    Args:
        first: flow from frame a to frame b, ``(N, 2, H, W)`` px.
        first_valid: where it holds, ``(N, 1, H, W)`` in {0, 1}.
        second_valid: where the flow from frame b on holds, in the coordinates of b.

    Returns:
        ``(N, 1, H, W)`` float32 in {0, 1}; 0 where the first link leaves the frame.
    """
    carried, inside = backward_warp(second_valid.float(), first)
    return first_valid.float() * visible_pixels(carried) * inside


def flow_beyond_holes(flow: Tensor, holes: Tensor, landing_holes: Tensor, *, margin: int) -> Tensor:
    """Replace flow that comes from a hole or ends in one by a smooth continuation of what surrounds it.

    Args:
        flow: ``(N, 2, H, W)`` px, estimated between frames whose holes held something made up.
        holes: those of the frame it starts from, ``(N, 1, H, W)`` in {0, 1}.
        landing_holes: those of the frame it leads to.
        margin: pixels beside either that count as part of it, as flow there is drawn to what was made up.

    Returns:
        ``(N, 2, H, W)`` float32.
    """
    grown, landing = (_grown(mask.float(), margin) for mask in (holes, landing_holes))
    lands, _ = backward_warp(landing, flow, padding_mode="border")
    return harmonic_infill(flow, (grown < 0.5) & (lands < 0.5))


def consistent_flow(forward: Tensor, backward: Tensor) -> Tensor:
    """Tell where a flow and the flow back lead to where one started.

    Args:
        forward: flow from frame a to frame b, ``(N, 2, H, W)`` px.
        backward: flow from frame b to frame a, same shape.

    Returns:
        ``(N, 1, H, W)`` float32 in {0, 1}, in the coordinates of a; 0 where the flow leaves the frame.

    Source: Sundaram et al., "Dense point trajectories by GPU-accelerated large displacement optical flow" (ECCV 2010),
    equation 5: |f + b(p + f)|² < 0.01 (|f|² + |b(p + f)|²) + 0.5.
    """
    returned, inside = backward_warp(backward.float(), forward)
    miss = (forward + returned).square().sum(1, keepdim=True)
    length = forward.square().sum(1, keepdim=True) + returned.square().sum(1, keepdim=True)
    return torch.where(miss < 0.01 * length + 0.5, inside.float(), 0.0)


def _grown(masks: Tensor, margin: int) -> Tensor:
    """Masks grown by a square; one axis after the other, as time goes with the side of the square squared otherwise."""
    side = 2 * margin + 1
    rows = F.max_pool2d(masks, (side, 1), stride=1, padding=(margin, 0))
    return F.max_pool2d(rows, (1, side), stride=1, padding=(0, margin))
