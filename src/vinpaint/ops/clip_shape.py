"""The shapes every network that completes clips reads."""

from __future__ import annotations

from torch import Tensor


def check_clip_shape(frames: Tensor, masks: Tensor) -> None:
    """Check that frames and masks are those of clips of one size.

    Args:
        frames: ``(B, T, 3, H, W)``.
        masks: ``(B, T, 1, H, W)``.

    Raises:
        ValueError: if the shapes are not these.
    """
    if frames.ndim != 5 or frames.shape[2] != 3 or masks.shape != (*frames.shape[:2], 1, *frames.shape[-2:]):
        raise ValueError(
            f"frames {tuple(frames.shape)} and masks {tuple(masks.shape)}: expected (B, T, 3, H, W) and "
            "(B, T, 1, H, W) of one size"
        )
