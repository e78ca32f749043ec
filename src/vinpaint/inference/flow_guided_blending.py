"""Seams taken out in the gradient domain."""

from __future__ import annotations

import cv2
import numpy as np

from vinpaint.inference.flow_guided_fields import Bools, Floats, Levels, mean_square, membrane

_LIMIT = 24.0
"""Levels beyond which a mismatch at the border is taken for a wrong match rather than for another exposure."""

_SMOOTHING = 3.0
"""Standard deviation in pixels over which mismatches are averaged: texture that is a little off is no seam."""


def boundary_correction(target: Levels, colours: Floats, both: Bools, hole: Bools) -> Floats:
    """What to add to foreign colours so that they meet the border of a hole without a seam.

    Keeping the gradient of a source and the values at the border is Poisson's equation; its solution is the source
    plus the membrane through the mismatch at the border. Mismatches are averaged along the border first, and those too
    large to be a change of exposure are left out.

    Args:
        target: the frame with the hole, ``(h, w, 3)`` uint8.
        colours: what another frame shows at the same places, ``(h, w, 3)`` levels.
        both: pixels outside the hole that both show, ``(h, w)`` bool.
        hole: ``(h, w)`` bool.

    Returns:
        The correction ``(h, w, 3)`` in levels; 0 if nothing is known of the border.

    Source: Perez et al., "Poisson image editing" (2003), equations 3 and 4; the membrane as in Farbman et al.,
    "Coordinates for instant image cloning" (2009).
    """
    mismatch = target.astype(np.float32) - colours
    trusted = both & (mean_square(mismatch) < _LIMIT**2)
    if not trusted.any():
        return np.zeros_like(colours)
    weight = trusted.astype(np.float32)
    spread = cv2.GaussianBlur(weight, (0, 0), _SMOOTHING)
    mean = cv2.GaussianBlur(mismatch * weight[..., None], (0, 0), _SMOOTHING) / np.maximum(spread, 1e-3)[..., None]
    return membrane(mean.astype(np.float32), trusted & (spread > 0.05), sweeps=1)
