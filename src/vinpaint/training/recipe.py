"""The numbers of a training run that every module shares, as plain values a configuration can hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from torch import nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from vinpaint.errors import UserError
from vinpaint.losses import GANLoss

Annealing = Literal["milestones", "cosine"]


@dataclass(frozen=True, kw_only=True)
class Game:
    """How generator and discriminator play.

    Args:
        gan_loss: form of the game, see :class:`vinpaint.losses.AdversarialLoss`.
        adversarial_weight: weight of the generator's adversarial loss.
        d_loss_scale: factor on the discriminator's sum over true and completed clips; 0.5 in the public code of STTN,
            1 in the paper's equation 8.
        gradient_penalty_weight: weight of the penalty of ``wgan_gp``.
        critic_steps: discriminator updates for one of the generator.
    """

    gan_loss: GANLoss = "hinge"
    adversarial_weight: float = 0.01
    d_loss_scale: float = 0.5
    gradient_penalty_weight: float = 10.0
    critic_steps: int = 1

    def __post_init__(self) -> None:
        if self.critic_steps < 1:
            raise UserError(f"critic_steps={self.critic_steps}: expected at least 1")


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """How weights follow their gradients, the same for both players.

    Args:
        learning_rate: of Adam.
        betas: of Adam.
        warmup: updates over which the learning rate rises to its value, in equal steps.
        annealing: how it falls again: in drops at the ``milestones``, or along half a ``cosine`` to zero at the last
            update of the run, which then has to have one.
        milestones: updates after which the learning rate drops.
        learning_rate_decay: factor of each drop.
        micro_batch_size: clips that pass through the networks at once; a larger batch is split and its gradients are
            accumulated, at the price of one more forward pass of the generator. ``None``: the whole batch.
        max_gradient_norm: gradients of each player longer than this are shortened to it. ``None``: never.
    """

    learning_rate: float = 1e-4
    betas: Sequence[float] = (0.0, 0.99)
    warmup: int = 0
    annealing: Annealing = "milestones"
    milestones: Sequence[int] = (150_000, 300_000)
    learning_rate_decay: float = 0.1
    micro_batch_size: int | None = None
    max_gradient_norm: float | None = None

    def __post_init__(self) -> None:
        if self.annealing not in get_args(Annealing):
            raise UserError(f"annealing={self.annealing!r}: choose one of {', '.join(get_args(Annealing))}")
        if self.warmup < 0:
            raise UserError(f"warmup={self.warmup}: expected 0 or more updates")
        if self.micro_batch_size is not None and self.micro_batch_size < 1:
            raise UserError(f"micro_batch_size={self.micro_batch_size}: expected at least 1, or null")

    def optimizer(self, network: nn.Module) -> Optimizer:
        """Make Adam for the trainable parameters of a network."""
        first, second = self.betas
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        return Adam(parameters, lr=self.learning_rate, betas=(float(first), float(second)))  # no mixture of int, float

    def schedule(self, optimizer: Optimizer, *, max_steps: int = -1) -> LRScheduler:
        """Make the schedule of an optimizer, stepped once per update.

        Args:
            optimizer: all its groups follow the schedule, each from its own learning rate.
            max_steps: updates of the whole run; -1: not known.

        Raises:
            UserError: if the schedule ends with the run, and the run has no end.
        """
        if self.annealing == "cosine" and max_steps <= self.warmup:
            raise UserError(
                f"annealing=cosine with warmup={self.warmup} and max_steps={max_steps}: set trainer.max_steps to more "
                "updates than the warm-up takes"
            )
        return LambdaLR(optimizer, lambda update: self._factor(update, max_steps))

    def _factor(self, update: int, max_steps: int) -> float:
        """The learning rate of an update, counted from 0, as a share of its value."""
        rise = min((update + 1) / (self.warmup + 1), 1.0)
        if self.annealing == "milestones":
            return rise * self.learning_rate_decay ** sum(update >= milestone for milestone in self.milestones)
        done = max(update - self.warmup, 0) / (max_steps - self.warmup)
        return rise * (1 + math.cos(math.pi * min(done, 1.0))) / 2


def plain(*recipes: Game | Optimization) -> dict[str, Any]:
    """Flatten recipes into numbers, strings and lists, which a checkpoint can hold and load without pickled code."""
    merged: dict[str, Any] = {}
    for recipe in recipes:
        merged |= {key: list(v) if isinstance(v, (list, tuple)) else v for key, v in asdict(recipe).items()}
    return merged
