"""The Fréchet distance of videos against the public evaluators and SciPy's matrix root."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch

from vinpaint.metrics import VFID, UndefinedError, frechet_distance
from vinpaint.metrics.levels import stored
from vinpaint.models.i3d import I3D

CASES = ("full_rank", "rank_deficient", "small_scale")


@pytest.fixture(scope="module")
def features(golden_dir: Path) -> dict[str, torch.Tensor]:
    with np.load(golden_dir / "vfid_activations.npz") as archive:
        return {name: torch.from_numpy(values) for name, values in archive.items()}


@pytest.fixture(scope="module")
def distances(golden_dir: Path) -> dict[str, Any]:
    numbers: dict[str, Any] = json.loads((golden_dir / "metrics.json").read_text())["vfid"]
    return numbers


@pytest.mark.parametrize("case", CASES)
def test_distance_equals_the_stored_one(case: str, features: dict[str, torch.Tensor], distances: Any) -> None:
    actual = float(frechet_distance(features[f"{case}_real"], features[f"{case}_fake"]))
    assert actual == pytest.approx(distances[case]["exact"], rel=1e-8)
    # The public code's matrix root loses digits where there are fewer videos than dimensions.
    assert actual == pytest.approx(distances[case]["official"], rel=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_identical_sets_have_no_distance(case: str, features: dict[str, torch.Tensor]) -> None:
    real = features[f"{case}_real"]
    assert float(frechet_distance(real, real.flip(0))) == pytest.approx(0, abs=1e-6)


def test_distance_equals_scipys_matrix_root() -> None:
    real, fake = torch.randn(40, 12, dtype=torch.float64), torch.randn(30, 12, dtype=torch.float64) * 1.5 + 0.3
    covariances = [np.cov(part.numpy(), rowvar=False) for part in (real, fake)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    expected = (real.mean(0) - fake.mean(0)).square().sum().item()
    expected += np.trace(covariances[0] + covariances[1] - 2 * root.real)
    assert float(frechet_distance(real, fake)) == pytest.approx(expected, rel=1e-10)


def test_distance_of_shifted_sets_is_the_squared_shift() -> None:
    real = torch.randn(5, 64)
    assert float(frechet_distance(real, real + 0.5)) == pytest.approx(64 * 0.25, rel=1e-5)


def test_one_video_has_no_covariance() -> None:
    with pytest.raises(UndefinedError, match="sets of 1 and 2 videos have no covariance"):
        frechet_distance(torch.rand(1, 8), torch.rand(2, 8))


def test_features_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"features \(3, 8\) and \(3, 9\)"):
        frechet_distance(torch.rand(3, 8), torch.rand(3, 9))


def clips(count: int) -> dict[str, torch.Tensor]:
    truth = torch.rand(count, 3, 3, 33, 40)
    masks = torch.zeros(count, 3, 1, 33, 40)
    masks[..., 8:24, 8:24] = 1
    return {"completed": torch.where(masks > 0, 0.5, truth), "truth": truth, "masks": masks}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("i3d") / "rgb_imagenet.pt"
    torch.save(I3D().state_dict(), path)
    return path


@pytest.mark.parametrize("bn_mode", ["batch", "eval"])
def test_the_metric_is_the_distance_of_features_of_single_videos(bn_mode: Any, weights: Path) -> None:
    batch, metric = clips(3), VFID(weights=weights, bn_mode=bn_mode, levels="float")
    metric.update(batch["completed"], batch["truth"], masks=batch["masks"], names=list("abc"))
    network = I3D.from_file(weights)
    real, fake = (
        torch.cat([network.features(clip.transpose(0, 1)[None], bn_mode=bn_mode) for clip in batch[key]])
        for key in ("truth", "completed")
    )
    assert float(metric.compute()) == pytest.approx(float(frechet_distance(real, fake)), rel=1e-9)
    assert all(value.isnan() for value in metric.clip_values)
    assert metric.suffixes == ("" if bn_mode == "batch" else "_bn_eval",)


def test_identical_videos_have_zero_vfid(weights: Path) -> None:
    batch, metric = clips(3), VFID(weights=weights)
    levels = stored(batch["truth"], "round")
    metric.update(levels, levels, masks=batch["masks"], names=list("abc"))
    assert float(metric.compute()) == pytest.approx(0, abs=1e-6)


def test_one_clip_is_not_a_set(weights: Path) -> None:
    batch, metric = clips(1), VFID(weights=weights)
    metric.update(batch["completed"], batch["truth"], masks=batch["masks"], names=["a"])
    with pytest.warns(UserWarning, match="VFID is undefined: sets of 1 and 1 videos"):
        assert metric.compute().isnan()


def test_a_clip_too_small_for_statistics_is_left_out() -> None:
    metric, frames = VFID(weights="random"), torch.rand(1, 8, 3, 32, 32)
    with pytest.warns(UserWarning, match="tennis: VFID is undefined: 8 frames of 32x32 leave one position"):
        metric.update(frames, frames, masks=frames[:, :, :1].round(), names=["tennis"])
    metric = VFID(weights="random", bn_mode="eval")
    metric.update(frames, frames, masks=frames[:, :, :1].round(), names=["tennis"])
    assert len(metric.real_features) == 1


def test_without_weights_one_error_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"fetch rgb_imagenet\.pt from https.*metrics\.vfid\.weights="):
        VFID()


def test_random_weights_are_named_and_the_same_everywhere() -> None:
    first = VFID(weights="random")
    torch.rand(1)
    second = VFID(weights="random")
    assert first.suffixes == ("_random_weights",)
    assert torch.equal(first.network.logits.conv3d.weight, second.network.logits.conv3d.weight)


@pytest.mark.parametrize(("levels", "expected"), [("round", 1.0), ("truncate", 0.0), ("float", 0.7)])
def test_levels_of_an_8_bit_file(levels: Any, expected: float) -> None:
    assert stored(torch.tensor([0.7 / 255]), levels).mul(255).item() == pytest.approx(expected, abs=1e-6)
    every = torch.arange(256, dtype=torch.float32) / 255
    assert torch.equal(stored(every, levels), every)
