from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from tiny_training import TinyClips, TinyGenerator, tiny_module, tiny_trainer
from vinpaint.callbacks import EMA
from vinpaint.errors import UserError
from vinpaint.models.pretrained import load_weights


class Trace(L.Callback):
    """First weight of the generator after every update, in validation and after it."""

    def __init__(self) -> None:
        self.trained: list[float] = []
        self.validated: list[float] = []
        self.after: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        self.trained.append(_first(pl_module))

    def on_validation_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        self.validated.append(_first(pl_module))

    def on_validation_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        self.after.append(_first(pl_module))


def _first(module: Any) -> float:
    return module.generator.layers[0].weight.flatten()[0].item()


def _run(folder: Path, *callbacks: L.Callback, max_steps: int = 6, **options: Any) -> Any:
    module = tiny_module()
    loader = DataLoader(TinyClips(4), batch_size=2)
    trainer = tiny_trainer(folder, callbacks=list(callbacks), max_steps=max_steps, **options)
    trainer.fit(module, loader, DataLoader(TinyClips(1), batch_size=1))
    return module


def test_the_average_follows_its_formula_once_per_update(tmp_path: Path) -> None:
    trace = Trace()
    start = _first(tiny_module())
    _run(tmp_path, EMA(decay=0.5, warmup=False), trace)
    average, expected = start, []
    for update, weight in enumerate(trace.trained, start=1):
        average = 0.5 * average + 0.5 * weight
        if update % 2 == 0:  # an epoch is two updates, and ends with validation
            expected.append(average)
    assert trace.validated == pytest.approx(expected, abs=1e-6)


def test_warmup_follows_faster_at_first(tmp_path: Path) -> None:
    trace = Trace()
    _run(tmp_path, EMA(decay=0.999), trace, max_steps=2)
    first, second = trace.trained
    start = _first(tiny_module())
    expected = 2 / 11 * start + 9 / 11 * first
    expected = 3 / 12 * expected + 9 / 12 * second
    assert trace.validated == pytest.approx([expected], abs=1e-6)


def test_training_is_the_same_with_and_without_the_average(tmp_path: Path) -> None:
    plain, averaged, trace = Trace(), Trace(), EMA()
    _run(tmp_path, plain)
    _run(tmp_path, averaged, trace)
    assert plain.trained == averaged.trained
    assert averaged.after == averaged.trained[1::2]


def test_a_checkpoint_gives_the_average_to_readers_and_the_weights_to_a_resumed_run(tmp_path: Path) -> None:
    ema, trace = EMA(decay=0.9), Trace()
    module = _run(
        tmp_path, ema, trace, ModelCheckpoint(tmp_path, save_last=True), max_steps=4, enable_checkpointing=True
    )
    read = load_weights(TinyGenerator(), tmp_path / "last.ckpt")
    assert read.layers[0].weight.flatten()[0].item() == trace.validated[-1]
    resumed, resumed_ema = tiny_module(seed=5), EMA(decay=0.9)
    trainer = tiny_trainer(tmp_path, callbacks=[resumed_ema], max_steps=4)
    trainer.fit(resumed, DataLoader(TinyClips(4), batch_size=2), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert torch.equal(resumed.generator.layers[0].weight, module.generator.layers[0].weight)
    assert resumed_ema.num_updates == 4
    with resumed_ema.averaged(resumed):
        assert _first(resumed) == trace.validated[-1]


def test_an_interrupted_validation_gives_the_weights_back(tmp_path: Path) -> None:
    class Stop(L.Callback):
        def on_validation_batch_end(self, *_: Any) -> None:
            raise RuntimeError("stop")

    trace, module = Trace(), tiny_module()
    trainer = tiny_trainer(tmp_path, callbacks=[EMA(), trace, Stop()], max_steps=4)
    with pytest.raises(RuntimeError, match="stop"):
        trainer.fit(module, DataLoader(TinyClips(4), batch_size=2), DataLoader(TinyClips(1)))
    assert _first(module) == trace.trained[-1] != trace.validated[-1]


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_out_of_range_is_named(decay: float) -> None:
    with pytest.raises(UserError, match="at least 0 and less than 1"):
        EMA(decay=decay)
