"""Video metrics of validation and test batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning as L
import torch

from vinpaint.batch import VideoBatch
from vinpaint.metrics import VideoMetric, VideoMetricCollection


class VideoMetrics(L.Callback):
    """Measures what a model completes, and logs ``val/psnr`` and the like at the end of the epoch.

    The module's ``validation_step`` and ``test_step`` return ``{"completed": (B, T, 3, H, W) in [0, 1], ...}``; truth,
    masks and names are those of the batch.

    Args:
        metrics: name to metric; results are logged as ``val/<name>`` and ``test/<name>``.
    """

    def __init__(self, metrics: Mapping[str, VideoMetric]) -> None:
        self.metrics = VideoMetricCollection(metrics)

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start from nothing."""
        self._start(pl_module)

    def on_test_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start from nothing."""
        self._start(pl_module)

    def on_validation_batch_end(  # noqa: PLR0917 - the signature is Lightning's
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add the clips of a batch."""
        self._add(outputs, batch, "validation_step")

    def on_test_batch_end(  # noqa: PLR0917 - the signature is Lightning's
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add the clips of a batch."""
        self._add(outputs, batch, "test_step")

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log every result over all clips and processes."""
        self._log(pl_module, "val")

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log every result over all clips and processes."""
        self._log(pl_module, "test")

    def _start(self, pl_module: L.LightningModule) -> None:
        # Metrics count in double precision, which Apple's GPUs lack; elsewhere they stay beside the model, where the
        # processes can exchange them.
        on_mps = pl_module.device.type == "mps"
        self.metrics.to(torch.device("cpu") if on_mps else pl_module.device)
        self.metrics.reset()

    def _add(self, outputs: Any, batch: VideoBatch, step: str) -> None:
        if not isinstance(outputs, Mapping) or "completed" not in outputs:
            raise TypeError(f"{step} returned {type(outputs).__name__}: expected a mapping with 'completed' frames")
        self.metrics.update(outputs["completed"], batch["frames"], masks=batch["masks"], names=batch["name"])

    def _log(self, pl_module: L.LightningModule, stage: str) -> None:
        results = {f"{stage}/{name}": value for name, value in self.metrics.compute().items()}
        # Every process holds the same numbers already; sync_dist spares the warning and changes nothing.
        pl_module.log_dict(results, sync_dist=True, prog_bar=False, add_dataloader_idx=False)
