"""The game between a generator and a discriminator, in four forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

GANLoss = Literal["hinge", "nsgan", "lsgan", "wgan_gp"]


class AdversarialLoss:
    """What both players of the game minimise, from the discriminator's raw scores.

    Args:
        kind: ``hinge`` (STTN), ``nsgan`` (cross-entropy, non-saturating), ``lsgan`` (least squares) or ``wgan_gp``
            (critic; its gradient penalty is :func:`gradient_penalty`).

    Raises:
        ValueError: if ``kind`` is none of these.

    Source: hinge: arXiv:1705.02894; nsgan: arXiv:1406.2661; lsgan: arXiv:1611.04076; wgan_gp: arXiv:1704.00028. Scores
    are means over everything a discriminator returns (patches, frames, channels). ``nsgan`` takes logits: equal to the
    cross-entropy of a sigmoid, and safe in half precision.
    """

    def __init__(self, kind: GANLoss = "hinge") -> None:
        if kind not in get_args(GANLoss):
            raise ValueError(f"gan_loss={kind!r}: choose one of {', '.join(get_args(GANLoss))}")
        self.kind = kind

    def real(self, scores: Tensor) -> Tensor:
        """What the discriminator pays for its scores of true clips, a scalar."""
        if self.kind == "hinge":
            return F.relu(1 - scores).mean()
        if self.kind == "nsgan":
            return F.softplus(-scores).mean()
        if self.kind == "lsgan":
            return (scores - 1).square().mean()
        return -scores.mean()

    def fake(self, scores: Tensor) -> Tensor:
        """What the discriminator pays for its scores of completed clips, a scalar."""
        if self.kind == "hinge":
            return F.relu(1 + scores).mean()
        if self.kind == "nsgan":
            return F.softplus(scores).mean()
        if self.kind == "lsgan":
            return scores.square().mean()
        return scores.mean()

    def generator(self, scores: Tensor) -> Tensor:
        """What the generator pays for the discriminator's scores of completed clips, a scalar."""
        if self.kind in ("hinge", "wgan_gp"):
            return -scores.mean()
        return self.real(scores)


def gradient_penalty(
    discriminator: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    *,
    masks: Tensor | None = None,
    position: Tensor | None = None,
) -> Tensor:
    """Penalise a critic whose slope between true and completed clips is not one.

    Args:
        discriminator: scores of clips, any shape whose first axis is B.
        real: true clips, ``(B, ...)``.
        fake: completed clips, same shape; no gradient reaches whoever made them.
        masks: if given, ``(B, ...)`` broadcast to the clips: the slope counts only where it is 1 (in the hole).
        position: where between fake (0) and real (1) to measure, one number per clip, ``(B,)``; drawn uniformly when
            ``None``.

    Returns:
        The mean over clips of ``(|slope| - 1)^2``, a scalar; multiply by the weight (10 in the paper).

    Source: arXiv:1704.00028, equation 3. A clip's score is the mean over its patches, so that the target
    slope of one does not depend on the size of the frames. Always float32: the double backward under- and overflows
    in half precision.
    """
    shape = (real.shape[0],) + (1,) * (real.ndim - 1)
    if position is None:
        position = torch.rand(real.shape[0], device=real.device)
    where = position.to(real.device).view(shape)
    with torch.autocast(device_type=real.device.type, enabled=False), torch.enable_grad():
        between = torch.lerp(fake.detach().float(), real.detach().float(), where).requires_grad_(True)
        scores = discriminator(between).float().reshape(real.shape[0], -1).mean(dim=1)
        (slope,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
        if masks is not None:
            slope = slope * masks
        # The small constant keeps the root's derivative finite where the slope is exactly zero.
        norm = (slope.flatten(1).square().sum(dim=1) + 1e-12).sqrt()
        return (norm - 1).square().mean()
