"""Completed and known pixels brought together without a seam."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from vinpaint.ops.compositing import composite
from vinpaint.ops.infill import harmonic_infill


def meet_border(known: Tensor, completed: Tensor, masks: Tensor) -> Tensor:
    """Shift what was completed so that it meets the known pixels around the hole.

    Keeping the gradient of a source and the values at the border is Poisson's equation; its solution is the source
    plus the membrane through the mismatch at the border.

    Args:
        known: frames ``(N, 3, H, W)`` in [0, 1]; what lies under the hole has no influence.
        completed: what is to fill the hole, same shape; it is read one pixel beyond the hole too.
        masks: ``(N, 1, H, W)`` in {0, 1}, 1 = hole.

    Returns:
        ``known`` with the hole filled, ``(N, 3, H, W)`` in [0, 1]; by ``completed`` as it is where nothing is known.

    Source: Perez et al., "Poisson image editing" (2003), equations 3 and 4; the membrane as in Farbman et al.,
    "Coordinates for instant image cloning" (2009), which here is :func:`vinpaint.ops.infill.harmonic_infill`.
    """
    border = F.max_pool2d(masks, 3, stride=1, padding=1) - masks
    return composite(known, (completed + harmonic_infill(known - completed, border)).clamp(0, 1), masks)
