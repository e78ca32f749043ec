from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from PIL import Image
from torch.utils.data import DataLoader

from tiny_training import TinyClips, tiny_module, tiny_trainer
from vinpaint.callbacks import ClipLogger
from vinpaint.training import STTNModule
from vinpaint.video.film_strip import HOLE_COLOUR


def _run(logger: Any, clip_logger: ClipLogger, folder: Path, *, max_steps: int = 4) -> None:
    trainer = tiny_trainer(folder, callbacks=[clip_logger], max_steps=max_steps, logger=logger, log_every_n_steps=1)
    trainer.fit(tiny_module(), DataLoader(TinyClips(4), batch_size=2), DataLoader(TinyClips(3), batch_size=2))


def test_a_strip_shows_holes_completion_and_truth(tmp_path: Path) -> None:
    _run(CSVLogger(tmp_path), ClipLogger(folder=tmp_path / "clips", num_clips=3), tmp_path, max_steps=2)
    assert sorted(p.name for p in (tmp_path / "clips").iterdir()) == [f"0000002_clip{i}.png" for i in range(3)]
    picture = np.asarray(Image.open(tmp_path / "clips" / "0000002_clip1.png")).astype(int)
    assert picture.shape == (3 * 16 + 2 * 4, 2 * 16 + 4, 3)
    truth = (TinyClips()[1]["frames"] * 255).round().permute(0, 2, 3, 1).numpy().astype(int)
    hole = TinyClips()[1]["masks"][:, 0].numpy() > 0
    for t in range(2):
        left = t * 20
        holes, completed, true = (picture[top : top + 16, left : left + 16] for top in (0, 20, 40))
        assert (true == truth[t]).all()
        assert (holes[hole[t]] == HOLE_COLOUR).all()
        assert (holes[~hole[t]] == truth[t][~hole[t]]).all()
        assert (completed[~hole[t]] == truth[t][~hole[t]]).all()
        assert (completed[hole[t]] != truth[t][hole[t]]).any()


def test_large_frames_are_shrunk_and_long_clips_thinned(tmp_path: Path) -> None:
    strip = ClipLogger(num_frames=3, max_height=8)._strip(
        torch.rand(9, 3, 16, 32), torch.zeros(9, 1, 16, 32), torch.rand(9, 3, 16, 32)
    )
    assert strip.shape == (3 * 8 + 2 * 4, 3 * 16 + 2 * 4, 3)


def test_only_every_nth_validation_is_shown(tmp_path: Path) -> None:
    clip_logger = ClipLogger(folder=tmp_path / "clips", num_clips=1, every_n_validations=2)
    _run(CSVLogger(tmp_path), clip_logger, tmp_path, max_steps=6)
    assert sorted(p.name for p in (tmp_path / "clips").iterdir()) == ["0000002_clip0.png", "0000006_clip0.png"]


class ExplainingModule(STTNModule):
    """Shows each frame as it is given, and its hole."""

    def pictures(
        self, frames: torch.Tensor, masks: torch.Tensor, *, columns: int
    ) -> dict[str, list[list[torch.Tensor]]]:
        return {"holes": [[mask.expand(3, 16, 16) for mask in masks[:columns]]], "seen": [[frames[0]], [frames[1]]]}


def test_a_module_that_explains_itself_adds_pictures_of_the_shown_clips(tmp_path: Path) -> None:
    clip_logger = ClipLogger(folder=tmp_path / "clips", num_clips=1, num_frames=2, max_height=8)
    trainer = tiny_trainer(tmp_path, callbacks=[clip_logger], max_steps=1, logger=False)
    module = ExplainingModule(tiny_module().generator)
    trainer.fit(module, DataLoader(TinyClips(1), batch_size=1), DataLoader(TinyClips(3), batch_size=2))
    for folder in ("clips", "holes", "seen"):
        assert [p.name for p in (tmp_path / folder).iterdir()] == ["0000001_clip0.png"]
    seen = np.asarray(Image.open(tmp_path / "seen" / "0000001_clip0.png")).astype(int)
    assert seen.shape == (2 * 8 + 4, 8, 3)
    averaged = TinyClips()[0]["frames"].unflatten(2, (8, 2)).unflatten(4, (8, 2)).mean(dim=(3, 5))
    expected = (averaged * 255).permute(0, 2, 3, 1).numpy()
    assert np.abs(seen[:8] - expected[0]).max() <= 1
    assert np.abs(seen[12:] - expected[1]).max() <= 1
    assert np.asarray(Image.open(tmp_path / "holes" / "0000001_clip0.png")).shape == (8, 2 * 8 + 4, 3)


def test_tensorboard_gets_the_pictures(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    _run(TensorBoardLogger(tmp_path, name="", version=""), ClipLogger(folder=tmp_path / "clips"), tmp_path)
    read = events.EventAccumulator(str(tmp_path), size_guidance={"images": 0}).Reload()
    assert set(read.Tags()["images"]) == {"val/clips/clip0", "val/clips/clip1"}
    assert [event.step for event in read.Images("val/clips/clip0")] == [2, 4]
    assert not (tmp_path / "clips").exists()


def test_wandb_keeps_the_pictures_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_MODE", "offline")
    logger = WandbLogger(save_dir=tmp_path, offline=True)
    _run(logger, ClipLogger(folder=tmp_path / "clips", num_clips=1), tmp_path)
    logger.experiment.finish()
    assert len(list(tmp_path.glob("wandb/offline-run-*/files/media/images/val/clips/*.png"))) == 2
