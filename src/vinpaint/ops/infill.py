"""Continuing a field smoothly into where it is not known."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def harmonic_infill(values: Tensor, known: Tensor, *, sweeps: int = 4) -> Tensor:
    """Fill the unknown part of fields so that it is as smooth as its border allows.

    Args:
        values: ``(N, C, H, W)``, any range; what stands where nothing is known has no influence.
        known: ``(N, 1, H, W)`` in {0, 1}.
        sweeps: times each level is relaxed; more come closer to the solution of Laplace's equation.

    Returns:
        ``(N, C, H, W)`` float32, ``values`` where known; 0 everywhere else in a field of which nothing is known.

    Source: pull-push (Gortler et al., "The Lumigraph", 1996), each level then relaxed by Jacobi sweeps: an approximate
    multigrid solution of Laplace's equation. Reads no value back to the host, so that a GPU need not wait.
    """
    with torch.autocast(values.device.type, enabled=False):
        known = known > 0.5
        held = torch.where(known, values.float(), 0.0)
        return _fill(held, known, sweeps)


def _fill(held: Tensor, known: Tensor, sweeps: int) -> Tensor:
    H, W = held.shape[-2:]
    if H == 1 and W == 1:
        return held
    bottom, right = H % 2, W % 2  # odd sides gain an unknown row or column
    weight = F.avg_pool2d(F.pad(known.float(), (0, right, 0, bottom)), 2)
    pooled = F.avg_pool2d(F.pad(held, (0, right, 0, bottom)), 2)
    some = weight > 0
    coarse = _fill(torch.where(some, pooled / weight.clamp_min(0.25), 0.0), some, sweeps)
    smooth = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)[..., :H, :W]
    result = torch.where(known, held, smooth)
    for _ in range(sweeps):
        around = F.pad(result, (1, 1, 1, 1), mode="replicate")
        mean = (
            around[..., :-2, 1:-1] + around[..., 2:, 1:-1] + around[..., 1:-1, :-2] + around[..., 1:-1, 2:]
        ) / 4  # fmt: skip
        result = torch.where(known, held, mean)
    return result
