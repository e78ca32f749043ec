"""The moving average of a generator's weights, which completes better than any single step's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch
from torch import Tensor

from vinpaint.errors import UserError

PREFIX = "generator."
TRAINED_STATE = "current_model_state"
"""Key of a checkpoint under which the trained weights stand when ``state_dict`` holds the averaged ones."""


class EMA(L.Callback):
    """Averages the generator's weights exponentially; validation, checkpoints and exports use the average.

    A checkpoint's ``state_dict`` holds the averaged generator, so that whoever reads weights from it gets the good
    ones; the trained weights stand beside it and a resumed run continues from them.

    Args:
        decay: share of the old average in the new one, per update of the generator.
        warmup: let the average follow faster at first, with a decay of at most ``(1 + n) / (10 + n)`` after ``n``
            updates, so that it forgets the random initial weights.

    Raises:
        UserError: if the decay is not in [0, 1), or the module has no ``generator``.

    Source: arXiv:1710.10196, section 4.1 (the average of a generator); the warm-up is that of TensorFlow's
    ``ExponentialMovingAverage``. It counts batches: each is one update, however many optimizers step.
    """

    def __init__(self, *, decay: float = 0.999, warmup: bool = True) -> None:
        if not 0 <= decay < 1:
            raise UserError(f"decay={decay}: expected at least 0 and less than 1")
        self.decay = decay
        self.warmup = warmup
        self.num_updates = 0
        self._average: dict[str, Tensor] = {}
        self._swapped = False

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start from the current weights, unless a checkpoint brought an average."""
        if not self._average:
            self._average = {name: p.detach().clone() for name, p in _parameters(pl_module)}
        for name, parameter in _parameters(pl_module):
            self._average[name] = self._average[name].to(parameter.device)

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the average towards the weights that the update has made."""
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates)) if self.warmup else self.decay
        for name, parameter in _parameters(pl_module):
            self._average[name].lerp_(parameter, 1 - decay)

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put the average in place of the weights."""
        self._swap(pl_module, to_average=True)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put the weights back."""
        self._swap(pl_module, to_average=False)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Put the weights back if validation was interrupted."""
        self._swap(pl_module, to_average=False)

    @contextmanager
    def averaged(self, pl_module: L.LightningModule) -> Iterator[None]:
        """Put the average in place of the weights for as long as the context is open."""
        self._swap(pl_module, to_average=True)
        try:
            yield
        finally:
            self._swap(pl_module, to_average=False)

    def state_dict(self) -> dict[str, Any]:
        """Keep the number of updates; the average itself is in the checkpoint's ``state_dict``."""
        return {"num_updates": self.num_updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue counting."""
        self.num_updates = state_dict["num_updates"]

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Set the average in place of the generator, and the trained weights beside it."""
        if not self._average:
            return
        state = dict(checkpoint["state_dict"])
        checkpoint[TRAINED_STATE] = {PREFIX + name: state[PREFIX + name] for name in self._average}
        checkpoint["state_dict"] = state | {PREFIX + name: value for name, value in self._average.items()}

    @torch.no_grad()
    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take the average from ``state_dict``, which the module has loaded, and the trained weights from beside it."""
        if TRAINED_STATE not in checkpoint:
            return
        trained, average = checkpoint[TRAINED_STATE], checkpoint["state_dict"]
        for name, parameter in _parameters(pl_module):
            self._average[name] = average[PREFIX + name].detach().clone()
            parameter.copy_(trained[PREFIX + name])

    @torch.no_grad()
    def _swap(self, pl_module: L.LightningModule, *, to_average: bool) -> None:
        if to_average == self._swapped or not self._average:
            return
        for name, parameter in _parameters(pl_module):
            kept = parameter.detach().clone()
            parameter.copy_(self._average[name])
            self._average[name].copy_(kept)
        self._swapped = to_average


def averaged_weights(trainer: L.Trainer) -> EMA | None:
    """Find the trainer's :class:`EMA`, if it has one."""
    return next((callback for callback in _callbacks(trainer) if isinstance(callback, EMA)), None)


def _callbacks(trainer: L.Trainer) -> list[Any]:
    return list(getattr(trainer, "callbacks", []))


def _parameters(pl_module: L.LightningModule) -> Iterator[tuple[str, torch.nn.Parameter]]:
    generator = getattr(pl_module, "generator", None)
    if not isinstance(generator, torch.nn.Module):
        raise UserError(f"{type(pl_module).__name__} has no generator to average: leave the EMA callback out")
    return generator.named_parameters()
