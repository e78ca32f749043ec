"""Holes: generators that draw them, and masks from files."""

from __future__ import annotations

from vinpaint.masks.bank import ObjectMask
from vinpaint.masks.box import BoxMask
from vinpaint.masks.brush import BrushMask
from vinpaint.masks.files import open_masks
from vinpaint.masks.mixture import MixtureMask
from vinpaint.masks.moving import MovingMask
from vinpaint.masks.object_motion import ObjectMotionMask
from vinpaint.masks.protocols import MaskError, MaskGenerator, MaskSequence
from vinpaint.masks.random_motion import AffineRange
from vinpaint.masks.sequences import ArrayMasks, DilatedMasks, ResizedMasks, dilate
from vinpaint.masks.stationary import StationaryMask

__all__ = [
    "AffineRange",
    "ArrayMasks",
    "BoxMask",
    "BrushMask",
    "DilatedMasks",
    "MaskError",
    "MaskGenerator",
    "MaskSequence",
    "MixtureMask",
    "MovingMask",
    "ObjectMask",
    "ObjectMotionMask",
    "ResizedMasks",
    "StationaryMask",
    "dilate",
    "open_masks",
]
