"""Training of CPNet."""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

import torch
from torch import Tensor, nn

from vinpaint.batch import VideoBatch
from vinpaint.errors import UserError
from vinpaint.losses import Normalisation, alignment_l1, region_l1, total_variation
from vinpaint.models.cpnet import Aligned, CPNet, PreparedFrames, References
from vinpaint.models.cpnet import Completion as CompletedFrame
from vinpaint.ops.compositing import composite
from vinpaint.ops.reference_attention import masked_softmax
from vinpaint.training.gan_module import Completion, GANModule
from vinpaint.training.perceptual import PerceptualTerms, WithoutVGG
from vinpaint.training.pictures import Explained, Rows, evenly, explain_pictures
from vinpaint.training.recipe import Game, Optimization, plain
from vinpaint.training.targets import TargetBatch, TargetsPerClip, check_targets, draw_targets, others, take


class CPNetModule(GANModule):
    """Trains CPNet: some frames of every clip are completed from all its others.

    Logged values are weighted and add up to ``train/loss``.

    Args:
        generator: a :class:`vinpaint.models.cpnet.CPNet`.
        discriminator: see :class:`GANModule`; there is none in the paper. It judges composites, as clips of K frames.
        alignment_weight: weight of the difference between a target and the references laid over it.
        hole_visible_weight: weight of the error in the hole where a reference sees it.
        hole_leftover_weight: weight of the error in the hole where none does.
        non_hole_weight: weight of the error outside.
        perceptual_weight: weight of the difference of VGG-16 features of the composite.
        style_weight: weight of the difference of their Gram matrices.
        tv_weight: weight of the total variation of the composite.
        vgg_weights: file of ImageNet VGG-16 weights.
        without_vgg: what to do without that file: ``leave_out`` the two terms that need it and say so, or ``refuse``.
        normalisation: of the three regions, see :func:`vinpaint.losses.region_l1`.
        targets_per_clip: frames of each clip that are completed, drawn anew for every update; or ``all``.
        completed_reference_probability: chance of a reference to be given without its hole, as it is after its own
            completion. 0: all references keep their holes.
        game: see :class:`GANModule`.
        optimization: see :class:`GANModule`; Adam at 1e-4 with the usual betas and no drop by default.

    Raises:
        UserError: if an argument has no sense.

    Source: Copy-and-Paste Networks (arXiv:1908.11587). Its training code is not public: the weights 2, 10, 20, 6, 0.01,
    24 and 0.1 are those of two public re-implementations, and all but the first and the last return in STRA-Net's
    equation 1. What lies outside them is ours: means over all pixels (their weights descend from partial convolutions,
    which divide so), one random target per clip, and no drop of the learning rate. The network's own slips are behind
    its arguments.
    """

    generator: CPNet

    def __init__(
        self,
        generator: nn.Module,
        *,
        discriminator: nn.Module | None = None,
        alignment_weight: float = 2.0,
        hole_visible_weight: float = 10.0,
        hole_leftover_weight: float = 20.0,
        non_hole_weight: float = 6.0,
        perceptual_weight: float = 0.01,
        style_weight: float = 24.0,
        tv_weight: float = 0.1,
        vgg_weights: str | Path | None = None,
        without_vgg: WithoutVGG = "leave_out",
        normalisation: Normalisation = "full",
        targets_per_clip: TargetsPerClip = 1,
        completed_reference_probability: float = 0.0,
        game: Game | None = None,
        optimization: Optimization | None = None,
    ) -> None:
        optimization = optimization or Optimization(betas=(0.9, 0.999), milestones=())
        super().__init__(generator, discriminator=discriminator, game=game, optimization=optimization)
        check_targets(targets_per_clip, completed_reference_probability)
        if normalisation not in get_args(Normalisation):
            raise UserError(f"normalisation={normalisation!r}: choose one of {', '.join(get_args(Normalisation))}")
        self.weights = {
            "alignment": alignment_weight,
            "hole_visible": hole_visible_weight,
            "hole_leftover": hole_leftover_weight,
            "non_hole": non_hole_weight,
            "total_variation": tv_weight,
        }
        self.normalisation: Normalisation = normalisation
        self.targets_per_clip: TargetsPerClip = targets_per_clip
        self.completed_reference_probability = completed_reference_probability
        self.perceptual = PerceptualTerms(
            perceptual_weight=perceptual_weight,
            style_weight=style_weight,
            vgg_weights=vgg_weights,
            without_vgg=without_vgg,
            over_layers="mean",
        )
        options = {
            "alignment_weight": alignment_weight,
            "hole_visible_weight": hole_visible_weight,
            "hole_leftover_weight": hole_leftover_weight,
            "non_hole_weight": non_hole_weight,
            "perceptual_weight": perceptual_weight,
            "style_weight": style_weight,
            "tv_weight": tv_weight,
            "without_vgg": without_vgg,
            "perceptual_terms": self.perceptual.active,
            "normalisation": normalisation,
            "targets_per_clip": targets_per_clip,
            "completed_reference_probability": completed_reference_probability,
        }
        self.save_hyperparameters({**options, **plain(self.game, self.optimization)}, logger=False)

    def draw(self, batch: VideoBatch) -> VideoBatch:
        """Draw the targets of every clip, and which references are given whole."""
        return draw_targets(
            batch, self.targets_per_clip, completed_reference_probability=self.completed_reference_probability
        )

    def complete(self, batch: VideoBatch, measures: dict[str, Tensor]) -> Completion:
        """Complete the targets; price their alignment and the three regions of each."""
        drawn = cast(TargetBatch, batch)
        frames, masks, targets = drawn["frames"], drawn["masks"], drawn["targets"]
        B, K = targets.shape
        given = drawn["given"].view(*drawn["given"].shape, 1, 1, 1)
        target, completed, aligned = self._complete(frames, masks * (1 - given), targets, cropped=True)
        truth, holes = take(frames, targets).flatten(0, 1), take(masks, targets).flatten(0, 1)
        visible = completed.visible
        regions = {"hole_visible": holes * visible, "hole_leftover": holes * (1 - visible), "non_hole": 1 - holes}
        composited = composite(truth, completed.frame, holes)
        values = {"alignment": alignment_l1(target.frames, target.known, aligned.frames, aligned.visible)}
        for name, region in regions.items():
            values[name] = region_l1(completed.frame, truth, region, normalisation=self.normalisation)
        values["total_variation"] = total_variation(composited)
        terms = {name: self.weights[name] * value for name, value in values.items()}
        terms |= self.perceptual(composited, truth)
        shown = {"leftover_share": regions["hole_leftover"].mean()}
        fake = torch.unflatten(composited, 0, (B, K))
        return Completion(terms=terms, fake=fake, real=torch.unflatten(truth, 0, (B, K)), shown=shown)

    @torch.no_grad()
    def pictures(self, frames: Tensor, masks: Tensor, *, columns: int) -> dict[str, Rows]:
        """Show how the middle frame of a clip is completed from some of the others.

        Args:
            frames: ``(T, 3, H, W)`` in [0, 1].
            masks: ``(T, 1, H, W)`` in {0, 1}.
            columns: images per row at most, the target among them.

        Returns:
            ``alignment`` and ``attention``, see :func:`vinpaint.training.pictures.explain_pictures`.
        """
        middle = frames.shape[0] // 2
        chosen = evenly([index for index in range(frames.shape[0]) if index != middle], columns - 1)
        kept = [middle, *chosen]
        first = torch.zeros(1, 1, dtype=torch.long, device=frames.device)
        target, completed, aligned = self._complete(
            frames[kept].unsqueeze(0), masks[kept].unsqueeze(0), first, cropped=False
        )
        network = self.generator
        wanted, copied = network.Encoder(target.frames, target.holes), network.encode_copy(aligned)
        logits, visible = network.CM_Module.match(wanted, target.known, copied, aligned.visible)
        logits = logits[..., None, None, None]
        weights = masked_softmax(logits, visible, dim=1, legacy=network.CM_Module.legacy_softmax)
        pasted = composite(target.frames, completed.frame.clamp(0, 1), target.holes)
        parts = (target.frames, target.known, pasted, aligned.frames, aligned.visible, weights)
        return explain_pictures(Explained(*(part[0] for part in parts)))

    def _complete(
        self, frames: Tensor, masks: Tensor, targets: Tensor, *, cropped: bool
    ) -> tuple[PreparedFrames, CompletedFrame, Aligned]:
        """Complete the targets ``(B, K)`` of clips; all that is returned has B K targets in front.

        The network extends sides that do not divide by 8; the completed frames are ``cropped`` again, or all has the
        extended size.
        """
        network, num_frames = self.generator, frames.shape[1]
        prepared = network.prepare(frames, masks)
        features = network.encode_alignment(prepared)
        target = PreparedFrames(*(take(part, targets).flatten(0, 1) for part in prepared))
        rest = others(targets, num_frames)
        references = References(
            PreparedFrames(*(take(part, rest).flatten(0, 1) for part in prepared)), take(features, rest).flatten(0, 1)
        )
        height, width = (frames if cropped else target.frames).shape[-2:]
        completed = network.complete(
            target, take(features, targets).flatten(0, 1), [references], size=(height, width), keep_aligned=True
        )
        return target, completed, completed.aligned[0]
