"""The training of a fusion: what it reads, what a loss of one means, and that it learns."""

from __future__ import annotations

from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch

from vinpaint.callbacks import VideoMetrics
from vinpaint.data import ChosenClips, DataError, JoinedClips, ProceduralClips
from vinpaint.errors import UserError
from vinpaint.masks import MovingMask
from vinpaint.metrics import PSNR
from vinpaint.models.fusion import FusionNetwork
from vinpaint.training import FusionDataModule, FusionModule, Optimization
from vinpaint.training.fusion_data import FusionClips, FusionCrops, collate_crops


def clips(seed: int, count: int = 2) -> ProceduralClips:
    return ProceduralClips(num_clips=count, num_frames=6, height=48, width=64, seed=seed)


@pytest.fixture(scope="module")
def datamodule(tmp_path_factory: pytest.TempPathFactory) -> FusionDataModule:
    folder = tmp_path_factory.mktemp("records")
    module = FusionDataModule(
        train=clips(1), val=clips(2, 1), mask=MovingMask(static_probability=0), folder=folder, num_frames=6, max_step=1,
        dilation=1, record_crop=32, crop=24, val_num_frames=3, samples_per_epoch=8, batch_size=4,
    )  # fmt: skip
    module.prepare_data()
    return module


def crops(datamodule: FusionDataModule) -> FusionCrops:
    dataset = datamodule.train_dataloader().dataset
    assert isinstance(dataset, FusionCrops)
    return dataset


def test_what_is_known_of_a_crop_is_the_truth(datamodule: FusionDataModule) -> None:
    for index in range(12):  # other mirrorings, turns and exchanged colours
        candidates, truth, _, difficulty = crops(datamodule)[0, index]
        assert truth.shape == (1, 3, 24, 24)
        known = (candidates["hole"] == 0).expand_as(truth)
        assert torch.equal(candidates["plain"][known], truth[known])
        assert torch.equal(candidates["image"], candidates["plain"] * (candidates["hole"] == 0))
        assert candidates["hole"].any()
        assert difficulty >= 1e-4


def test_several_processes_record_the_same(datamodule: FusionDataModule, tmp_path: Path) -> None:
    other = FusionDataModule(
        train=clips(1), val=clips(2, 1), mask=MovingMask(static_probability=0), folder=tmp_path, num_frames=6,
        max_step=1, dilation=1, record_crop=32, crop=24, val_num_frames=3, num_workers=2,
    )  # fmt: skip
    other.prepare_data()
    recorded = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.npz"))
    assert recorded == sorted(path.relative_to(datamodule.folder) for path in datamodule.folder.rglob("*.npz"))
    for path in recorded:
        assert (tmp_path / path).read_bytes() == (datamodule.folder / path).read_bytes()


def test_a_sample_depends_on_its_key_alone(datamodule: FusionDataModule) -> None:
    first, again, other = (crops(datamodule)[key] for key in ((3, 5), (3, 5), (4, 5)))
    assert torch.equal(first[1], again[1])
    assert first[1].shape != other[1].shape or not torch.equal(first[1], other[1])


def test_fewer_candidates_are_filled_up_with_nothing(datamodule: FusionDataModule) -> None:
    samples = [crops(datamodule)[0, index] for index in range(2)]
    shorter = dict(samples[0][0])
    for key in ("colours", "shares", "offsets"):
        shorter[key] = shorter[key][:, :2]  # type: ignore[index]
    batch = collate_crops([(shorter, *samples[0][1:]), samples[1]])  # type: ignore[arg-type]
    torch.manual_seed(0)
    network = FusionNetwork(channels=8)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    with torch.inference_mode():
        together = network(batch["candidates"][0])[:1]
        alone = network(shorter)  # type: ignore[arg-type]
    torch.testing.assert_close(together, alone)


def test_an_untrained_network_costs_what_the_plain_mean_costs(datamodule: FusionDataModule) -> None:
    samples = [crops(datamodule)[0, index] for index in range(4)]
    module = FusionModule(FusionNetwork(channels=8), absolute_weight=0)
    cost = module.complete(collate_crops(samples), {}).terms["square"]  # type: ignore[arg-type]
    wanted = []
    for candidates, truth, _, difficulty in samples:
        hole = candidates["hole"][0, 0] > 0
        wanted.append(float((candidates["plain"] - truth)[0][:, hole].square().mean()) / difficulty)
    assert cost.item() == pytest.approx(np.mean(wanted), rel=1e-5)


def test_a_validation_clip_is_put_together_at_its_own_place(datamodule: FusionDataModule) -> None:
    dataset = datamodule.val_dataloader().dataset
    assert isinstance(dataset, FusionClips)
    batch = dataset[0]
    assert batch["frames"].shape == (1, 3, 3, 48, 64)
    completed = FusionModule(FusionNetwork(channels=8)).validation_step(batch, 0)["completed"]  # type: ignore[arg-type]
    outside = (batch["masks"] == 0).expand_as(completed)
    assert torch.equal(completed[outside], batch["frames"][outside])
    error = (completed - batch["frames"]).square().sum() / (3 * batch["masks"].sum())
    assert error.item() == pytest.approx(batch["difficulty"].item(), rel=1e-3)


def test_it_learns(datamodule: FusionDataModule, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = FusionModule(
        FusionNetwork(channels=8), optimization=Optimization(learning_rate=3e-3, betas=[0.9, 0.99], milestones=[100])
    )
    trainer = L.Trainer(
        max_steps=30, max_epochs=-1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False, num_sanity_val_steps=0,
        check_val_every_n_epoch=None, val_check_interval=30, default_root_dir=tmp_path,
        callbacks=[VideoMetrics({"psnr_hole": PSNR(region="hole", pool="clip")})],
    )  # fmt: skip
    samples = collate_crops([crops(datamodule)[9, index] for index in range(8)])
    before = module.complete(samples, {}).terms["square"].item()  # type: ignore[arg-type]
    trainer.fit(module, datamodule=datamodule)
    after = module.complete(samples, {}).terms["square"].item()  # type: ignore[arg-type]
    assert after < before
    assert "val/psnr_hole" in trainer.callback_metrics


def test_crops_larger_than_records_are_refused() -> None:
    with pytest.raises(UserError, match="crop=64, record_crop=32"):
        FusionDataModule(train=[], val=[], mask=MovingMask(), folder="absent", record_crop=32, crop=64)


def test_named_clips_are_chosen_in_the_order_of_their_names() -> None:
    chosen = ChosenClips(clips(1, 3), names=["procedural-1-000002", "procedural-1-000000"])
    assert [clip.name for clip in chosen] == ["procedural-1-000002", "procedural-1-000000"]
    with pytest.raises(DataError, match="no clip named absent among 3"):
        ChosenClips(clips(1, 3), names=["absent"]).list_clips()


def test_joined_sets_follow_each_other_as_often_as_asked() -> None:
    joined = JoinedClips([clips(1, 2), clips(2, 1)], repeats=[2, 1])
    assert [clip.name[-8:] for clip in joined] == ["1-000000", "1-000001", "1-000000", "1-000001", "2-000000"]
    with pytest.raises(DataError, match="one number of 1 or more for each"):
        JoinedClips([clips(1, 2)], repeats=[0])
