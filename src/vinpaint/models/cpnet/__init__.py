"""The copy-and-paste network, and its parts."""

from __future__ import annotations

from vinpaint.models.cpnet.alignment import AffineEncoder, AffineRegressor
from vinpaint.models.cpnet.copy_paste import ContextMatching, CopyEncoder, PasteDecoder
from vinpaint.models.cpnet.network import Aligned, Completion, CPNet, References
from vinpaint.models.cpnet.preparation import PreparedFrames

__all__ = [
    "AffineEncoder",
    "AffineRegressor",
    "Aligned",
    "CPNet",
    "Completion",
    "ContextMatching",
    "CopyEncoder",
    "PasteDecoder",
    "PreparedFrames",
    "References",
]
