"""The levels of IRR-PWC: what a frame is at each, the units of flow between them, resizing and sampling."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vinpaint.ops.warp import backward_warp

FLOW_UNIT = 0.05
"""Flow that passes between levels is in pixels of the whole frame times this: ``global`` units."""


class Described(NamedTuple):
    """All that is computed of a frame alone, per level from the coarsest to the finest, ``N`` frames each.

    Attributes:
        features: strides 64 to 4, and with occlusion stride 2.
        details: what the decoder sees of ``features``, 32 channels, strides 64 to 4.
        images: the frame at strides 64 to 4, and with occlusion at stride 1.
    """

    features: list[Tensor]
    details: list[Tensor]
    images: list[Tensor]

    def frames(self, start: int | None, stop: int | None) -> Described:
        """Keep frames ``start`` to ``stop``, as a slice does."""
        return Described(*([level[start:stop] for level in levels] for levels in self))

    def and_then(self, other: Described) -> Described:
        """Put the frames of ``other`` behind these."""
        pairs = zip(self, other, strict=True)
        return Described(*([torch.cat(level) for level in zip(a, b, strict=True)] for a, b in pairs))


def to_local(flow: Tensor, stride: float) -> Tensor:
    """Turn global units into pixels of the level with this stride."""
    return flow / (FLOW_UNIT * stride)


def to_global(flow: Tensor, stride: float) -> Tensor:
    """Turn pixels of the level with this stride into global units."""
    return flow * (FLOW_UNIT * stride)


def resize(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize bilinearly with the corners aligned, as every level is."""
    return F.interpolate(values, size=size, mode="bilinear", align_corners=True)


def warp(values: Tensor, flow: Tensor, frame_size: tuple[int, int]) -> Tensor:
    """Sample a level where flow points to.

    Args:
        values: ``(N, C, h, w)``.
        flow: ``(N, 2, h, w)`` in global units.
        frame_size: height and width of the whole frame in pixels. Its corners are the level's, so that one of its
            pixels is ``(w - 1) / (W - 1)`` of the level's.

    Returns:
        ``(N, C, h, w)``, zero where the sample leaves the level, by however little: never a mix with what is outside.

    Source: visinf/irr, which asks for bilinear weights that sum to one or more. Rounding fails that for one or two per
    cent of the pixels well inside, others on every machine; here the position itself is asked.
    """
    h, w = values.shape[-2:]
    H, W = frame_size
    scale = flow.new_tensor([(w - 1) / (W - 1), (h - 1) / (H - 1)]) / FLOW_UNIT
    warped, inside = backward_warp(values, flow * scale[:, None, None])
    return warped * inside
