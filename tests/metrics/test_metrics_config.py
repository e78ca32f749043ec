"""The metrics that configuration selects."""

from __future__ import annotations

from typing import Any

import pytest

from vinpaint.config import build, compose
from vinpaint.metrics import VideoMetricCollection

FAST = ["psnr", "psnr_hole", "ssim", "ssim_hole", "l1", "l1_hole", "temporal_consistency"]
RANDOM_FLOW = ["flow@metrics.warp_error.flow=irr_pwc", "metrics.warp_error.flow.weights=random"]


def metrics(*overrides: str) -> dict[str, Any]:
    built: dict[str, Any] = build(compose("evaluate", ["model=sttn", *overrides]).metrics)
    return built


def test_fast_needs_nothing() -> None:
    assert VideoMetricCollection(metrics("metrics=fast")).names == FAST


def test_none_is_empty() -> None:
    assert metrics("metrics=none") == {}


def test_full_names_the_flow_and_says_that_weights_are_random() -> None:
    random = ["metrics.vfid.weights=random", "metrics.lpips.weights=random"]
    names = VideoMetricCollection(metrics("metrics=full", *RANDOM_FLOW, *random)).names
    flow = "warp_error_irr_pwc_random_weights"
    assert names == [*FAST, flow, f"{flow}_hole", "vfid_random_weights", "lpips_random_weights"]


def test_full_takes_a_flow_without_weights_by_default() -> None:
    names = VideoMetricCollection(metrics("metrics=full", "~metrics.vfid", "~metrics.lpips")).names
    assert names == [*FAST, "warp_error_dis", "warp_error_dis_hole"]


@pytest.mark.parametrize(("metric", "file"), [("vfid", "rgb_imagenet.pt"), ("lpips", "alexnet-owt")])
def test_full_without_weights_says_what_to_fetch_or_leave_out(metric: str, file: str) -> None:
    other = "lpips" if metric == "vfid" else "vfid"
    with pytest.raises(ValueError, match=rf"{file}.*metrics\.{metric}\.weights=.*~metrics\.{metric}"):
        metrics("metrics=full", f"~metrics.{other}")
