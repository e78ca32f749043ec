"""The loop every adversarially trained generator shares; what its losses are is left to the subclass."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.strategies.parallel import ParallelStrategy
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from vinpaint.batch import VideoBatch, check_batch
from vinpaint.errors import UserError
from vinpaint.losses import AdversarialLoss, gradient_penalty
from vinpaint.ops.compositing import composite
from vinpaint.training.kept_batch import keep_batch
from vinpaint.training.micro_batches import add_values, share_of, split_batch
from vinpaint.training.random_state import RandomState, capture_random_state, restore_random_state
from vinpaint.training.recipe import Game, Optimization


class DivergedError(UserError):
    """A loss, a gradient or a weight that is no longer a number; raised before it reaches weights or a checkpoint."""


@dataclass
class Completion:
    """What a generator made of one (micro-)batch, and what it is to be blamed for.

    Args:
        terms: the generator's losses but the adversarial one, each already weighted, scalars.
        fake: the clips the discriminator shall tell from true ones, ``(B, T, 3, H, W)`` in [0, 1]; ``None`` when
            there is no game to play on this batch.
        real: the true clips to set against them, same shape.
        fake_share: how much of what was completed ``fake`` shows, 0 to 1: both players' losses of the game are
            multiplied by it, so that what is left out of the game counts as 0 and not as the mean of the others.
        shown: further scalars to log, which nobody minimises.
    """

    terms: dict[str, Tensor]
    fake: Tensor | None
    real: Tensor
    fake_share: float = 1.0
    shown: dict[str, Tensor] = field(default_factory=dict)


class GANModule(LightningModule):
    """Trains a generator, against a discriminator if there is one.

    One batch is one update of each player: first the discriminator on the detached completion, then the generator
    against the updated discriminator. Iterations, schedules, ``trainer.max_steps`` and ``trainer.global_step`` all
    count these updates once, whatever the number of players.

    A subclass says in :meth:`complete` what is completed and what it costs.

    Args:
        generator: ``forward(frames, masks)`` gives completed frames, all ``(B, T, C, H, W)`` in [0, 1].
        discriminator: ``forward(frames)`` gives scores; trained without a game if ``None``.
        game: form and weights of the game; the paper's by default.
        optimization: optimiser and schedule of both players; the paper's by default.

    Source: STTN (arXiv:2007.10247), section 3.4, and the public training code.
    """

    def __init__(
        self,
        generator: nn.Module,
        *,
        discriminator: nn.Module | None = None,
        game: Game | None = None,
        optimization: Optimization | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator = generator
        self.discriminator = discriminator
        self.game = game or Game()
        self.optimization = optimization or Optimization()
        self.adversarial_loss = AdversarialLoss(self.game.gan_loss)
        self._random_state: RandomState | None = None  # after the last update

    def draw(self, batch: VideoBatch) -> VideoBatch:
        """Add to a batch what chance decides about it; once per update, however often its parts are completed."""
        return batch

    @abstractmethod
    def complete(self, batch: VideoBatch, measures: dict[str, Tensor]) -> Completion:
        """Complete a micro-batch and price the result.

        Args:
            batch: some clips of the batch.
            measures: what :meth:`measure` found in the whole batch.
        """

    def measure(self, batch: VideoBatch) -> dict[str, Tensor]:
        """Measure what losses divide by over the whole batch, so that its parts add up to it; scalars.

        The numbers are averaged over devices, so that a batch spread over several costs what it would cost on one.
        """
        return {}

    def forward(self, frames: Tensor, masks: Tensor) -> Tensor:
        """Complete clips.

        Args:
            frames: ``(B, T, 3, H, W)`` in [0, 1].
            masks: ``(B, T, 1, H, W)`` in {0, 1}, 1 = hole.

        Returns:
            The generator's frames inside the hole, the given ones outside, ``(B, T, 3, H, W)`` float32 in [0, 1].
        """
        completed = cast(Tensor, self.generator(frames, masks))
        return composite(frames, completed.float(), masks)

    # ------------------------------------------------------------------ one update

    def training_step(self, batch: VideoBatch, batch_idx: int) -> dict[str, Tensor]:
        """Update the discriminator, then the generator."""
        if self.trainer.global_step == 0:
            check_batch(batch)  # once: its reductions would stall a GPU at every step
        batch = self.draw(batch)
        try:
            return self._update(batch)
        except DivergedError as error:
            raise DivergedError(f"{error}; {self._keep(batch)}") from error

    def _update(self, batch: VideoBatch) -> dict[str, Tensor]:
        generator_optimizer, *others = self._optimizers()
        for optimizer in others:
            # Lightning counts a step of every optimizer; only the generator's shall count as one.
            optimizer._on_before_step = optimizer._on_after_step = _uncounted
        measured = self.measure(batch)
        measures = {key: cast(Tensor, self.trainer.strategy.reduce(v, reduce_op="mean")) for key, v in measured.items()}
        parts = split_batch(batch, self.optimization.micro_batch_size)
        logged: dict[str, Tensor] = {}
        # With one part the graph of its completion serves both players.
        only = self.complete(parts[0], measures) if len(parts) == 1 else None

        if self.discriminator is not None:
            fakes = [only] if only else [self._detached(part, measures) for part in parts]
            if any(made.fake is not None for made in fakes):
                for _ in range(self.game.critic_steps):
                    logged |= self._update_discriminator(others[0], batch, parts, fakes)

        with self._only(self.generator):
            generator_optimizer.zero_grad()
            for index, part in enumerate(parts):
                made = only or self.complete(part, measures)
                terms = dict(made.terms)
                if self.discriminator is not None and made.fake is not None and self.game.adversarial_weight:
                    score = self.adversarial_loss.generator(self._scores(made.fake))
                    terms["adversarial"] = self.game.adversarial_weight * made.fake_share * score
                share = share_of(part, batch)
                terms = {key: share * value for key, value in terms.items()}
                self._backward(terms, synchronize=index == len(parts) - 1)
                add_values(logged, terms | {"loss": torch.stack(list(terms.values())).sum()})
                add_values(logged, {key: share * value for key, value in made.shown.items()})
            self._step(generator_optimizer, self.generator)

        for schedule in self._schedules():
            schedule.step()
        rate = torch.tensor(generator_optimizer.param_groups[0]["lr"])
        # One message for all values: what is logged is the loss of the whole batch, not of the first device's share.
        values = cast(Tensor, self.trainer.strategy.reduce(torch.stack(list(logged.values())), reduce_op="mean"))
        logged = dict(zip(logged, values.unbind(), strict=True))
        shown = {f"train/{key}": value for key, value in logged.items()}
        self.log_dict(shown, prog_bar=True, batch_size=len(batch["name"]))
        self.log("train/learning_rate", rate, batch_size=len(batch["name"]))
        self._random_state = capture_random_state()
        return logged

    def _keep(self, batch: VideoBatch) -> str:
        """Leave a batch beside the run; a phrase that says where."""
        name = f"diverged_update{self.trainer.global_step}_rank{self.global_rank}.safetensors"
        path = Path(self.trainer.default_root_dir) / name
        try:
            keep_batch(batch, path)
        except OSError as error:
            return f"the batch could not be kept ({error})"
        return f"the batch is kept in {path}"

    def _detached(self, part: VideoBatch, measures: dict[str, Tensor]) -> Completion:
        with torch.no_grad():
            return self.complete(part, measures)

    def _update_discriminator(
        self, optimizer: LightningOptimizer, batch: VideoBatch, parts: list[VideoBatch], made: list[Completion]
    ) -> dict[str, Tensor]:
        assert self.discriminator is not None
        logged: dict[str, Tensor] = {}
        with self._only(self.discriminator):
            optimizer.zero_grad()
            playing = [(p, m, m.fake.detach()) for p, m in zip(parts, made, strict=True) if m.fake is not None]
            for index, (part, completion, fake) in enumerate(playing):
                real = completion.real
                terms = {
                    "discriminator_real": self.adversarial_loss.real(self._scores(real)),
                    "discriminator_fake": self.adversarial_loss.fake(self._scores(fake)),
                }
                shown = dict(terms)
                terms = {key: self.game.d_loss_scale * value for key, value in terms.items()}
                if self.adversarial_loss.kind == "wgan_gp":
                    penalty = gradient_penalty(self.discriminator, real, fake)
                    shown["gradient_penalty"] = penalty
                    terms["gradient_penalty"] = self.game.gradient_penalty_weight * penalty
                share = share_of(part, batch) * completion.fake_share
                self._backward({k: share * v for k, v in terms.items()}, synchronize=index == len(playing) - 1)
                add_values(logged, {k: share * v for k, v in shown.items()})
            self._step(optimizer, self.discriminator)
        return logged

    def _scores(self, clips: Tensor) -> Tensor:
        assert self.discriminator is not None
        # bf16 gradients of strided 3-D convolutions are uninitialised memory on the CPU (torch 2.13): float32 there.
        on_cpu = clips.device.type == "cpu"
        with torch.autocast("cpu", enabled=False) if on_cpu else nullcontext():
            return cast(Tensor, self.discriminator(clips)).float()

    def _backward(self, terms: dict[str, Tensor], *, synchronize: bool) -> None:
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            broken = [f"{key} is {value.item()}" for key, value in terms.items() if not torch.isfinite(value)]
            raise DivergedError(
                f"update {self.trainer.global_step}: loss {', '.join(broken) or 'is not finite'}; lower learning_rate, "
                "set max_gradient_norm, or train with precision=bf16 or fp32, from a checkpoint before this update"
            )
        strategy = self.trainer.strategy
        if synchronize or not isinstance(strategy, ParallelStrategy):
            self.manual_backward(loss)
        else:
            with strategy.block_backward_sync():
                self.manual_backward(loss)

    def _step(self, optimizer: LightningOptimizer, network: nn.Module) -> None:
        self._check_gradients(network)
        if self.optimization.max_gradient_norm is not None:
            scaler = getattr(self.trainer.precision_plugin, "scaler", None)
            norm = self.optimization.max_gradient_norm * (scaler.get_scale() if scaler is not None else 1.0)
            nn.utils.clip_grad_norm_(network.parameters(), norm)
        optimizer.step()

    def _check_gradients(self, network: nn.Module) -> None:
        """Refuse a step by gradients that are no numbers, or whose length is none; on a GPU the next loss tells."""
        if self.device.type != "cpu" or isinstance(self.trainer.strategy, ModelParallelStrategy):
            return
        lengths = {name: p.grad.norm() for name, p in network.named_parameters() if p.grad is not None}
        broken = [f"{name} is {length.item()}" for name, length in lengths.items() if not torch.isfinite(length)]
        if broken:
            more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
            raise DivergedError(
                f"update {self.trainer.global_step}: length of the gradient of {', '.join(broken[:3])}{more}; lower "
                "learning_rate, or train with precision=fp32, from a checkpoint before this update"
            )

    @contextmanager
    def _only(self, network: nn.Module) -> Iterator[None]:
        """Let gradients reach one player and not its opponent."""
        frozen = [
            parameter
            for player in (self.generator, self.discriminator)
            if player is not None and player is not network
            for parameter in player.parameters()
            if parameter.requires_grad
        ]
        for parameter in frozen:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)

    # ------------------------------------------------------------------ evaluation, optimisers, checkpoints

    def validation_step(self, batch: VideoBatch, batch_idx: int) -> dict[str, Tensor]:
        """Complete the clips; metrics and pictures are made by callbacks."""
        return {"completed": self(batch["frames"], batch["masks"])}

    def configure_model(self) -> None:
        """Spread the weights of each player over the devices, where the strategy is one that shards (FSDP2)."""
        if not isinstance(self.trainer.strategy, ModelParallelStrategy) or self.device_mesh is None:
            return
        for player in (self.generator, self.discriminator):
            if player is not None and not isinstance(player, FSDPModule):
                fully_shard(player, mesh=self.device_mesh["data_parallel"])

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        """One Adam and one schedule per player, the generator first."""
        players = [player for player in (self.generator, self.discriminator) if player is not None]
        optimizers = [self.optimization.optimizer(player) for player in players]
        return optimizers, self.schedules(optimizers)

    def schedules(self, optimizers: list[Optimizer]) -> list[LRScheduler]:
        """One schedule for each optimizer, over the updates of the trainer if there is one."""
        max_steps = -1 if self._trainer is None else self._trainer.max_steps
        return [self.optimization.schedule(optimizer, max_steps=max_steps) for optimizer in optimizers]

    def on_train_batch_start(self, batch: VideoBatch, batch_idx: int) -> None:
        """Continue the random state of the last update.

        Whatever draws between two updates (loaders, validation, the way a run is resumed) is without influence, so
        that a resumed run draws what the run it continues would have drawn.
        """
        if self._random_state is not None:
            restore_random_state(self._random_state)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the random state of every process.

        Raises:
            DivergedError: if a weight is no number; the checkpoint of an earlier update stays as it is.
        """
        for key, value in self.state_dict().items():
            if value.is_floating_point() and not value.isfinite().all():
                raise DivergedError(
                    f"update {self.trainer.global_step}: weight {key} is not finite, so no checkpoint is written; go "
                    "on from the one before with a lower learning_rate, or set max_gradient_norm"
                )
        states: list[Any] = [self._random_state]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            states = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(states, self._random_state)
        checkpoint["random_state"] = states

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the random state of this process, if the checkpoint comes from as many."""
        states = checkpoint.get("random_state", [])
        if len(states) == self.trainer.world_size:
            self._random_state = states[self.global_rank]

    def _optimizers(self) -> list[LightningOptimizer]:
        found = self.optimizers()
        return cast(list[LightningOptimizer], found if isinstance(found, list) else [found])

    def _schedules(self) -> list[LRScheduler]:
        found = self.lr_schedulers()
        return cast(list[LRScheduler], found if isinstance(found, list) else [found])


def _uncounted() -> None:
    """Do nothing before and after an optimizer step that is not counted."""
