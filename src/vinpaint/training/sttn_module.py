"""Training of STTN."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from torch import Tensor, nn

from vinpaint.batch import VideoBatch
from vinpaint.errors import UserError
from vinpaint.losses import hole_l1, valid_l1
from vinpaint.models.sttn import STTN
from vinpaint.ops.compositing import composite
from vinpaint.training.gan_module import Completion, GANModule
from vinpaint.training.perceptual import PerceptualTerms
from vinpaint.training.pictures import Rows
from vinpaint.training.recipe import Game, Optimization, plain
from vinpaint.training.sttn_pictures import sttn_pictures


class STTNModule(GANModule):
    """Trains STTN, or any generator of its kind, with the paper's losses and schedule.

    Reconstruction is measured on pixels in [-1, 1], the range of the network (twice the error in [0, 1]), so that
    losses and weights are those of the public code; logged values are weighted and add up to ``train/loss``.

    Args:
        generator: see :class:`GANModule`.
        discriminator: see :class:`GANModule`; T-PatchGAN in the paper.
        hole_weight: weight of the error inside the holes.
        valid_weight: weight of the error outside.
        perceptual_weight: weight of the difference of VGG-16 features of the composite (0.01 is common).
        style_weight: weight of the difference of their Gram matrices (24 to 250 are common).
        vgg_weights: file of ImageNet VGG-16 weights; needed when one of the two weights above is not zero.
        discriminate: what the discriminator sees: ``composite`` (known pixels from the input, as in the public code)
            or ``completed`` (all pixels from the network, as the paper writes).
        game: see :class:`GANModule`.
        optimization: see :class:`GANModule`.

    Raises:
        UserError: if the perceptual or style loss is asked for without weights for VGG-16.

    Source: STTN (arXiv:2007.10247), equations 5 to 10 and section 4.1; the public training code where they differ.
    """

    def __init__(
        self,
        generator: nn.Module,
        *,
        discriminator: nn.Module | None = None,
        hole_weight: float = 1.0,
        valid_weight: float = 1.0,
        perceptual_weight: float = 0.0,
        style_weight: float = 0.0,
        vgg_weights: str | Path | None = None,
        discriminate: str = "composite",
        game: Game | None = None,
        optimization: Optimization | None = None,
    ) -> None:
        super().__init__(generator, discriminator=discriminator, game=game, optimization=optimization)
        if discriminate not in ("composite", "completed"):
            raise UserError(f"discriminate={discriminate!r}: choose composite or completed")
        self.hole_weight = hole_weight
        self.valid_weight = valid_weight
        self.discriminate = discriminate
        weights = {
            "hole_weight": hole_weight,
            "valid_weight": valid_weight,
            "perceptual_weight": perceptual_weight,
            "style_weight": style_weight,
            "discriminate": discriminate,
        }
        self.save_hyperparameters({**weights, **plain(self.game, self.optimization)}, logger=False)
        self.perceptual = PerceptualTerms(
            perceptual_weight=perceptual_weight, style_weight=style_weight, vgg_weights=vgg_weights
        )

    def measure(self, batch: VideoBatch) -> dict[str, Tensor]:
        """Measure the share of the frames that holes cover."""
        return {"hole_area": batch["masks"].mean()}

    def pictures(self, frames: Tensor, masks: Tensor, *, columns: int) -> dict[str, Rows]:
        """Show where the hole of the middle frame borrows from; see :func:`sttn_pictures`."""
        if not isinstance(self.generator, STTN):
            return {}
        return sttn_pictures(self.generator, frames, masks, columns=columns)

    def complete(self, batch: VideoBatch, measures: dict[str, Tensor]) -> Completion:
        """Complete clips; price the error inside and outside the holes."""
        frames, masks, area = batch["frames"], batch["masks"], measures["hole_area"]
        completed = cast(Tensor, self.generator(frames, masks)).float()
        composited = composite(frames, completed, masks)
        signed_completed, signed_frames = completed * 2 - 1, frames * 2 - 1
        terms = {
            "hole": self.hole_weight * hole_l1(signed_completed, signed_frames, masks, area=area),
            "valid": self.valid_weight * valid_l1(signed_completed, signed_frames, masks, area=area),
        }
        terms |= self.perceptual(composited, frames)
        fake = composited if self.discriminate == "composite" else completed
        return Completion(terms=terms, fake=fake, real=frames)
