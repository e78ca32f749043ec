"""The smallest players, clips and trainer that exercise a training loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from vinpaint.batch import VideoBatch
from vinpaint.models.t_patch_gan import TPatchGAN
from vinpaint.ops.compositing import hide_holes
from vinpaint.training import Game, Optimization, STTNModule


class TinyGenerator(nn.Module):
    """Two convolutions over visible pixels and the mask."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 3, 3, padding=1))

    def forward(self, frames: Tensor, masks: Tensor) -> Tensor:
        x = torch.cat((hide_holes(frames, masks), masks), dim=2)
        return self.layers(x.flatten(0, 1)).unflatten(0, frames.shape[:2]).sigmoid()


class TinyDiscriminator(nn.Module):
    """One space-time convolution without spectral normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv3d(3, 4, 3, padding=1)

    def forward(self, frames: Tensor) -> Tensor:
        return self.layer(frames.transpose(1, 2)).transpose(1, 2)


class TinyClips(Dataset[dict[str, Any]]):
    """Seeded noise with a box for a hole; the same clip whoever asks."""

    def __init__(self, num_clips: int = 8) -> None:
        self.num_clips = num_clips

    def __len__(self) -> int:
        return self.num_clips

    def __getitem__(self, index: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(index)
        masks = torch.zeros(2, 1, 16, 16)
        masks[:, :, 2 : 4 + index, 3:12] = 1
        return {"frames": torch.rand(2, 3, 16, 16, generator=generator), "masks": masks, "name": f"clip{index}"}


def tiny_batch(num_clips: int = 4) -> VideoBatch:
    return next(iter(DataLoader(TinyClips(num_clips), batch_size=num_clips)))


def tiny_module(*, spectral: bool = False, seed: int = 0, **options: Any) -> STTNModule:
    """Options of the game and of the optimization go to their recipes, the others to the module."""
    torch.manual_seed(seed)
    discriminator = TPatchGAN(channels=4) if spectral else TinyDiscriminator()
    recipes = {
        recipe: {f.name: options.pop(f.name) for f in fields(recipe) if f.name in options}
        for recipe in (Game, Optimization)
    }
    return STTNModule(
        TinyGenerator(),
        discriminator=discriminator,
        game=Game(**recipes[Game]),
        optimization=Optimization(**{"learning_rate": 1e-2, **recipes[Optimization]}),
        **options,
    )


def tiny_trainer(folder: Path | None = None, *, callbacks: list[L.Callback] | None = None, **options: Any) -> L.Trainer:
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "default_root_dir": folder,
    }
    return L.Trainer(callbacks=callbacks, **{**defaults, **options})


class OnBatchEnd(L.Callback):
    """Calls a function with the module and the step's outputs after every update."""

    def __init__(self, function: Callable[[Any, dict[str, Tensor]], None]) -> None:
        self.function = function

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, *_: Any) -> None:
        self.function(pl_module, outputs)
