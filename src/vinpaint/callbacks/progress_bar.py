"""How far a run is, and what it loses."""

from __future__ import annotations

from collections.abc import Sequence

import lightning as L
from lightning.pytorch.callbacks import TQDMProgressBar


class ProgressBar(TQDMProgressBar):
    """A bar per epoch with the current losses and the last validation's results, under short names.

    Args:
        refresh_rate: batches between two drawings.
        results: logged values of the last validation to show, such as ``val/psnr``.
    """

    def __init__(self, *, refresh_rate: int = 1, results: Sequence[str] = ("val/psnr",)) -> None:
        super().__init__(refresh_rate=refresh_rate)
        self.results = list(results)

    def get_metrics(
        self, trainer: L.Trainer, pl_module: L.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Leave out the version of the logger and the stage of training losses; add results of validation."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        known = trainer.callback_metrics
        metrics |= {key: float(known[key]) for key in self.results if key in known}
        return {key.removeprefix("train/"): value for key, value in metrics.items()}
