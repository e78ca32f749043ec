"""What an evaluation after training found, in every logger of the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from PIL import Image

_KINDS = ("masked", "completed", "truth")


def log_evaluation(trainer: L.Trainer, facts: Mapping[str, Any], folder: Path) -> None:
    """Log numbers, the table of clips, stills and videos as far as each logger can show them.

    Args:
        trainer: of the run, its loggers still open.
        facts: fields of the job's record: ``metrics``, ``clips`` and ``files``.
        folder: that the paths of ``files`` are relative to.
    """
    numbers = {f"test/{name}": value for name, value in facts["metrics"].items() if value is not None}
    clips: list[Mapping[str, Any]] = list(facts["clips"])
    for logger in trainer.loggers:
        logger.log_metrics(numbers, step=trainer.global_step)
        if isinstance(logger, WandbLogger) and clips:
            rows = [list(clip.values()) for clip in clips]
            logger.log_table("test/clips", columns=list(clips[0]), data=rows, step=trainer.global_step)
        for still in facts["files"].get("pictures", ()):
            pictures = [Image.open(folder / still[kind]) for kind in _KINDS]
            key = f"test/{still['clip']}/{still['frame']}"
            if isinstance(logger, WandbLogger):
                logger.log_image(key, pictures, caption=list(_KINDS), step=trainer.global_step)
            elif isinstance(logger, TensorBoardLogger):
                row = np.concatenate([np.asarray(picture) for picture in pictures], axis=1)
                logger.experiment.add_image(key, row, trainer.global_step, dataformats="HWC")
        if isinstance(logger, WandbLogger):
            for clip in facts["files"].get("videos", ()):
                paths = [str(folder / clip[kind]) for kind in _KINDS]
                logger.log_video(f"test/{clip['clip']}", paths, step=trainer.global_step, caption=list(_KINDS))
        logger.save()
