from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
from torch.utils.data import DataLoader

from tiny_training import TinyClips, tiny_module, tiny_trainer
from vinpaint.callbacks import ProgressBar


class Score(L.Callback):
    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        pl_module.log("val/psnr", 21.5)


def test_losses_and_results_are_shown_under_short_names(tmp_path: Path) -> None:
    bar = ProgressBar(results=["val/psnr", "val/absent"])
    module = tiny_module()
    trainer = tiny_trainer(tmp_path, callbacks=[Score(), bar], max_epochs=1, enable_progress_bar=True)
    trainer.fit(module, DataLoader(TinyClips(2), batch_size=2), DataLoader(TinyClips(1)))
    shown = bar.get_metrics(trainer, module)
    assert set(shown) == {
        "discriminator_real", "discriminator_fake", "adversarial", "hole", "valid", "loss", "val/psnr"
    }  # fmt: skip
    assert shown["val/psnr"] == pytest.approx(21.5)
