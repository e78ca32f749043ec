"""Training of a fusion network."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from vinpaint.batch import VideoBatch
from vinpaint.models.fusion import FusionNetwork
from vinpaint.ops.compositing import composite
from vinpaint.training.fusion_data import FusionBatch
from vinpaint.training.gan_module import Completion, GANModule
from vinpaint.training.recipe import Game, Optimization, plain


class FusionModule(GANModule):
    """Trains a :class:`vinpaint.models.fusion.FusionNetwork` on records of ``flow_guided``.

    Squared errors are divided by the clip's mean under fixed weights before they are averaged: the loss then falls as
    the mean over clips of their PSNR in the hole rises, whether a clip is easy or hard.

    Args:
        generator: the network.
        discriminator: there is none; the argument is that of every module.
        square_weight: weight of the squared error in the hole over that of the plain mean.
        absolute_weight: weight of the absolute error over the root of the same.
        game: see :class:`GANModule`.
        optimization: see :class:`GANModule`.
    """

    def __init__(
        self,
        generator: FusionNetwork,
        *,
        discriminator: None = None,
        square_weight: float = 1.0,
        absolute_weight: float = 0.25,
        game: Game | None = None,
        optimization: Optimization | None = None,
    ) -> None:
        network = generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        super().__init__(network, discriminator=discriminator, game=game, optimization=optimization)
        self.square_weight = square_weight
        self.absolute_weight = absolute_weight
        weights = {"square_weight": square_weight, "absolute_weight": absolute_weight}
        self.save_hyperparameters({**weights, **plain(self.game, self.optimization)}, logger=False)

    def complete(self, batch: VideoBatch, measures: dict[str, Tensor]) -> Completion:
        """Complete crops; price the error in the hole."""
        records = cast(FusionBatch, batch)
        truth, hole = records["frames"][:, 0], records["masks"][:, 0]
        completed = cast(Tensor, self.generator(records["candidates"][0])).float()
        error = (completed - truth) * hole
        area = (3 * hole).sum(dim=(1, 2, 3)).clamp(min=1)
        difficulty = records["difficulty"].to(error)
        square = error.square().sum(dim=(1, 2, 3)) / area / difficulty
        absolute = error.abs().sum(dim=(1, 2, 3)) / area / difficulty.sqrt()
        terms = {
            "square": self.square_weight * square.mean(),
            "absolute": self.absolute_weight * absolute.mean(),
        }
        return Completion(terms=terms, fake=None, real=records["frames"])

    def validation_step(self, batch: VideoBatch, batch_idx: int) -> dict[str, Tensor]:
        """Complete a clip frame by frame; metrics are made by a callback."""
        records = cast(FusionBatch, batch)
        completed = records["frames"].clone()
        for t, (candidates, (top, left)) in enumerate(zip(records["candidates"], records["corners"], strict=True)):
            made = cast(Tensor, self.generator(candidates)).float().clamp(0, 1)
            h, w = made.shape[-2:]
            view = completed[:, t, :, top : top + h, left : left + w]
            view.copy_(composite(view, made, candidates["hole"]))
        return {"completed": completed}
