"""Between stored 8-bit pictures and the tensors that models read."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_tensor(frames: NDArray[np.uint8]) -> Tensor:
    """Turn stored frames into model input.

    Args:
        frames: ``(..., H, W, 3)`` uint8 RGB.

    Returns:
        ``(..., 3, H, W)`` float32 in [0, 1], exactly ``value / 255``.
    """
    return from_levels(torch.from_numpy(np.ascontiguousarray(frames)))


def from_levels(levels: Tensor) -> Tensor:
    """Turn stored frames that are a tensor already, on any device, into model input.

    Args:
        levels: ``(..., H, W, 3)`` uint8 RGB.

    Returns:
        ``(..., 3, H, W)`` float32 in [0, 1], exactly ``value / 255``.
    """
    values = levels.movedim(-1, -3).float()
    # by a tensor of the device: CUDA multiplies by the rounded reciprocal of a plain number
    return values.div_(values.new_full((), 255.0))


def mask_to_tensor(masks: NDArray[np.bool_]) -> Tensor:
    """Turn stored masks into model input.

    Args:
        masks: ``(..., H, W)`` bool, true = hole.

    Returns:
        ``(..., 1, H, W)`` float32 in {0, 1}, 1 = hole.
    """
    return torch.from_numpy(np.ascontiguousarray(masks)).unsqueeze(-3).float()


def to_uint8(frames: Tensor) -> NDArray[np.uint8]:
    """Turn completed frames into stored ones, rounding to the nearest level.

    Args:
        frames: ``(..., 3, H, W)`` in [0, 1]; values outside are clamped.

    Returns:
        ``(..., H, W, 3)`` uint8 RGB. The inverse of :func:`to_tensor` to the bit.
    """
    levels = frames.detach().float().mul(255.0).round_().clamp_(0, 255).to(torch.uint8)
    return levels.movedim(-3, -1).contiguous().cpu().numpy()
