"""How far a run is, and what it loses."""

from __future__ import annotations

import lightning as L
from lightning.pytorch.callbacks import TQDMProgressBar


class ProgressBar(TQDMProgressBar):
    """A bar per epoch with the current losses and the last validation's results, under short names.

    Args:
        refresh_rate: batches between two drawings.
    """

    def __init__(self, *, refresh_rate: int = 1) -> None:
        super().__init__(refresh_rate=refresh_rate)

    def get_metrics(
        self, trainer: L.Trainer, pl_module: L.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Leave out the version of the logger, and the stage before the slash of training losses."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return {key.removeprefix("train/"): value for key, value in metrics.items()}
