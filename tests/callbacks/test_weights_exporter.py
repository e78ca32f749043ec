from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from tiny_training import TinyClips, TinyGenerator, tiny_trainer
from vinpaint.callbacks import EMA, WeightsExporter
from vinpaint.errors import UserError
from vinpaint.models.sttn import STTN
from vinpaint.training import STTNModule


class Score(L.Callback):
    """Logs a given score per validation."""

    def __init__(self, *scores: float) -> None:
        self.scores = list(scores)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        pl_module.log("val/psnr", self.scores.pop(0))


def _small() -> STTNModule:
    network = STTN(channels=8, num_blocks=1, patch_sizes=[(4, 4), (2, 2)], frame_size=(16, 16))
    return STTNModule(network)


def _fit(module: L.LightningModule, folder: Path, *callbacks: L.Callback, max_epochs: int = 3) -> None:
    trainer = tiny_trainer(folder, callbacks=list(callbacks), max_epochs=max_epochs)
    trainer.fit(module, DataLoader(TinyClips(2), batch_size=2), DataLoader(TinyClips(1)))


def test_best_and_last_weights_are_folders_that_load(tmp_path: Path) -> None:
    states: list[torch.Tensor] = []

    class Keep(L.Callback):
        def on_validation_end(self, trainer: L.Trainer, pl_module: Any) -> None:
            states.append(pl_module.generator.encoder[0].weight.detach().clone())

    exporter = WeightsExporter(folder=tmp_path / "weights")
    _fit(_small(), tmp_path, Score(20.0, 30.0, 25.0), Keep(), exporter)
    assert torch.equal(STTN.from_pretrained(exporter.best_folder).encoder[0].weight, states[1])
    assert torch.equal(STTN.from_pretrained(exporter.last_folder).encoder[0].weight, states[2])
    assert exporter.best == 30.0


def test_lower_can_be_better_and_nan_is_never_best(tmp_path: Path) -> None:
    exporter = WeightsExporter(folder=tmp_path / "weights", mode="min")
    _fit(_small(), tmp_path, Score(2.0, 1.0, float("nan")), exporter)
    assert exporter.best == 1.0


def test_averaged_weights_are_the_ones_exported(tmp_path: Path) -> None:
    module, ema, exporter = _small(), EMA(decay=0.5, warmup=False), WeightsExporter(folder=tmp_path / "weights")
    _fit(module, tmp_path, ema, Score(1.0), exporter, max_epochs=1)
    saved = STTN.from_pretrained(exporter.last_folder).encoder[0].weight
    trained = module.generator.encoder[0].weight
    assert not torch.equal(saved, trained)
    with ema.averaged(module):
        assert torch.equal(saved, module.generator.encoder[0].weight)


def test_a_run_killed_after_its_last_checkpoint_exports_when_it_is_resumed(tmp_path: Path) -> None:
    def fit(weights: Path, **go_on: Any) -> WeightsExporter:
        exporter = WeightsExporter(folder=weights)
        callbacks = [EMA(decay=0.5), exporter, ModelCheckpoint(tmp_path, save_last=True)]
        trainer = tiny_trainer(tmp_path, callbacks=callbacks, max_steps=2, enable_checkpointing=True)
        trainer.fit(_small(), DataLoader(TinyClips(2), batch_size=1), **go_on)
        return exporter

    whole = fit(tmp_path / "whole")
    resumed = fit(tmp_path / "resumed", ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    expected, found = (load_file(run.last_folder / "model.safetensors") for run in (whole, resumed))
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_without_validation_only_the_last_weights_are_saved(tmp_path: Path) -> None:
    exporter = WeightsExporter(folder=tmp_path / "weights")
    trainer = tiny_trainer(tmp_path, callbacks=[exporter], max_epochs=1)
    trainer.fit(_small(), DataLoader(TinyClips(2), batch_size=2))
    assert exporter.best_folder is None
    assert exporter.last_folder == tmp_path / "weights" / "last"


def test_a_generator_that_cannot_be_saved_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="TinyGenerator has no save_pretrained"):
        _fit(STTNModule(TinyGenerator()), tmp_path, WeightsExporter(folder=tmp_path))


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(UserError, match="max or min"):
        WeightsExporter(mode="best")


def test_an_interrupted_run_saves_what_it_has_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)  # Lightning would leave Ctrl-C ignored in this process

    class Interrupt(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
            raise KeyboardInterrupt

    exporter = WeightsExporter(folder=tmp_path / "weights")
    with pytest.raises(SystemExit):
        _fit(_small(), tmp_path, Interrupt(), exporter)
    assert exporter.last_folder is not None
