"""A run that is killed and resumed ends where it would have ended, to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn

from tiny_training import TinyGenerator, tiny_module, tiny_trainer
from vinpaint.callbacks import EMA
from vinpaint.data import ProceduralClips, VideoInpaintingDataModule
from vinpaint.masks import MovingMask
from vinpaint.training import STTNModule

NUM_UPDATES = 8  # two epochs of three and the beginning of a third


class NoisyGenerator(TinyGenerator):
    """Draws from the global random state in every forward pass of training."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.3)

    def forward(self, frames: Tensor, masks: Tensor) -> Tensor:
        return super().forward(self.dropout(frames), masks)


class Die(L.Callback):
    def __init__(self, update: int) -> None:
        self.update = update

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == self.update:
            raise RuntimeError("killed")


class SaveAlways(L.Callback):
    """Every update, every validation and every epoch leaves a checkpoint behind, named for its number of updates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._save(trainer, "update")

    def on_validation_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._save(trainer, "validation")

    def on_train_epoch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._save(trainer, "epoch")

    def _save(self, trainer: L.Trainer, what: str) -> None:
        trainer.save_checkpoint(self.folder / f"{what}-{trainer.global_step}.ckpt")


def _module() -> STTNModule:
    module = tiny_module(spectral=True, milestones=[4], micro_batch_size=1, max_gradient_norm=1.0)
    torch.manual_seed(1)
    module.generator = NoisyGenerator()
    return module


def _data(num_workers: int) -> VideoInpaintingDataModule:
    size = {"height": 16, "width": 16}
    return VideoInpaintingDataModule(
        train=ProceduralClips(num_clips=50, num_frames=4, seed=1, **size),
        val=ProceduralClips(num_clips=1, num_frames=2, seed=2, **size),
        mask=MovingMask(),
        num_frames=2,
        samples_per_epoch=6,
        batch_size=2,
        num_workers=num_workers,
        **size,
    )


def _run(
    folder: Path, *, checkpoint: Path | None = None, die_at: int | None = None, num_workers: int = 0, **options: Any
) -> dict[str, Any]:
    torch.manual_seed(7 if checkpoint is None else 99)  # a resumed run may not depend on its own seed
    module, ema = _module(), EMA(decay=0.9)
    callbacks: list[L.Callback] = [ema, SaveAlways(folder)]
    if die_at is not None:
        callbacks.append(Die(die_at))
    options = {"max_steps": NUM_UPDATES, **options}
    trainer = tiny_trainer(folder, callbacks=callbacks, enable_checkpointing=True, **options)
    trainer.fit(module, datamodule=_data(num_workers), ckpt_path=checkpoint, weights_only=True)
    with ema.averaged(module):
        average = {key: value.clone() for key, value in module.generator.state_dict().items()}
    return {
        "state": dict(module.state_dict()),
        "average": average,
        "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
        "schedules": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
        "updates": (trainer.global_step, ema.num_updates),
    }


def assert_same(found: Any, expected: Any, path: str = "") -> None:
    if isinstance(expected, Tensor):
        assert torch.equal(found, expected), path
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), path
        for key in expected:
            assert_same(found[key], expected[key], f"{path}.{key}")
    elif isinstance(expected, (list, tuple)):
        for index, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert_same(a, b, f"{path}[{index}]")
    else:
        assert found == expected, path


def test_a_run_that_died_in_the_middle_of_an_epoch_ends_as_if_it_had_not(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="killed"):
        _run(tmp_path / "died", die_at=5)
    checkpoint = tmp_path / "died" / "update-5.ckpt"
    assert_same(_run(tmp_path / "resumed", checkpoint=checkpoint), _run(tmp_path / "whole"))


@pytest.mark.parametrize(
    ("val_check_interval", "names"),
    [
        # within the first epoch, after its last update, after validation, at the end of an epoch
        (1.0, ("update-1", "update-3", "validation-3", "epoch-6")),
        # a checkpoint of the end of an epoch is left out: Lightning 2.6 resumes it within the epoch, where validation
        # is not at the end of one and the length of the run is a number of updates
        (2, ("update-3", "validation-2")),
    ],
    ids=["validation-per-epoch", "validation-within-epochs"],
)
def test_a_run_resumed_from_any_checkpoint_ends_the_same(
    tmp_path: Path, val_check_interval: float, names: Sequence[str]
) -> None:
    whole = _run(tmp_path, val_check_interval=val_check_interval)
    for name in names:
        checkpoint = tmp_path / f"{name}.ckpt"
        again = _run(tmp_path / "resumed", checkpoint=checkpoint, val_check_interval=val_check_interval)
        assert_same(again, whole, name)


@pytest.mark.slow
def test_a_run_that_reads_in_workers_resumes_too(tmp_path: Path) -> None:
    whole = _run(tmp_path, num_workers=2)
    again = _run(tmp_path / "resumed", checkpoint=tmp_path / "update-4.ckpt", num_workers=2)
    assert_same(again, whole)
