"""The callback that measures validation and test batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from vinpaint.callbacks.video_metrics import VideoMetrics
from vinpaint.metrics import PSNR, TemporalConsistency, VideoMetricCollection


class Clips(Dataset[dict[str, Any]]):
    """Three small clips, each with its own truth."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(index)
        frames = torch.rand(4, 3, 16, 16, generator=generator)
        masks = (torch.rand(4, 1, 16, 16, generator=generator) > 0.5).float()
        return {"frames": frames, "masks": masks, "name": f"clip{index}"}


class GreyFill(L.LightningModule):
    """Completes every hole with grey."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(0.5))

    def complete(self, batch: dict[str, Any]) -> Tensor:
        return torch.where(batch["masks"] > 0.5, self.level, batch["frames"])

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        return self.complete(batch).square().mean()

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Tensor]:
        return {"completed": self.complete(batch)}

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def loader(batch_size: int = 2) -> DataLoader[dict[str, Any]]:
    return DataLoader(Clips(), batch_size=batch_size)


def trainer(folder: Path, *callbacks: L.Callback) -> L.Trainer:
    return L.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        logger=False,
        enable_checkpointing=any(isinstance(c, L.pytorch.callbacks.ModelCheckpoint) for c in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
    )


def metrics() -> dict[str, Any]:
    return {
        "psnr": PSNR(),
        "psnr_hole": PSNR(region="hole", pool="clip"),
        "temporal_consistency": TemporalConsistency(),
    }


@pytest.fixture
def expected() -> dict[str, float]:
    collection, module = VideoMetricCollection(metrics()), GreyFill()
    for batch in loader(batch_size=1):
        with torch.no_grad():
            collection.update(module.complete(batch), batch["frames"], masks=batch["masks"], names=batch["name"])
    return collection.compute()


def test_validation_logs_what_the_metrics_say(tmp_path: Path, expected: dict[str, float]) -> None:
    logged = trainer(tmp_path, VideoMetrics(metrics())).validate(GreyFill(), loader(), verbose=False)[0]
    # Lightning keeps logged numbers in single precision.
    assert logged == pytest.approx({f"val/{name}": value for name, value in expected.items()}, rel=1e-6)


def test_testing_logs_under_its_own_name(tmp_path: Path, expected: dict[str, float]) -> None:
    logged = trainer(tmp_path, VideoMetrics(metrics())).test(GreyFill(), loader(), verbose=False)[0]
    assert logged == pytest.approx({f"test/{name}": value for name, value in expected.items()}, rel=1e-6)


def test_the_sanity_check_leaves_no_trace_and_checkpoints_see_the_value(
    tmp_path: Path, expected: dict[str, float]
) -> None:
    best = L.pytorch.callbacks.ModelCheckpoint(tmp_path, monitor="val/psnr", mode="max")
    trainer(tmp_path, VideoMetrics(metrics()), best).fit(GreyFill(), loader(), loader())
    assert best.best_model_score is not None
    assert float(best.best_model_score) == pytest.approx(expected["psnr"], rel=1e-6)


def test_no_metrics_is_allowed(tmp_path: Path) -> None:
    assert trainer(tmp_path, VideoMetrics({})).validate(GreyFill(), loader(), verbose=False) == [{}]


def test_a_step_that_returns_no_completion_is_an_error(tmp_path: Path) -> None:
    class Silent(GreyFill):
        def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Tensor]:
            return {"loss": torch.zeros(())}

    with pytest.raises(TypeError, match="validation_step returned dict: expected a mapping with 'completed'"):
        trainer(tmp_path, VideoMetrics(metrics())).validate(Silent(), loader(), verbose=False)
