"""Clips and runs for modules that complete frames of a clip from the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from tiny_training import OnBatchEnd, tiny_trainer
from vinpaint.batch import VideoBatch
from vinpaint.data import ProceduralClips, VideoInpaintingDataModule
from vinpaint.masks import MovingMask


def clips(num_clips: int = 2, *, size: int = 24, num_frames: int = 3) -> VideoBatch:
    """Noise with a box for a hole, which moves; other clips have wider boxes."""
    generator = torch.Generator().manual_seed(1)
    masks = torch.zeros(num_clips, num_frames, 1, size, size)
    for clip in range(num_clips):
        for time in range(num_frames):
            masks[clip, time, :, size // 6 : size // 2, 2 * time : size // 3 + 2 * time + clip] = 1
    frames = torch.rand(num_clips, num_frames, 3, size, size, generator=generator)
    return VideoBatch(frames=frames, masks=masks, name=[f"clip{i}" for i in range(num_clips)])


def fit(module: L.LightningModule, batches: list[VideoBatch], **options: Any) -> list[dict[str, float]]:
    """Train on the batches once, one update each, and return what every update logged."""
    seen: list[dict[str, float]] = []
    record = OnBatchEnd(lambda _, out: seen.append({k: v.item() for k, v in out.items()}))
    trainer = tiny_trainer(**{"max_steps": len(batches), "callbacks": [record], **options})
    trainer.fit(module, DataLoader(batches, batch_size=None))
    return seen


def weights(module: nn.Module) -> Tensor:
    """All weights, end to end."""
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def resumed_and_whole(
    make: Callable[[], L.LightningModule], folder: Path, *, size: int, updates: int, resume_after: int
) -> tuple[Tensor, Tensor]:
    """The weights of a run that went on from a checkpoint, under another seed, and of one that was not interrupted."""

    def run(checkpoint: Path | None, until: int) -> Tensor:
        sides = {"height": size, "width": size}
        data = VideoInpaintingDataModule(
            train=ProceduralClips(num_clips=50, num_frames=4, seed=1, **sides),
            val=ProceduralClips(num_clips=1, num_frames=3, seed=2, **sides),
            mask=MovingMask(),
            num_frames=3,
            samples_per_epoch=4,
            batch_size=2,
            num_workers=0,
            **sides,
        )
        module = make()
        torch.manual_seed(7 if checkpoint is None else 99)
        trainer = tiny_trainer(folder, max_steps=until, max_epochs=-1, enable_checkpointing=True)
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        trainer.save_checkpoint(folder / f"{until}.ckpt")
        return weights(module)

    whole = run(None, updates)
    run(None, resume_after)
    return run(folder / f"{resume_after}.ckpt", updates), whole
