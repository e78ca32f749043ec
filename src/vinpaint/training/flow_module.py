"""Training of a network that estimates optical flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from vinpaint.batch import VideoBatch
from vinpaint.errors import UserError
from vinpaint.losses import LEVEL_WEIGHTS, end_point_error, multi_scale_end_point_error
from vinpaint.models.flow.irr_pwc import IRRPWCNetwork
from vinpaint.training.gan_module import Completion, GANModule
from vinpaint.training.recipe import Game, Optimization, plain


class FlowBatch(VideoBatch):
    """Clips whose motion is known.

    Keys:
        flow_forward: from each frame to the next, ``(B, T - 1, 2, H, W)`` float32 pixels, channel 0 = x.
        flow_backward: the same from each next frame back.
        seen_forward: where what is at a pixel is seen in the next frame, ``(B, T - 1, 1, H, W)`` in {0, 1}.
        seen_backward: where it is seen in the frame before.
    """

    flow_forward: Tensor
    flow_backward: Tensor
    seen_forward: Tensor
    seen_backward: Tensor


class FlowModule(GANModule):
    """Trains a :class:`vinpaint.models.flow.irr_pwc.IRRPWCNetwork` on clips whose motion is known.

    All neighbours of a clip are estimated in both directions. Flow is priced at every level; ``train/epe`` and
    ``val/epe`` are the mean distance in pixels of the flow that inference gives, ``val/epe_seen`` where a pixel is
    seen in the other frame.

    Args:
        generator: the network.
        discriminator: there is none; the argument is that of every module.
        level_weights: weight of a pixel of each level, from stride 64 to 4, and of the frame.
        unseen_weight: weight of a pixel that is hidden or out of sight in the other frame, beside 1 of any other.
        robust: let what is hopeless count less, see :func:`vinpaint.losses.multi_scale_end_point_error`.
        game: see :class:`GANModule`.
        optimization: see :class:`GANModule`.

    Source: PWC-Net (arXiv:1709.02371) and IRR-PWC (arXiv:1904.05290).
    """

    def __init__(
        self,
        generator: IRRPWCNetwork,
        *,
        discriminator: None = None,
        level_weights: Sequence[float] = LEVEL_WEIGHTS,
        unseen_weight: float = 1.0,
        robust: bool = False,
        game: Game | None = None,
        optimization: Optimization | None = None,
    ) -> None:
        if unseen_weight < 0:
            raise UserError(f"unseen_weight={unseen_weight:g}: expected 0 or more")
        super().__init__(generator, discriminator=discriminator, game=game, optimization=optimization)
        self.level_weights = list(level_weights)
        self.unseen_weight = unseen_weight
        self.robust = robust
        options = {"level_weights": self.level_weights, "unseen_weight": unseen_weight, "robust": robust}
        self.save_hyperparameters({**options, **plain(self.game, self.optimization)}, logger=False)

    def complete(self, batch: VideoBatch, measures: dict[str, Tensor]) -> Completion:
        """Estimate flow between neighbours; price it at every level."""
        truth, seen = _truth(batch)
        weight = seen + self.unseen_weight * (1 - seen)
        levels = self._levels(batch)
        loss = multi_scale_end_point_error(levels, truth, weight, level_weights=self.level_weights, robust=self.robust)
        shown = {"epe": end_point_error(levels[-1].detach(), truth)}
        return Completion(terms={"flow": loss}, fake=None, real=batch["frames"], shown=shown)

    def validation_step(self, batch: VideoBatch, batch_idx: int) -> dict[str, Tensor]:
        """Measure flow between neighbours."""
        truth, seen = _truth(batch)
        flow = self._levels(batch)[-1]
        B = len(batch["name"])
        for name, weight in (("epe", None), ("epe_seen", seen)):
            error = end_point_error(flow, truth, weight)
            self.log(f"val/{name}", error, on_epoch=True, batch_size=B, sync_dist=True, prog_bar=name == "epe")
        return {"flow": flow}

    def _levels(self, batch: VideoBatch) -> list[Tensor]:
        frames = batch["frames"]
        first, second = frames[:, :-1].flatten(0, 1), frames[:, 1:].flatten(0, 1)
        return cast(IRRPWCNetwork, self.generator).levels(first, second)


def _truth(batch: VideoBatch) -> tuple[Tensor, Tensor]:
    """True flow of all neighbours, forward and then backward, and where what moves is seen at both ends.

    Raises:
        UserError: if the motion of the clips is not known.
    """
    if "flow_forward" not in batch:
        raise UserError("clips without true motion: set data.motion=flow, and data whose motion is known")
    known = cast(FlowBatch, batch)
    flow = torch.cat((known["flow_forward"].flatten(0, 1), known["flow_backward"].flatten(0, 1)))
    seen = torch.cat((known["seen_forward"].flatten(0, 1), known["seen_backward"].flatten(0, 1)))
    return flow, seen
