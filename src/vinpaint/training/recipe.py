"""The numbers of a training run that every module shares, as plain values a configuration can hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR

from vinpaint.errors import UserError
from vinpaint.losses import GANLoss


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
        milestones: updates after which the learning rate drops.
        learning_rate_decay: factor of each drop.
        micro_batch_size: clips that pass through the networks at once; a larger batch is split and its gradients are
            accumulated, at the price of one more forward pass of the generator. ``None``: the whole batch.
        max_gradient_norm: gradients of each player longer than this are shortened to it. ``None``: never.
    """

    learning_rate: float = 1e-4
    betas: Sequence[float] = (0.0, 0.99)
    milestones: Sequence[int] = (150_000, 300_000)
    learning_rate_decay: float = 0.1
    micro_batch_size: int | None = None
    max_gradient_norm: float | None = None

    def __post_init__(self) -> None:
        if self.micro_batch_size is not None and self.micro_batch_size < 1:
            raise UserError(f"micro_batch_size={self.micro_batch_size}: expected at least 1, or null")

    def optimizer(self, network: nn.Module) -> Optimizer:
        """Make Adam for the trainable parameters of a network."""
        first, second = self.betas
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        return Adam(parameters, lr=self.learning_rate, betas=(float(first), float(second)))  # no mixture of int, float

    def schedule(self, optimizer: Optimizer) -> LRScheduler:
        """Make the schedule of an optimizer, stepped once per update."""
        return MultiStepLR(optimizer, sorted(self.milestones), gamma=self.learning_rate_decay)


def plain(*recipes: Game | Optimization) -> dict[str, Any]:
    """Flatten recipes into numbers, strings and lists, which a checkpoint can hold and load without pickled code."""
    merged: dict[str, Any] = {}
    for recipe in recipes:
        merged |= {key: list(v) if isinstance(v, (list, tuple)) else v for key, v in asdict(recipe).items()}
    return merged
