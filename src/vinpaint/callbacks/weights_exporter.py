"""Weights a person can use: released folders, apart from the checkpoints that only resume a run."""

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning as L

from vinpaint.callbacks.ema import averaged_weights
from vinpaint.errors import UserError


class WeightsExporter(L.Callback):
    """Saves the generator as a folder that ``from_pretrained`` loads: ``best`` and ``last``.

    The averaged weights are saved where an :class:`~vinpaint.callbacks.EMA` averages them.

    Args:
        folder: the two folders are made in here.
        monitor: logged value that decides which weights are best.
        mode: ``max`` if more of it is better, else ``min``.

    Raises:
        UserError: if ``mode`` is neither, or when training starts and the generator cannot be saved.
    """

    def __init__(self, *, folder: str | Path = "weights", monitor: str = "val/psnr", mode: str = "max") -> None:
        if mode not in ("max", "min"):
            raise UserError(f"mode={mode!r}: choose max or min")
        self.folder = Path(folder)
        self.monitor = monitor
        self.mode = mode
        self.best: float | None = None
        self._ended = False

    @property
    def best_folder(self) -> Path | None:
        """Where the best weights are, or ``None`` if none have been saved here."""
        return self._existing("best")

    @property
    def last_folder(self) -> Path | None:
        """Where the last weights are, or ``None`` if none have been saved here."""
        return self._existing("last")

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Find out before the first update whether the generator can be saved at all."""
        self._ended = False
        generator = getattr(pl_module, "generator", None)
        if not hasattr(generator, "save_pretrained"):
            raise UserError(
                f"{type(generator).__name__} has no save_pretrained: inherit it from "
                "vinpaint.models.pretrained.PretrainedModel, or leave the WeightsExporter callback out"
            )

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the weights if they are the best so far."""
        value = trainer.callback_metrics.get(self.monitor)
        if trainer.sanity_checking or value is None or math.isnan(value):
            return
        score = float(value)
        if self.best is None or (score > self.best if self.mode == "max" else score < self.best):
            self.best = score
            self._save(trainer, pl_module, "best")

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the weights that training ended with."""
        self._save(trainer, pl_module, "last")
        self._ended = True

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save them where nothing was left to train: a run killed after its last checkpoint, and resumed."""
        if not self._ended:
            self._save(trainer, pl_module, "last")

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Save what an interrupted run has learned."""
        if isinstance(exception, KeyboardInterrupt) and trainer.global_step > 0:
            self._save(trainer, pl_module, "last")

    def state_dict(self) -> dict[str, Any]:
        """Keep the best value."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from the best value."""
        self.best = state_dict["best"]

    def _save(self, trainer: L.Trainer, pl_module: L.LightningModule, name: str) -> None:
        if not trainer.is_global_zero:
            return
        average = averaged_weights(trainer)
        with average.averaged(pl_module) if average else nullcontext():
            pl_module.generator.save_pretrained(self.folder / name)  # type: ignore[operator,union-attr]

    def _existing(self, name: str) -> Path | None:
        folder = self.folder / name
        return folder if folder.is_dir() else None
