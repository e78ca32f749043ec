"""How restless a picture is from pixel to pixel."""

from __future__ import annotations

from torch import Tensor


def total_variation(images: Tensor) -> Tensor:
    """Average absolute difference between neighbouring pixels.

    Args:
        images: ``(..., C, H, W)``, any range.

    Returns:
        A scalar in the unit of the images: the mean over horizontal neighbours plus the mean over vertical ones. 0
        along a side of one pixel. Of a composite, only pixels in the hole and beside it can be changed by a network.

    Raises:
        ValueError: if there are fewer than three dimensions.

    Source: partial convolutions (arXiv:1804.07723), section 3.3, whose sum is over the hole widened by one pixel and
    divided by the size of the frame: on a composite the gradient is the same.
    """
    if images.ndim < 3:
        raise ValueError(f"images {tuple(images.shape)}: expected (..., C, H, W); add the channel axis")
    across, down = images[..., 1:] - images[..., :-1], images[..., 1:, :] - images[..., :-1, :]
    means = [step.abs().mean() for step in (across, down) if step.numel()]
    return sum(means, start=images.new_zeros(()))
