"""How well reference frames lie over the frame they were aligned to."""

from __future__ import annotations

import torch
from torch import Tensor


def alignment_l1(target: Tensor, target_known: Tensor, aligned: Tensor, visible: Tensor) -> Tensor:
    """Average absolute difference between targets and aligned references where both are known.

    Args:
        target: the frames aligned to, ``(B, 3, H, W)``, any range.
        target_known: ``(B, 1, H, W)`` in {0, 1}, 0 in their holes.
        aligned: the references laid over them, ``(B, R, 3, H, W)``, same range.
        visible: where each reference shows something known, ``(B, R, 1, H, W)`` in {0, 1}.

    Returns:
        A scalar in the unit of the frames: the mean over targets, references, channels and *all* pixels, those that are
        not known in both counting as 0. 0 without references.

    Raises:
        ValueError: if the shapes do not fit.

    Source: STRA-Net, supplementary A.1, equation 2 (after Copy-and-Paste Networks, arXiv:1908.11587). The norms there
    are sums; the mean over pixels keeps its weight independent of the size of the frames. The target's own pair, which
    equation 2 counts and which is 0, is left out.
    """
    B, R = aligned.shape[:2]
    size = tuple(target.shape[-2:])
    fits = (
        target.shape == (B, 3, *size)
        and target_known.shape == (B, 1, *size)
        and aligned.shape == (B, R, 3, *size)
        and visible.shape == (B, R, 1, *size)
    )
    if not fits:
        raise ValueError(
            f"target {tuple(target.shape)}, target_known {tuple(target_known.shape)}, aligned {tuple(aligned.shape)}, "
            f"visible {tuple(visible.shape)}: expected (B, 3, H, W), (B, 1, H, W), (B, R, 3, H, W), (B, R, 1, H, W)"
        )
    if R == 0:
        return aligned.new_zeros(())
    both = visible.float() * target_known.float().unsqueeze(1)
    # chosen, not multiplied: what is hidden, a NaN even, sends no gradient
    difference = torch.where(both > 0, aligned.float() - target.float().unsqueeze(1), 0.0)
    return difference.abs().mean()
