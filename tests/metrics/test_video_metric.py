"""What every metric promises: named errors, sharding that changes nothing, a collection with one result per number."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vinpaint.metrics import (
    L1,
    PSNR,
    SSIM,
    TemporalConsistency,
    VideoMetric,
    VideoMetricCollection,
    temporal_consistency,
)
from vinpaint.metrics.psnr import CAP


def make(seed: int, num_frames: int = 4, size: int = 16) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(1, num_frames, 3, size, size, generator=generator)
    masks = (torch.rand(1, num_frames, 1, size, size, generator=generator) > 0.6).float()
    completed = torch.where(masks > 0, torch.rand(truth.shape, generator=generator), truth)
    return {"completed": completed, "truth": truth, "masks": masks}


def fresh_metrics() -> dict[str, VideoMetric]:
    return {
        "psnr": PSNR(),
        "psnr_hole": PSNR(region="hole", pool="clip"),
        "psnr_videos": PSNR(average="videos"),
        "ssim": SSIM(window="gaussian"),
        "ssim_hole": SSIM(window="gaussian", region="hole", average="videos"),
        "l1": L1(),
        "l1_hole": L1(region="hole", pool="clip"),
        "temporal_consistency": TemporalConsistency(),
    }


def test_batchwise_equals_all_at_once() -> None:
    clips = [make(seed) for seed in range(4)]
    one_by_one, at_once = VideoMetricCollection(fresh_metrics()), VideoMetricCollection(fresh_metrics())
    for index, clip in enumerate(clips):
        one_by_one.update(clip["completed"], clip["truth"], masks=clip["masks"], names=[str(index)])
    stacked = {key: torch.cat([clip[key] for clip in clips]) for key in clips[0]}
    at_once.update(stacked["completed"], stacked["truth"], masks=stacked["masks"], names=list("0123"))
    assert at_once.compute() == pytest.approx(one_by_one.compute(), rel=1e-12)


def test_results_of_each_clip_come_back_from_update() -> None:
    clips = [make(seed) for seed in range(2)]
    stacked = {key: torch.cat([clip[key] for clip in clips]) for key in clips[0]}
    both = VideoMetricCollection(fresh_metrics()).update(
        stacked["completed"], stacked["truth"], masks=stacked["masks"], names=["a", "b"]
    )
    for clip, result in zip(clips, both, strict=True):
        alone = VideoMetricCollection(fresh_metrics())
        alone.update(clip["completed"], clip["truth"], masks=clip["masks"], names=["alone"])
        assert result == pytest.approx(alone.compute(), rel=1e-12)


def test_reset_forgets() -> None:
    collection, expected = VideoMetricCollection(fresh_metrics()), VideoMetricCollection(fresh_metrics())
    first, second = make(1), make(2)
    collection.update(first["completed"], first["truth"], masks=first["masks"], names=["a"])
    collection.compute()
    collection.reset()
    for target in (collection, expected):
        target.update(second["completed"], second["truth"], masks=second["masks"], names=["b"])
    assert collection.compute() == expected.compute()


def test_names_and_directions_of_results() -> None:
    collection = VideoMetricCollection({"psnr": PSNR(), "l1": L1()})
    assert collection.names == ["psnr", "l1"]
    assert collection.higher_is_better == {"psnr": True, "l1": False}
    assert VideoMetricCollection({}).compute() == {}


def test_a_collection_takes_metrics_only() -> None:
    with pytest.raises(ValueError, match=r"metrics\.psnr is a dict: expected a VideoMetric"):
        VideoMetricCollection({"psnr": {}})  # type: ignore[dict-item]


def test_clips_of_another_length_are_named() -> None:
    clip = make(0)
    with pytest.raises(ValueError, match=r"tennis: 3 frames of 16x16 completed but 4 frames of 16x16 true"):
        PSNR().update(clip["completed"][:, :3], clip["truth"], masks=clip["masks"], names=["tennis"])


def test_clips_of_another_size_are_named() -> None:
    clip = make(0)
    with pytest.raises(ValueError, match=r"tennis: 4 frames of 12x16 completed but 4 frames of 16x16 true"):
        PSNR().update(clip["completed"][..., :12], clip["truth"], masks=clip["masks"], names=["tennis"])


def test_masks_that_do_not_fit_are_named() -> None:
    clip = make(0)
    with pytest.raises(ValueError, match=r"tennis: masks .*expected \(1, 4, 1, 16, 16\)"):
        PSNR().update(clip["completed"], clip["truth"], masks=clip["masks"][:, :2], names=["tennis"])


@pytest.mark.parametrize(("key", "word"), [("completed", "completed"), ("truth", "true")])
def test_nan_is_named(key: str, word: str) -> None:
    clip = make(0)
    clip[key][0, 2, 1, 3, 3] = torch.nan
    with pytest.raises(ValueError, match=rf"tennis: {word} frame 2 holds NaN"):
        PSNR().update(clip["completed"], clip["truth"], masks=clip["masks"], names=["tennis"])


def test_only_the_clip_with_nan_is_named() -> None:
    clips = [make(0), make(1)]
    clips[1]["completed"][0, 0, 0, 0, 0] = torch.nan
    stacked = {key: torch.cat([clip[key] for clip in clips]) for key in clips[0]}
    with pytest.raises(ValueError, match=r"^b: completed frame 0 holds NaN"):
        PSNR().update(stacked["completed"], stacked["truth"], masks=stacked["masks"], names=["a", "b"])


def test_levels_instead_of_unit_range_are_named() -> None:
    clip = make(0)
    with pytest.raises(ValueError, match=r"tennis: completed frames lie in .* divide 8-bit levels by 255"):
        PSNR().update(clip["completed"] * 255, clip["truth"], masks=clip["masks"], names=["tennis"])


def test_an_empty_clip_and_an_empty_set_are_errors() -> None:
    clip = make(0)
    with pytest.raises(ValueError, match="tennis: nothing to compare"):
        PSNR().update(clip["completed"][:, :0], clip["truth"][:, :0], masks=clip["masks"][:, :0], names=["tennis"])
    with (
        pytest.warns(UserWarning, match="before the ``update`` method"),
        pytest.raises(ValueError, match="PSNR: no clips to measure"),
    ):
        PSNR().compute()


def test_a_clip_without_a_hole_is_left_out_with_a_word() -> None:
    clip, whole = make(0), make(1)
    metric = PSNR(region="hole", pool="clip")
    with pytest.warns(UserWarning, match="tennis: PSNR is undefined: no mask has a hole; left out"):
        metric.update(clip["completed"], clip["truth"], masks=torch.zeros_like(clip["masks"]), names=["tennis"])
    assert metric.clip_values[0].isnan().all()
    assert metric.compute().isnan()
    metric.update(whole["completed"], whole["truth"], masks=whole["masks"], names=["dog"])
    alone = PSNR(region="hole", pool="clip")
    alone.update(whole["completed"], whole["truth"], masks=whole["masks"], names=["dog"])
    assert torch.equal(metric.compute(), alone.compute())


def test_one_frame_has_no_temporal_consistency() -> None:
    clip = make(0, num_frames=1)
    metric = TemporalConsistency()
    with pytest.warns(UserWarning, match="tennis: TemporalConsistency is undefined: a clip of one frame"):
        metric.update(clip["completed"], clip["truth"], masks=clip["masks"], names=["tennis"])
    assert metric.compute().isnan()


def test_temporal_consistency_of_a_hand_worked_clip() -> None:
    truth = torch.full((3, 3, 2, 2), 0.5)
    completed = truth.clone()
    completed[1, :, 0, 0] += 0.1  # flickers up and down again: differences +0.1 and -0.1
    masks = torch.zeros(3, 1, 2, 2)
    masks[1:, :, 0, :] = 1  # pixels (0, 0) and (0, 1) count in both pairs: half of them are wrong by 0.1
    expected = -10 * torch.log10(torch.tensor(0.01 / 2)).item()
    assert temporal_consistency(completed, truth, masks=masks).tolist() == pytest.approx([expected], abs=1e-5)
    assert temporal_consistency(completed, truth, masks=masks, pool="frame").tolist() == pytest.approx(
        [expected, expected], abs=1e-5
    )


def test_a_constant_error_of_colour_costs_no_temporal_consistency() -> None:
    truth = torch.randint(0, 128, (4, 3, 8, 8)) / 256
    completed = truth + 0.25  # exact in binary
    assert temporal_consistency(completed, truth, masks=torch.ones(4, 1, 8, 8)).tolist() == [CAP]
