"""Training of STRA-Net."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from vinpaint.batch import VideoBatch
from vinpaint.errors import UserError
from vinpaint.losses import Normalisation, region_l1
from vinpaint.models.stra_net import STRANet
from vinpaint.training.gan_module import Completion, GANModule
from vinpaint.training.leftover import draw_blobs
from vinpaint.training.perceptual import PerceptualTerms, WithoutVGG
from vinpaint.training.pictures import Rows
from vinpaint.training.recipe import Game, Optimization, plain
from vinpaint.training.stra_net_groups import Group, STRANetBatch, complete_groups
from vinpaint.training.stra_net_pictures import stra_net_pictures
from vinpaint.training.targets import TargetsPerClip, check_targets, draw_targets, take

RegionsOn = Literal["temporal", "final", "both"]
Trained = Literal["all", "spatial"]

SMALLEST_LEFTOVER = 1e-3
"""Share of a frame below which its leftover plays no part in the game: fake and real would be all but the same."""


class STRANetModule(GANModule):
    """Trains STRA-Net: alignment and temporal aggregation first, then the spatial aggregation with them.

    Until ``spatial_start_epoch`` the spatial aggregation is left out and the discriminator waits. Validation completes
    with all of the network even then: it measures what the weights do when they are used, so that the best of them are
    not those of a network half trained. Logged values are weighted and add up to ``train/loss``; beside them stand the
    alignment error of flow, which has nothing to learn, and the share of the frames that is left over.

    Args:
        generator: a :class:`vinpaint.models.stra_net.STRANet`.
        discriminator: scores pictures, such as :class:`vinpaint.models.hifill_discriminator.HiFillDiscriminator`;
            without one there is no adversarial term.
        alignment_weight: weight of the difference between a target and the references that affine maps lay over it.
        hole_visible_weight: weight of the error in the hole where a reference shows it.
        hole_leftover_weight: weight of the error in the hole where none does.
        non_hole_weight: weight of the error outside.
        perceptual_weight: weight of the difference of VGG-16 features of the result.
        style_weight: weight of the difference of their Gram matrices.
        refinement_weight: weight of the error of the spatial aggregation, over the whole frame.
        vgg_weights: file of ImageNet VGG-16 weights.
        without_vgg: what to do without that file: ``leave_out`` the two terms that need it and say so, or ``refuse``.
        normalisation: of the regions, see :func:`vinpaint.losses.region_l1`.
        regions_on: what the errors of the three regions are measured on: what the ``temporal`` aggregation makes of
            every pixel, the ``final`` composite, or the mean of ``both``. The paper's text points to the first, its
            appendix to the second, on which the temporal aggregation learns nothing outside the hole.
        spatial_start_epoch: epoch, counted from 0, from which on the spatial aggregation is trained.
        trained: ``all``, or the ``spatial`` aggregation alone on what the rest, frozen, hands it, so that what no frame
            shows can be learned for longer than everything else, without the rest's backward pass.
        targets_per_clip: frames of each clip that are completed, drawn anew for every update; or ``all``, as the
            paper's sums have it.
        same_targets: draw them once for the whole batch instead of for every clip. Targets at one place of their
            clips are completed together: with one target per clip a GPU then has a fifth of the calls to make.
        completed_reference_probability: chance of a reference to be given without its hole, as it is after its own
            completion. 0, as published as far as known: all references keep their holes.
        leftover_probability: chance of a target to have a blob inside its hole that no reference may show, so that
            there is something to learn from for the spatial aggregation.
        true_flow: follow the true flow, where the data knows it (``data.motion=flow``), instead of estimated flow: a
            cheap stand-in for a slow estimator. In holes it is continued from around them, as an estimate is.
        flow_error: standard deviation in pixels of smooth errors that are added to true flow, so that the network
            learns to doubt what it follows.
        adversarial_learning_rate: of the spatial aggregation and the discriminator.
        adversarial_betas: of Adam for those two.
        game: see :class:`GANModule`; by default HiFill's: WGAN-GP, weight 0.001, three critic steps.
        optimization: see :class:`GANModule`; ``learning_rate`` and ``betas`` are those of alignment and temporal
            aggregation, the rest holds for all. Adam at 1e-4 with the usual betas by default.

    Raises:
        UserError: if an argument has no sense.

    Source: STRA-Net (BMVC 2021), equation 1 and supplementary A. Norms are means instead of sums. Learning rates,
    betas, critic steps and how many frames of a clip are targets are not given there: the first are CPNet's, those of
    the game HiFill's (arXiv:2005.09704).
    """

    generator: STRANet

    def __init__(
        self,
        generator: nn.Module,
        *,
        discriminator: nn.Module | None = None,
        alignment_weight: float = 5.0,
        hole_visible_weight: float = 10.0,
        hole_leftover_weight: float = 20.0,
        non_hole_weight: float = 6.0,
        perceptual_weight: float = 0.01,
        style_weight: float = 24.0,
        refinement_weight: float = 1.2,
        vgg_weights: str | Path | None = None,
        without_vgg: WithoutVGG = "leave_out",
        normalisation: Normalisation = "full",
        regions_on: RegionsOn = "temporal",
        spatial_start_epoch: int = 2,
        trained: Trained = "all",
        targets_per_clip: TargetsPerClip = 1,
        same_targets: bool = False,
        completed_reference_probability: float = 0.0,
        leftover_probability: float = 0.5,
        true_flow: bool = False,
        flow_error: float = 0.0,
        adversarial_learning_rate: float = 1e-4,
        adversarial_betas: Sequence[float] = (0.5, 0.9),
        game: Game | None = None,
        optimization: Optimization | None = None,
    ) -> None:
        game = game or Game(gan_loss="wgan_gp", adversarial_weight=0.001, d_loss_scale=1.0, critic_steps=3)
        optimization = optimization or Optimization(betas=(0.9, 0.999), milestones=())
        super().__init__(generator, discriminator=discriminator, game=game, optimization=optimization)
        check_targets(targets_per_clip, completed_reference_probability)
        for name, value, choices in (
            ("normalisation", normalisation, get_args(Normalisation)),
            ("regions_on", regions_on, get_args(RegionsOn)),
            ("trained", trained, get_args(Trained)),
        ):
            if value not in choices:
                raise UserError(f"{name}={value!r}: choose one of {', '.join(choices)}")
        if not 0 <= leftover_probability <= 1:
            raise UserError(f"leftover_probability={leftover_probability:g}: expected 0 to 1")
        if flow_error < 0:
            raise UserError(f"flow_error={flow_error:g}: expected 0 or more pixels")
        if spatial_start_epoch < 0:
            raise UserError(f"spatial_start_epoch={spatial_start_epoch}: expected at least 0")
        if trained == "spatial" and self.generator.spatial is None:
            raise UserError("trained=spatial: the network has no spatial aggregation; set network.spatial=multiscale")
        if trained == "spatial" and spatial_start_epoch:
            raise UserError("trained=spatial: nothing would learn before spatial_start_epoch; set it to 0")
        self.weights = {
            "alignment": alignment_weight,
            "hole_visible": hole_visible_weight,
            "hole_leftover": hole_leftover_weight,
            "non_hole": non_hole_weight,
            "refinement": refinement_weight,
        }
        self.normalisation: Normalisation = normalisation
        self.regions_on: RegionsOn = regions_on
        self.spatial_start_epoch = spatial_start_epoch
        self.trained: Trained = trained
        if trained == "spatial":
            self.generator.affine.requires_grad_(False)
            self.generator.temporal.requires_grad_(False)
        self.targets_per_clip: TargetsPerClip = targets_per_clip
        self.same_targets = same_targets
        self.completed_reference_probability = completed_reference_probability
        self.leftover_probability = leftover_probability
        self.true_flow = true_flow
        self.flow_error = flow_error
        self.adversarial_learning_rate = adversarial_learning_rate
        self.adversarial_betas = (float(adversarial_betas[0]), float(adversarial_betas[1]))
        self.perceptual = PerceptualTerms(
            perceptual_weight=perceptual_weight,
            style_weight=style_weight,
            vgg_weights=vgg_weights,
            without_vgg=without_vgg,
            over_layers="mean",
        )
        options = {
            **{f"{name}_weight": weight for name, weight in self.weights.items()},
            "perceptual_weight": perceptual_weight,
            "style_weight": style_weight,
            "without_vgg": without_vgg,
            "perceptual_terms": self.perceptual.active,
            "normalisation": normalisation,
            "regions_on": regions_on,
            "spatial_start_epoch": spatial_start_epoch,
            "trained": trained,
            "targets_per_clip": targets_per_clip,
            "same_targets": same_targets,
            "completed_reference_probability": completed_reference_probability,
            "leftover_probability": leftover_probability,
            "true_flow": true_flow,
            "flow_error": flow_error,
            "adversarial_learning_rate": adversarial_learning_rate,
            "adversarial_betas": list(self.adversarial_betas),
        }
        self.save_hyperparameters({**options, **plain(self.game, self.optimization)}, logger=False)

    @property
    def warming_up(self) -> bool:
        """Whether the spatial aggregation is still left out; never outside a trainer."""
        return self._trainer is not None and self.current_epoch < self.spatial_start_epoch

    def pictures(self, frames: Tensor, masks: Tensor, *, columns: int) -> dict[str, Rows]:
        """Show how the middle frame of a clip is completed; see :func:`stra_net_pictures`."""
        return stra_net_pictures(self.generator, frames, masks, columns=columns)

    def draw(self, batch: VideoBatch) -> VideoBatch:
        """Draw the targets of every clip, references that are given whole, and what no reference may show."""
        drawn = draw_targets(
            batch,
            self.targets_per_clip,
            completed_reference_probability=self.completed_reference_probability,
            same_targets=self.same_targets,
        )
        holes = take(batch["masks"], drawn["targets"])
        blobs = draw_blobs(holes.flatten(0, 1), probability=self.leftover_probability)
        return STRANetBatch(**drawn, hidden=torch.unflatten(blobs, 0, holes.shape[:2]))

    def complete(self, batch: VideoBatch, measures: dict[str, Tensor]) -> Completion:
        """Complete the targets; price alignment, regions and refinement."""
        spatial = not self.warming_up
        terms: dict[str, Tensor] = {}
        shown: dict[str, Tensor] = {}
        fakes: list[Tensor] = []
        reals: list[Tensor] = []
        count = 0
        drawn = cast(STRANetBatch, batch)
        groups = complete_groups(
            self.generator, drawn, spatial=spatial, true_flow=self.true_flow, flow_error=self.flow_error
        )
        for group in groups:
            for totals, values in ((terms, self._price(group)), (shown, group.measures())):
                for name, value in values.items():
                    totals[name] = totals.get(name, 0.0) + group.share * value
            count += len(group.truth)
            playing = group.completed.leftover.flatten(1).mean(1) >= SMALLEST_LEFTOVER
            if spatial and group.completed.spatial is not None and playing.any():
                fakes.append(group.for_the_critic()[playing])
                reals.append(group.truth[playing])
            last = group
        if not spatial or self.generator.spatial is None:
            return Completion(terms=terms, fake=None, real=batch["frames"], shown=shown)
        share = sum(map(len, fakes)) / count
        if not fakes:  # the game goes on without stakes: on another device somebody may play, and would wait for us
            fakes, reals = [last.for_the_critic()[:1]], [last.truth[:1]]
        return Completion(
            terms=terms,
            fake=torch.cat(fakes).unsqueeze(1),
            real=torch.cat(reals).unsqueeze(1),
            fake_share=share,
            shown=shown | {"playing_share": torch.tensor(share, device=self.device)},
        )

    def _price(self, group: Group) -> dict[str, Tensor]:
        """The weighted losses of some targets."""
        completed, truth, left = group.completed, group.truth, group.completed.leftover
        values: dict[str, Tensor] = {}
        if completed.spatial is not None:
            # which targets are completed together shall not matter: those without leftover learn nothing here
            needs = left.flatten(1).any(1)
            values["refinement"] = sum(
                region_l1(completed.spatial[needs], truth[needs], region[needs], normalisation=self.normalisation)
                for region in (left, 1 - left)
            ) * (needs.sum() / len(needs))
        elif self.trained == "spatial":
            values["refinement"] = torch.zeros((), device=self.device, requires_grad=True)
        if self.trained == "all":
            values |= self._price_temporal(group)
        terms = {name: self.weights[name] * value for name, value in values.items()}
        return terms | self.perceptual(completed.frame, truth)

    def _price_temporal(self, group: Group) -> dict[str, Tensor]:
        """The losses of alignment and temporal aggregation, not weighted."""
        completed, truth, holes, left = group.completed, group.truth, group.holes, group.completed.leftover
        values: dict[str, Tensor] = {}
        if (error := group.alignment_error(affine=True)) is not None:
            values["alignment"] = error
        regions = {"hole_visible": holes * (1 - left), "hole_leftover": left, "non_hole": 1 - holes}
        judged = {"temporal": [completed.temporal], "final": [completed.frame]}
        made = judged.get(self.regions_on, [completed.temporal, completed.frame])
        for name, region in regions.items():
            errors = [region_l1(frames, truth, region, normalisation=self.normalisation) for frames in made]
            values[name] = torch.stack(errors).mean()
        return values

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        """Adam with two groups, alignment with temporal aggregation and the spatial one, and Adam for the critic.

        A group that receives no gradient, as the spatial one in the first epochs, stays where it is.
        """
        first, second = self.optimization.betas
        spatial = [] if self.generator.spatial is None else list(self.generator.spatial.parameters())
        ids = {id(parameter) for parameter in spatial}
        slower = {"lr": self.adversarial_learning_rate, "betas": self.adversarial_betas}
        groups: list[dict[str, Any]] = [
            {
                "params": [p for p in self.generator.parameters() if p.requires_grad and id(p) not in ids],
                "lr": self.optimization.learning_rate,
                "betas": (float(first), float(second)),
            },
            {"params": spatial, **slower},
        ]
        optimizers: list[Optimizer] = [Adam([group for group in groups if group["params"]])]
        if self.discriminator is not None:
            optimizers.append(Adam([{"params": list(self.discriminator.parameters()), **slower}]))
        return optimizers, self.schedules(optimizers)
