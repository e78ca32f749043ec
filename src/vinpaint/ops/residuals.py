"""Reduced frames, enlarged frames, and the detail between the two."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vinpaint.ops.compositing import hide_holes
from vinpaint.ops.lifting import reduced_places, sample_at

ALL_TAPS = 1e-6
"""How far the bilinear weight of known pixels may stay below 1 when all of them are known."""


def reduce_frames(frames: Tensor, masks: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """Reduce frames and holes so that every pixel outside the new hole is the mean of known pixels.

    Args:
        frames: ``(N, 3, H, W)``; what lies under the hole has no influence.
        masks: ``(N, 1, H, W)`` in {0, 1}, 1 = hole.
        scale: pixels per side of the squares that become one pixel. Frames whose sides it does not divide are
            continued at the right and at the bottom as they end.

    Returns:
        Means ``(N, 3, h, w)``, 0 in the new hole; and holes ``(N, 1, h, w)``, 1 where any pixel of the square is in it.
    """
    bottom, right = (-frames.shape[-2]) % scale, (-frames.shape[-1]) % scale
    if bottom or right:
        frames, masks = (F.pad(image, (0, right, 0, bottom), mode="replicate") for image in (frames, masks))
    covered = F.max_pool2d(masks, scale)
    return hide_holes(F.avg_pool2d(hide_holes(frames, masks), scale), covered), covered


def enlarge_frames(frames: Tensor, scale: int, size: tuple[int, int]) -> Tensor:
    """Enlarge reduced frames bilinearly.

    Args:
        frames: ``(N, C, h, w)``.
        scale: as they were reduced.
        size: (height, width) of the frames before that; what was continued is cut off.

    Returns:
        ``(N, C, *size)``, centred on the original: reducing and enlarging moves nothing.
    """
    full = (frames.shape[-2] * scale, frames.shape[-1] * scale)
    enlarged = F.interpolate(frames, full, mode="bilinear", align_corners=False)
    return enlarged[..., : size[0], : size[1]]


def detail_at(frame: Tensor, reduced: Tensor, places: Tensor, scale: int, *, origin: tuple[int, int]) -> Tensor:
    """What a frame shows at places beyond what its reduced frame shows there.

    Args:
        frame: part of the full-size frame, ``(3, H', W')``.
        reduced: the whole reduced frame, ``(3, h, w)``.
        places: ``(N, 2)`` px of the full-size frame, x first.
        scale: as it was reduced.
        origin: (row, column) of the frame at which the part begins.

    Returns:
        ``(3, N)`` float32.

    Source: STRA-Net (BMVC 2021), residuals X - U(x). The enlarged frame is piecewise bilinear, so it is sampled from
    the reduced one directly; at whole pixels that is the same number.
    """
    corner = places.new_tensor([origin[1], origin[0]])
    return sample_at(frame, places - corner) - sample_at(reduced, reduced_places(places, scale))


def known_at(mask: Tensor, places: Tensor, *, origin: tuple[int, int] = (0, 0)) -> Tensor:
    """Tell where all the pixels that a bilinear sample takes are known.

    Args:
        mask: part of a hole, ``(H', W')`` in {0, 1}.
        places: ``(N, 2)`` px, x first.
        origin: (row, column) at which the part begins.

    Returns:
        ``(N,)`` bool.

    Source: STRA-Net residuals as in HiFill's released code; beside a hole an enlarged frame mixes in colours of what
    was removed, and a residual taken there would show them again.
    """
    corner = places.new_tensor([origin[1], origin[0]])
    return sample_at(mask[None], places - corner)[0] <= ALL_TAPS


def agreement_error(target: Tensor, aligned: Tensor, window: int = 5) -> Tensor:
    """How much an aligned reference disagrees with the target.

    Args:
        target: ``(3, h, w)`` in [0, 1].
        aligned: same shape.
        window: side of the square over which it is averaged, in pixels; odd.

    Returns:
        ``(h, w)``: the mean absolute difference over the channels and the square, as far as it lies in the frame.
    """
    difference = (target - aligned).abs().mean(0)[None, None]
    return F.avg_pool2d(difference, window, 1, window // 2, count_include_pad=False)[0, 0]


def identity_places(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Every pixel of a frame, row by row: ``(height * width, 2)`` float32 px, x first."""
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float32, device=device),
        torch.arange(width, dtype=torch.float32, device=device),
        indexing="ij",
    )
    return torch.stack((x, y), dim=-1).reshape(-1, 2)
