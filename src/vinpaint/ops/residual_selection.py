"""Which of the aligned residuals a pixel takes: gathered one reference after the other, so memory does not grow."""

from __future__ import annotations

from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from vinpaint.ops.reference_attention import AttentionSum, attend, attended

Selection = Literal["soft", "hard", "topk", "agree"]
SELECTIONS: tuple[str, ...] = get_args(Selection)


class ResidualSum(Protocol):
    """Residuals of one target gathered so far."""

    def add(self, residual: Tensor, visible: Tensor, logits: Tensor, error: Tensor) -> None:
        """Add a reference.

        Args:
            residual: ``(3, N)`` at the N pixels of the hole.
            visible: ``(N,)`` bool: where the reference shows the pixel.
            logits: ``(N,)``: what its scores say.
            error: ``(N,)``: how much it disagrees with the target at reduced size.
        """
        ...

    def result(self) -> tuple[Tensor, Tensor]:
        """The residual ``(3, N)``, 0 where nothing is visible, and where something is, ``(N,)`` bool."""
        ...


def residual_sum(select: Selection, *, count: int, temperature: float) -> ResidualSum:
    """Make an empty sum.

    Args:
        select: ``soft`` weighs by the softmax of the logits, as the paper does; ``agree`` by the softmax of
            ``-error / temperature``; ``hard`` takes the reference of the least error and ``topk`` the mean of the
            ``count`` least ones.
        count: see there.
        temperature: see there.

    Source: STRA-Net (BMVC 2021) has ``soft`` alone. Where alignment is off by a fraction of a reduced pixel, averaging
    blurs; choosing per pixel by agreement keeps more of the detail.
    """
    if select == "hard":
        return _Best(1)
    if select == "topk":
        return _Best(count)
    return _Attention(None if select == "soft" else temperature)


class _Attention:
    def __init__(self, temperature: float | None) -> None:
        self.temperature = temperature
        self.gathered: AttentionSum | None = None

    def add(self, residual: Tensor, visible: Tensor, logits: Tensor, error: Tensor) -> None:
        if self.temperature is not None:
            logits = -error / self.temperature
        # pixels of the hole as a frame of one row, in the shapes of the attention between frames
        self.gathered = attend(
            self.gathered,
            residual[None, None, :, None],
            logits[None, None, None, None],
            visible[None, None, None, None],
        )

    def result(self) -> tuple[Tensor, Tensor]:
        if self.gathered is None:
            raise ValueError("no residual was added; add at least one")
        values, visible = attended(self.gathered)
        return values[0, :, 0], visible[0, 0, 0] > 0


class _Best:
    def __init__(self, count: int) -> None:
        self.count = count
        self.errors: Tensor | None = None  # (K, N), inf where fewer than K are visible
        self.residuals: Tensor | None = None  # (K, 3, N)

    def add(self, residual: Tensor, visible: Tensor, logits: Tensor, error: Tensor) -> None:
        errors = torch.where(visible, error, torch.inf)[None]
        residuals = residual[None]
        if self.errors is not None and self.residuals is not None:
            errors, residuals = torch.cat((self.errors, errors)), torch.cat((self.residuals, residuals))
        if len(errors) > self.count:
            errors, kept = errors.topk(self.count, dim=0, largest=False)
            residuals = residuals.gather(0, kept[:, None].expand(-1, 3, -1))
        self.errors, self.residuals = errors, residuals

    def result(self) -> tuple[Tensor, Tensor]:
        if self.errors is None or self.residuals is None:
            raise ValueError("no residual was added; add at least one")
        seen = self.errors.isfinite()
        total = torch.where(seen[:, None], self.residuals, 0).sum(0)
        return total / seen.sum(0).clamp_min(1), seen.any(0)
