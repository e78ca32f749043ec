"""The two terms of a loss that need a classifier, where there may be none."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from vinpaint.errors import UserError
from vinpaint.losses import LayerReduction, perceptual_and_style
from vinpaint.models.vgg import VGG16Features

WithoutVGG = Literal["refuse", "leave_out"]


class PerceptualTerms:
    """The weighted perceptual and style loss of a completed clip.

    It is no module: the classifier is frozen and belongs in no checkpoint.

    Args:
        perceptual_weight: weight of the difference of VGG-16 features.
        style_weight: weight of the difference of their Gram matrices.
        vgg_weights: file of ImageNet VGG-16 weights.
        without_vgg: what to do when a weight is not zero and there is no file: ``refuse`` to train, or ``leave_out``
            both terms and say so once.
        over_layers: see :func:`vinpaint.losses.perceptual_and_style`.

    Raises:
        UserError: if ``without_vgg`` is neither; if it is ``refuse`` and there is no file; if the file does not hold
            VGG-16.
    """

    def __init__(
        self,
        *,
        perceptual_weight: float,
        style_weight: float,
        vgg_weights: str | Path | None,
        without_vgg: WithoutVGG = "refuse",
        over_layers: LayerReduction = "sum",
    ) -> None:
        if without_vgg not in get_args(WithoutVGG):
            raise UserError(f"without_vgg={without_vgg!r}: choose one of {', '.join(get_args(WithoutVGG))}")
        self.perceptual_weight = perceptual_weight
        self.style_weight = style_weight
        self.over_layers: LayerReduction = over_layers
        self._vgg: VGG16Features | None = None
        if not (perceptual_weight or style_weight):
            return
        asked = f"perceptual_weight={perceptual_weight:g}, style_weight={style_weight:g}"
        if vgg_weights is not None:
            self._vgg = VGG16Features.from_file(vgg_weights)
        elif without_vgg == "refuse":
            raise UserError(
                f"{asked}: these losses need VGG-16; give vgg_weights=<file of an ImageNet VGG-16 state dict>, or set "
                "both weights to 0"
            )
        else:
            rank_zero_warn(
                f"{asked}: training without these two losses, which need VGG-16; give vgg_weights=<file of an ImageNet "
                "VGG-16 state dict> to train with them"
            )

    @property
    def active(self) -> bool:
        """Whether there are terms at all."""
        return self._vgg is not None

    def __call__(self, completed: Tensor, frames: Tensor) -> dict[str, Tensor]:
        """Price completed clips against true ones, both ``(..., 3, H, W)`` in [0, 1]; nothing if not :attr:`active`."""
        if self._vgg is None:
            return {}
        self._vgg = self._vgg.to(frames.device)
        perceptual, style = perceptual_and_style(self._vgg, completed, frames, over_layers=self.over_layers)
        return {"perceptual": self.perceptual_weight * perceptual, "style": self.style_weight * style}
