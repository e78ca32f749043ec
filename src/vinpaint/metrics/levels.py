"""Frames as an 8-bit file would hold them, for metrics that published numbers took from files."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from vinpaint.errors import UserError

Levels = Literal["round", "truncate", "float"]
"""``round``: nearest of 256 levels (frames read back from image files). ``truncate``: the level below (a cast of float
frames to 8 bits, as some evaluators do). ``float``: as they are."""


def check_levels(levels: Levels) -> None:
    """Refuse a misspelt option.

    Raises:
        UserError: if it is unknown.
    """
    if levels not in ("round", "truncate", "float"):
        raise UserError(f"levels={levels}: choose round, truncate or float")


def stored(frames: Tensor, levels: Levels) -> Tensor:
    """Bring frames in [0, 1] to the levels of an 8-bit file.

    Args:
        frames: any shape, in [0, 1]; values outside are clamped.
        levels: how.

    Returns:
        The same shape, float32 in [0, 1]. Frames that were 8-bit levels divided by 255 in single precision come back
        unchanged in every mode.
    """
    frames = frames.float()
    if levels == "float":
        return frames
    scaled = frames * 255.0
    return (scaled.round() if levels == "round" else scaled.floor()).clamp(0, 255) / 255.0
