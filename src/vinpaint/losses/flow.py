"""How far estimated optical flow is from the true one."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

LEVEL_WEIGHTS = (0.32, 0.08, 0.02, 0.01, 0.005, 0.0003125)
"""Weights of the public codes of PWC-Net and IRR-PWC: strides 64, 32, 16, 8 and 4, and the frame itself."""

_AREA = 64 * 64


def end_point_error(flow: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
    """Average distance between the ends of two flows.

    Args:
        flow: ``(N, 2, H, W)``, pixels.
        truth: of the same shape.
        weight: of every pixel, ``(N, 1, H, W)``, 0 or more; all count the same when not given.

    Returns:
        A scalar in pixels; 0 where no pixel has a weight.

    Raises:
        ValueError: if the shapes do not fit.
    """
    _check(flow, truth, weight)
    error: Tensor = (flow.float() - truth.float()).norm(dim=1, keepdim=True)
    if weight is None:
        return error.mean()
    return (error * weight).sum() / weight.sum().clamp(min=1e-6)


def multi_scale_end_point_error(
    levels: Sequence[Tensor],
    truth: Tensor,
    weight: Tensor | None = None,
    *,
    level_weights: Sequence[float] = LEVEL_WEIGHTS,
    unit: float = 0.05,
    robust: bool = False,
) -> Tensor:
    """Sum the error of every level of an estimate over its pixels.

    Each level is compared with the true flow averaged over what one of its pixels covers, in pixels of the frame.

    Args:
        levels: flow in pixels of the frame from the coarsest level to the finest, ``(N, 2, h, w)`` each.
        truth: ``(N, 2, H, W)``; ``h`` divides ``H`` and ``w`` divides ``W``.
        weight: of every pixel, ``(N, 1, H, W)``, 0 or more; all count the same when not given.
        level_weights: of a pixel of each level.
        unit: factor on flow before it is compared; it matters to the robust form alone.
        robust: price ``(|du| + |dv| + 0.01)^0.4`` in place of the distance, so that what is hopeless counts less.

    Returns:
        A scalar: the sum over levels and their pixels per 64x64 pixels of a frame, the area of a pixel of the coarsest
        level, so that it depends neither on their number nor on their size.

    Raises:
        ValueError: if the shapes do not fit or there are not as many weights as levels.

    Source: PWC-Net (arXiv:1709.02371), equations 1 and 2, and IRR-PWC (arXiv:1904.05290), whose sums are per sample.
    """
    if len(levels) != len(level_weights):
        raise ValueError(f"{len(levels)} levels and {len(level_weights)} weights: expected one weight per level")
    _check(truth, truth, weight)
    N, _, H, W = truth.shape
    truth = unit * truth.float()
    share = truth.new_ones(N, 1, H, W) if weight is None else weight.float()
    total = truth.new_zeros(())
    for level, factor in zip(levels, level_weights, strict=True):
        h, w = level.shape[-2:]
        if level.shape[:2] != (N, 2) or H % h or W % w:
            raise ValueError(f"level {tuple(level.shape)} of flow {tuple(truth.shape)}: expected (N, 2, H / s, W / s)")
        covered = F.avg_pool2d(share, (H // h, W // w))
        wanted = F.avg_pool2d(truth * share, (H // h, W // w)) / covered.clamp(min=1e-6)
        difference = unit * level.float() - wanted
        if robust:
            error = (difference.abs().sum(dim=1, keepdim=True) + 0.01).pow(0.4)
        else:
            error = difference.norm(dim=1, keepdim=True)
        total = total + factor * (error * covered).sum()
    return total * (_AREA / (N * H * W))


def _check(flow: Tensor, truth: Tensor, weight: Tensor | None) -> None:
    N, C, H, W = truth.shape
    if C != 2 or flow.shape != truth.shape or (weight is not None and weight.shape != (N, 1, H, W)):
        given = None if weight is None else tuple(weight.shape)
        raise ValueError(
            f"flow {tuple(flow.shape)}, truth {tuple(truth.shape)}, weight {given}: expected (N, 2, H, W) twice and "
            "(N, 1, H, W)"
        )
