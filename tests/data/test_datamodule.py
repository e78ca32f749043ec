"""The one datamodule: what a trainer gets from it, also after a run was killed in the middle of an epoch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from vinpaint.batch import check_batch
from vinpaint.data import DataError, ProceduralClips, VideoInpaintingDataModule
from vinpaint.data.loading import ResumableLoader
from vinpaint.masks import BoxMask, MaskGenerator, MovingMask


def module(**arguments: Any) -> VideoInpaintingDataModule:
    mask: MaskGenerator = MovingMask()
    defaults: dict[str, Any] = {
        "train": ProceduralClips(num_clips=50, num_frames=8, height=24, width=32, seed=1),
        "val": ProceduralClips(num_clips=3, num_frames=8, height=24, width=32, seed=2),
        "mask": mask,
        "height": 16,
        "width": 24,
        "samples_per_epoch": 12,
        "batch_size": 2,
        "num_workers": 0,
    }
    return VideoInpaintingDataModule(**{**defaults, **arguments})


class Memory(LightningModule):
    """Trains nothing much and remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[int, float, tuple[str, ...]]] = []

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        content = float(batch["frames"].double().sum() + 1e3 * batch["masks"].double().sum())
        self.seen.append((self.current_epoch, content, tuple(batch["name"])))
        return (self.weight - batch["frames"].mean()).square().sum()

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SaveAt(Callback):
    """Saves a checkpoint in one hook, once a number of batches are done."""

    def __init__(self, path: Path, batches: int, hook: str = "on_train_batch_end") -> None:
        self.path, self.batches = path, batches
        setattr(self, hook, self.save)

    def save(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.global_step == self.batches:
            trainer.save_checkpoint(self.path)


def fit(data: VideoInpaintingDataModule, *, checkpoint: Path | None = None, **arguments: Any) -> Memory:
    network = Memory()
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **arguments,
    )
    trainer.fit(network, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    return network


EPOCHS = {"max_epochs": 3}
STEPS = {"max_epochs": -1, "max_steps": 18}


@pytest.mark.parametrize(
    ("saved_after", "hook", "length", "num_workers"),
    [
        (2, "on_train_batch_end", EPOCHS, 0),
        (9, "on_train_batch_end", EPOCHS, 2),
        (9, "on_train_batch_end", STEPS, 0),
        (12, "on_train_batch_end", EPOCHS, 0),
        (12, "on_train_batch_end", STEPS, 0),
        (12, "on_validation_end", EPOCHS, 0),
        (12, "on_validation_end", STEPS, 0),
        (12, "on_train_epoch_end", EPOCHS, 0),
        (12, "on_train_epoch_end", STEPS, 0),
        (14, "on_train_batch_end", STEPS, 0),
    ],
)
def test_a_resumed_run_goes_on_with_the_very_next_batch(
    tmp_path: Path, saved_after: int, hook: str, length: dict[str, int], num_workers: int
) -> None:
    checkpoint = tmp_path / "run.ckpt"
    whole = fit(module(num_workers=num_workers), callbacks=[SaveAt(checkpoint, saved_after, hook)], **length)
    assert len(whole.seen) == 18  # 3 epochs of 6 batches
    resumed = fit(module(num_workers=num_workers), checkpoint=checkpoint, **length)
    assert resumed.seen == whole.seen[saved_after:]
    assert torch.equal(resumed.weight, whole.weight)


def test_an_epoch_never_repeats_a_sample_and_no_two_epochs_are_alike() -> None:
    seen = fit(module(), max_epochs=3).seen
    assert [epoch for epoch, *_ in seen] == [0] * 6 + [1] * 6 + [2] * 6
    assert len({content for _, content, _ in seen}) == 18
    names = [name for _, _, names in seen for name in names]
    assert len(set(names)) == 36  # 50 clips, 12 in each epoch: each goes on where the last stopped


def test_overfitting_sees_the_same_batches_in_every_epoch() -> None:
    seen = fit(module(), max_epochs=3, overfit_batches=2).seen
    assert len(seen) == 6
    assert [content for _, content, _ in seen[:2]] * 3 == [content for _, content, _ in seen]


def test_batches_of_training_and_validation_pass_the_check() -> None:
    data = module(val_num_frames=6, val_dilation=1)
    batch = check_batch(next(iter(data.train_dataloader())))
    assert batch["frames"].shape == (2, 5, 3, 16, 24)
    clips = [check_batch(batch) for batch in data.val_dataloader()]
    assert [batch["name"][0] for batch in clips] == [f"procedural-2-{number:06d}" for number in range(3)]
    assert clips[0]["frames"].shape == (1, 6, 3, 16, 24)
    again = [batch["masks"] for batch in module(val_num_frames=6, val_dilation=1).test_dataloader()]
    assert all(torch.equal(a["masks"], b) for a, b in zip(clips, again, strict=True))


def test_validation_and_evaluation_see_the_same_holes() -> None:
    data = module()
    for batch, (name, clip, masks) in zip(data.val_dataloader(), data.evaluation_set(), strict=True):
        assert batch["name"] == [name]
        assert torch.equal(batch["masks"][0, :, 0].bool(), torch.from_numpy(masks.read(range(clip.num_frames))))


def test_an_evaluation_may_choose_length_dilation_and_size() -> None:
    data = module(val_num_frames=4, val_dilation=0, val_mask=BoxMask())
    _, clip, masks = data.evaluation_set().open(0)
    _, longer, grown = data.evaluation_set(num_frames=8, dilation=2).open(0)
    assert (clip.num_frames, longer.num_frames) == (4, 8)
    assert grown.read([0]).sum() > masks.read([0]).sum()
    native = data.evaluation_set("test", native_size=True).open(0).clip
    assert (native.height, native.width) == (24, 32)


def test_a_batch_is_divided_over_devices() -> None:
    def batches(replicas: int, rank: int) -> list[Any]:
        data = module(batch_size=6)
        data.trainer = SimpleNamespace(world_size=replicas, global_rank=rank)  # type: ignore[assignment]
        return list(data.train_dataloader())

    whole, first, second = batches(1, 0), batches(2, 0), batches(2, 1)
    assert len(whole) == len(first) == len(second) == 2
    for together, a, b in zip(whole, first, second, strict=True):
        assert a["frames"].shape[0] == b["frames"].shape[0] == 3
        assert sorted(together["name"]) == sorted(a["name"] + b["name"])
    with pytest.raises(DataError, match="batch_size 6 over 4 devices"):
        batches(4, 0)


def test_hyperparameters_are_plain_values() -> None:
    for value in module().hparams.values():
        assert value is None or isinstance(value, int | float | str)


def test_a_loader_can_be_entered_in_the_middle() -> None:
    loader = module().train_dataloader()
    assert isinstance(loader, ResumableLoader)
    epochs = [[batch["name"] for batch in loader] for _ in range(3)]
    assert epochs[0] != epochs[1]
    assert loader.position == (2, 6)
    loader = module().train_dataloader()
    loader.start_from(1, 4)
    iter(loader)  # an iterator nobody reads changes nothing
    assert [batch["name"] for batch in loader] == epochs[1][4:]
    assert [batch["name"] for batch in loader] == epochs[2]


def test_a_shortened_epoch_is_over_when_the_trainer_says_so(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.ckpt"
    short = {"max_epochs": 3, "limit_train_batches": 4}
    whole = fit(module(), callbacks=[SaveAt(checkpoint, 8, "on_validation_end")], **short)
    assert fit(module(), checkpoint=checkpoint, **short).seen == whole.seen[8:]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: module(train=None).train_dataloader(), r"no clips for train: give data\.train"),
        (lambda: module(val=[]).val_dataloader(), "an empty list"),
        (lambda: module(samples_per_epoch=None, batch_size=51).train_dataloader(), "50 samples in an epoch are less"),
    ],
)
def test_what_cannot_be_loaded_is_explained(make: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()


def test_reading_clips_needs_no_lightning() -> None:
    program = "import sys, vinpaint.data; assert not any(m.startswith('lightning') for m in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
