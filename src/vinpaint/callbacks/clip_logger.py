"""Pictures of what a generator completes while it trains."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vinpaint.ops.compositing import hide_holes
from vinpaint.ops.conversion import to_uint8
from vinpaint.video.film_strip import film_strip, tint_hole


@runtime_checkable
class Explaining(Protocol):
    """A module that can show how it completes a clip."""

    def pictures(self, frames: Tensor, masks: Tensor, *, columns: int) -> dict[str, list[list[Tensor]]]:
        """Make pictures of a clip.

        Args:
            frames: ``(T, 3, H, W)`` in [0, 1].
            masks: ``(T, 1, H, W)`` in {0, 1}, 1 = hole.
            columns: images per row at most.

        Returns:
            By name, rows of images ``(3, H, W)`` in [0, 1], all of one picture of one size.
        """


class ClipLogger(L.Callback):
    """Shows validation clips as strips: holes above, completed frames between, the truth below.

    A module that explains itself (:class:`Explaining`) adds its own pictures of the same clips. Weights & Biases and
    TensorBoard get them all, as ``val/clips/<clip>`` and ``val/<picture>/<clip>``; where neither is used they are
    written as PNGs.

    Args:
        folder: where PNGs go, ``<step>_<clip>.png``; further pictures go into folders beside it, named for the picture.
        num_clips: clips per validation, the first ones.
        num_frames: frames per strip, evenly spread over the clip.
        max_height: frames higher than this are shrunk, pixels.
        every_n_validations: show clips of every n-th validation.
    """

    def __init__(
        self,
        *,
        folder: str | Path = "clips",
        num_clips: int = 2,
        num_frames: int = 5,
        max_height: int = 240,
        every_n_validations: int = 1,
    ) -> None:
        self.folder = Path(folder)
        self.num_clips = num_clips
        self.num_frames = num_frames
        self.max_height = max_height
        self.every_n_validations = every_n_validations
        self.num_validations = 0
        self._strips: list[tuple[str, dict[str, NDArray[np.uint8]]]] = []  # per clip, pictures by name

    def on_validation_batch_end(  # noqa: PLR0917 - the signature is Lightning's
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Lay out strips until there are enough."""
        if not self._shown(trainer):
            return
        clips = zip(batch["frames"], batch["masks"], outputs["completed"], batch["name"], strict=True)
        for frames, masks, completed, name in clips:
            if len(self._strips) < self.num_clips:
                pictures = {"clips": self._strip(frames, masks, completed)}
                if isinstance(pl_module, Explaining):
                    explained = pl_module.pictures(frames, masks, columns=self.num_frames)
                    pictures |= {key: film_strip([self._row(row) for row in rows]) for key, rows in explained.items()}
                self._strips.append((name, pictures))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Hand the strips to the loggers."""
        if self._shown(trainer):
            loggers = [x for x in trainer.loggers if isinstance(x, (WandbLogger, TensorBoardLogger))]
            for name, pictures in self._strips:
                for key, picture in pictures.items():
                    for logger in loggers:
                        _log(logger, f"val/{key}/{name}", picture, trainer.global_step)
                    if not loggers:
                        folder = self.folder if key == "clips" else self.folder.with_name(key)
                        _write(folder, name, picture, trainer.global_step)
        self._strips = []
        self.num_validations += not trainer.sanity_checking

    def state_dict(self) -> dict[str, Any]:
        """Keep the count of validations."""
        return {"num_validations": self.num_validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue counting."""
        self.num_validations = state_dict["num_validations"]

    def _shown(self, trainer: L.Trainer) -> bool:
        due = self.num_validations % self.every_n_validations == 0
        return due and trainer.is_global_zero and not trainer.sanity_checking

    def _strip(self, frames: Tensor, masks: Tensor, completed: Tensor) -> NDArray[np.uint8]:
        """Lay a clip out, ``(T, 3, H, W)`` and ``(T, 1, H, W)``."""
        T = frames.shape[0]
        chosen = torch.linspace(0, T - 1, min(T, self.num_frames)).round().long().tolist()
        rows: list[list[NDArray[np.uint8]]] = []
        for clip, tinted in ((hide_holes(frames, masks), True), (completed, False), (frames, False)):
            row = self._row(clip[chosen])
            hidden = (self._shrunk(masks[chosen])[:, 0] > 0.5).numpy()
            rows.append([tint_hole(f, h, opacity=1.0) for f, h in zip(row, hidden, strict=True)] if tinted else row)
        return film_strip(rows)

    def _row(self, images: Tensor | Sequence[Tensor]) -> list[NDArray[np.uint8]]:
        """Turn images ``(N, 3, H, W)`` in [0, 1] into what a strip is made of."""
        stacked = images if isinstance(images, Tensor) else torch.stack(list(images))
        return list(to_uint8(self._shrunk(stacked)))

    def _shrunk(self, images: Tensor) -> Tensor:
        images = images.detach().float().cpu()
        scale = min(1.0, self.max_height / images.shape[-2])
        size = (round(images.shape[-2] * scale), round(images.shape[-1] * scale))
        return F.interpolate(images, size, mode="area") if scale < 1 else images


def _write(folder: Path, name: str, picture: NDArray[np.uint8], step: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    safe_name = re.sub(r"[^\w.-]+", "_", name)
    path = folder / f"{step:07d}_{safe_name}.png"
    partial = path.with_suffix(".partial")
    Image.fromarray(picture).save(partial, format="png")
    os.replace(partial, path)


def _log(logger: WandbLogger | TensorBoardLogger, key: str, picture: NDArray[np.uint8], step: int) -> None:
    if isinstance(logger, WandbLogger):
        logger.log_image(key, [Image.fromarray(picture)], step=step)
    else:
        logger.experiment.add_image(key, picture, step, dataformats="HWC")
