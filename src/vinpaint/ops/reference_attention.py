"""Attention over reference frames, pixel by pixel among those that see the pixel."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_NONE_VISIBLE = (
    -1e30
)  # logit of what nobody sees: exp(it - anything real) is 0, and unlike -inf it subtracts from itself
_LEGACY_EMPTY = 1e-4  # the released code takes a smaller sum of exponentials for an empty one


def visible_similarity(target: Tensor, references: Tensor, visible: Tensor) -> Tensor:
    """Compare the features of a target with those of aligned references where both are visible.

    Args:
        target: ``(B, C, h, w)``.
        references: ``(B, R, C, h, w)``.
        visible: where target and reference are both visible, ``(B, R, 1, h, w)`` in {0, 1}.

    Returns:
        ``(B, R)`` float32: the dot product of the features averaged over channels and visible cells; 0 where no cell is
        visible in both.

    Source: Copy-and-Paste Networks (arXiv:1908.11587), released code: one number per reference. The paper calls it
    cosine similarity, but features are not normalised.
    """
    products = (references.float() * target.float().unsqueeze(1)).sum(dim=2)  # (B, R, h, w)
    seen = visible.squeeze(2).float()
    count = seen.sum(dim=(-2, -1))
    total = (products * seen).sum(dim=(-2, -1))
    return torch.where(count > 0, total / (count * target.shape[1]).clamp_min(1), torch.zeros_like(total))


def masked_softmax(logits: Tensor, mask: Tensor, *, dim: int, legacy: bool = False) -> Tensor:
    """Softmax among the entries of a mask; the others weigh 0.

    Args:
        logits: any shape.
        mask: {0, 1}, broadcasts with ``logits``.
        dim: the dimension that sums to 1.
        legacy: what the released CPNet computes: the maximum is taken with masked entries counted as 0 and sums of
            exponentials under 1e-4 count as empty, so that entries with logits under -9.2 weigh next to nothing even
            alone. Right is the maximum over the entries of the mask.

    Returns:
        Weights float32, in the shape the two broadcast to: sums are 1, or 0 where the mask is empty.
    """
    mask = mask.float()
    shown = _shown(logits.float(), mask, legacy)
    exponentials = mask * torch.exp(shown - shown.detach().amax(dim, keepdim=True))
    return exponentials / _divisor(exponentials.sum(dim, keepdim=True), legacy)


class AttentionSum(NamedTuple):
    """What has been gathered from the references so far.

    Attributes:
        values: values weighted with exponentials, ``(B, C, h, w)``.
        total: sum of the exponentials, ``(B, 1, h, w)``.
        largest: the logit they are relative to, ``(B, 1, h, w)``.
        visible: 1 where any reference is visible, ``(B, 1, h, w)``.
    """

    values: Tensor
    total: Tensor
    largest: Tensor
    visible: Tensor


def attend(
    gathered: AttentionSum | None, values: Tensor, logits: Tensor, visible: Tensor, *, legacy: bool = False
) -> AttentionSum:
    """Add references to an attention-weighted sum, so that memory does not grow with their number.

    Args:
        gathered: what earlier calls returned; None at first.
        values: what is summed, ``(B, R, C, h, w)``.
        logits: one per reference ``(B, R)``, or per pixel ``(B, R, 1, h, w)``.
        visible: ``(B, R, 1, h, w)`` in {0, 1}.
        legacy: see :func:`masked_softmax`.

    Returns:
        The sum with these references; :func:`attended` turns it into what :func:`masked_softmax` over all references
        would have given.
    """
    visible = visible.float()
    if logits.ndim == 2:
        logits = logits[..., None, None, None]
    shown = _shown(logits.float(), visible, legacy)
    largest = shown.detach().amax(1)  # (B, 1, h, w)
    if gathered is not None:
        largest = torch.maximum(largest, gathered.largest)
    weights = visible * torch.exp(shown - largest.unsqueeze(1))
    total = weights.sum(1)
    weighted = torch.einsum("brhw,brchw->bchw", weights.squeeze(2), values.float())
    seen = visible.amax(1)
    if gathered is not None:
        fade = torch.exp(gathered.largest - largest)
        total = total + gathered.total * fade
        weighted = weighted + gathered.values * fade
        seen = torch.maximum(seen, gathered.visible)
    return AttentionSum(weighted, total, largest, seen)


def attended(gathered: AttentionSum, *, legacy: bool = False) -> tuple[Tensor, Tensor]:
    """Finish an attention-weighted sum.

    Args:
        gathered: what :func:`attend` returned.
        legacy: as it was called.

    Returns:
        The sums ``(B, C, h, w)``, 0 where no reference is visible; and the sum of the weights ``(B, 1, h, w)``: exactly
        the largest visibility among the references, in {0, 1} (``legacy``: in [0, 1]).
    """
    divisor = _divisor(gathered.total, legacy)
    return gathered.values / divisor, gathered.total / divisor if legacy else gathered.visible


def _shown(logits: Tensor, mask: Tensor, legacy: bool) -> Tensor:
    return logits * mask if legacy else torch.where(mask > 0, logits, _NONE_VISIBLE)


def _divisor(total: Tensor, legacy: bool) -> Tensor:
    if legacy:
        return total + (total < _LEGACY_EMPTY).to(total.dtype)
    return torch.where(total > 0, total, torch.ones_like(total))
