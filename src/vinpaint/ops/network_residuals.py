"""What a network leaves out of frames that lie over each other, carried from where it is known to where it is not."""

from __future__ import annotations

import torch
from torch import Tensor

from vinpaint.ops.infill import harmonic_infill
from vinpaint.ops.reference_attention import AttentionSum, attend, attended
from vinpaint.ops.residuals import agreement_error


def restore_detail(
    target: int, completed: Tensor, frames: Tensor, holes: Tensor, *, temperature: float = 0.02, gate: float = 0.1
) -> Tensor:
    """Give the hole of a completed frame the detail that other frames show there and the network leaves out.

    A network that has not learned for long returns blurred, and off by a shade, even what it is shown. By how much, its
    residual, is known wherever a frame is: the frame minus what the network makes of it. In a hole the residual is
    that of the frames that show the place, each as far as what the network makes of it there agrees with what it makes
    of the target; where none does, it is continued smoothly from where it is known.

    Args:
        target: the number of the frame.
        completed: what the network makes of all frames, known pixels included, ``(T, 3, H, W)`` in [0, 1].
        frames: the frames, laid over each other, same shape; what lies under a hole has no influence.
        holes: ``(T, 1, H, W)`` in {0, 1}, 1 = hole.
        temperature: disagreement, in [0, 1] of the colour range, that costs a frame a factor of e.
        gate: a frame that disagrees more has no part.

    Returns:
        The target, ``(3, H, W)`` in [0, 1]: known pixels as they are, the hole as completed plus its residual.

    Source: residual aggregation of HiFill (CVPR 2020) and STRA-Net (BMVC 2021), where the residual is what a frame of
    lower resolution lacks; here both are of one size, and it is the network that lacks it.
    """
    known = 1 - holes
    gathered: AttentionSum | None = None
    for frame, made, shown in zip(frames, completed, known, strict=True):  # the target's own hole shows nothing
        error = agreement_error(completed[target], made)
        logits = (error / -temperature)[None, None, None]
        gathered = attend(gathered, (frame - made)[None, None], logits, (shown * (error <= gate))[None, None])
    assert gathered is not None  # of the target, if of no other
    borrowed, seen = attended(gathered)
    residual = torch.where(known[target] > 0, frames[target] - completed[target], borrowed[0])
    told = torch.maximum(known[target], seen[0])
    return (completed[target] + harmonic_infill(residual[None], told[None])[0]).clamp(0, 1)
