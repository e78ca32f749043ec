"""What is kept of a clip and merged later is what measuring all clips at once gives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vinpaint.errors import UserError
from vinpaint.metrics import PSNR, SSIM, VideoMetric, VideoMetricCollection


class Range(VideoMetric):
    """Keeps a list, as a distance between sets does, and depends on all of it."""

    means: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("means", [], dist_reduce_fx="cat")

    def _add(self, completed: Tensor, truth: Tensor, masks: Tensor) -> Tensor:
        if len(completed) > 1:  # of a single frame it keeps nothing
            self.means.append(completed.mean().reshape(1))
        return torch.full((1,), torch.nan)

    def compute(self) -> Tensor:
        means = torch.cat(self.means)
        return means.max() - means.min()


def collection() -> VideoMetricCollection:
    metrics = {"psnr": PSNR(), "by_video": PSNR(average="videos"), "ssim": SSIM(window="gaussian")}
    return VideoMetricCollection({**metrics, "range": Range()})


def test_merged_states_give_the_numbers_of_all_clips_at_once() -> None:
    clips = [(torch.rand(frames, 3, 36, 40), torch.rand(frames, 3, 36, 40)) for frames in (2, 3, 1, 2)]
    together, parts = collection(), []
    for index, (completed, truth) in enumerate(clips):
        masks = torch.ones(len(truth), 1, 36, 40)
        alone = collection()
        for metrics in (together, alone):
            metrics.update(completed[None], truth[None], masks=masks[None], names=[f"clip {index}"])
        parts.append(alone.states())
    merged = collection()
    for part in parts:
        merged.merge(part)
    assert merged.compute() == together.compute()
    assert together.compute()["range"] > 0


def test_merging_after_computing_counts() -> None:
    metrics = VideoMetricCollection({"psnr": PSNR()})
    frames, masks = torch.zeros(1, 2, 3, 8, 8), torch.ones(1, 2, 1, 8, 8)
    metrics.update(frames + 0.1, frames, masks=masks, names=["near"])
    near, states = metrics.compute(), metrics.states()
    metrics.reset()
    metrics.update(frames + 0.5, frames, masks=masks, names=["far"])
    far = metrics.compute()
    metrics.merge(states)
    assert metrics.compute()["psnr"] == pytest.approx((near["psnr"] + far["psnr"]) / 2)


def test_states_of_other_metrics_are_refused() -> None:
    metrics = VideoMetricCollection({"psnr": PSNR()})
    with pytest.raises(UserError, match="states of ssim: expected those of psnr"):
        metrics.merge({"ssim.total": torch.zeros(1)})
    with pytest.raises(UserError, match="PSNR: states"):
        metrics.merge({"psnr.total": torch.zeros(1)})
