"""Checkpoints are replaced whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from tiny_training import tiny_batch, tiny_module, tiny_trainer
from vinpaint.callbacks import CheckpointFiles
from vinpaint.config import compose
from vinpaint.errors import UserError


def fit(folder: Path, **options: Any) -> L.Trainer:
    last = ModelCheckpoint(folder, filename="last", every_n_train_steps=1, enable_version_counter=False)
    trainer = tiny_trainer(
        folder, callbacks=[last], enable_checkpointing=True, plugins=[CheckpointFiles()], max_steps=3, **options
    )
    trainer.fit(tiny_module(), DataLoader([tiny_batch(1)] * 3, batch_size=None))
    return trainer


def test_what_it_writes_is_what_a_run_goes_on_from(tmp_path: Path) -> None:
    fit(tmp_path)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 3
    assert {path.name for path in tmp_path.iterdir()} == {"last.ckpt"}


def test_a_full_disk_is_one_line_and_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "last.ckpt"
    CheckpointFiles().save_checkpoint({"update": 1}, file)

    def torn(path: Path, content: memoryview) -> None:
        with path.open("wb") as opened:
            opened.write(content[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", torn)
    with pytest.raises(UserError, match=r"last\.ckpt: cannot be written .*No space left.*make room") as caught:
        CheckpointFiles().save_checkpoint({"update": 2}, file)
    assert "\n" not in str(caught.value)
    assert torch.load(file, weights_only=True) == {"update": 1}
    assert {path.name for path in tmp_path.iterdir()} == {"last.ckpt"}


def test_training_uses_it() -> None:
    (plugin,) = compose("train").trainer.plugins
    assert plugin._target_ == "vinpaint.callbacks.CheckpointFiles"
