"""I3D against the public implementation under seeded weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from golden_weights import moving_clip, official_state, sha256
from vinpaint.models.i3d import I3D, convert_i3d

TOLERANCE = {"eval": 1e-5, "batch": 5e-5}


@pytest.fixture(scope="module")
def stored(golden_dir: Path) -> dict[str, Any]:
    with np.load(golden_dir / "i3d_16x224x224.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def state(golden_dir: Path) -> dict[str, Tensor]:
    return official_state(golden_dir, "i3d")


@pytest.fixture(scope="module")
def model(state: dict[str, Tensor]) -> I3D:
    model = I3D()
    model.load_state_dict(state)
    return model


@pytest.fixture(scope="module")
def video(stored: dict[str, Any]) -> Tensor:
    size = (int(stored[axis]) for axis in "THW")
    frames = moving_clip(int(stored["seed"]), str(stored["video_key"]), *size)
    assert sha256(frames) == str(stored["frames_sha256"])
    return torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 255


@pytest.fixture(scope="module")
def last_block(model: I3D, video: Tensor) -> Tensor:
    return model.mixed_5c(video)


def close(actual: Tensor, expected: Any, tolerance: float) -> None:
    np.testing.assert_allclose(actual.numpy(), expected, rtol=0, atol=tolerance)


def test_trained_statistics_give_the_public_features(last_block: Tensor, stored: dict[str, Any]) -> None:
    close(last_block[:, ::8], stored["mixed_5c_sub"], 1e-5)
    close(last_block.mean(dim=(2, 3, 4))[0], stored["eval_activation"], TOLERANCE["eval"])


def test_the_classifier_gives_the_public_logits(model: I3D, video: Tensor, stored: dict[str, Any]) -> None:
    close(model(video).flatten(2), stored["logits"], 1e-5)


def test_own_statistics_give_the_features_of_the_public_evaluators(
    model: I3D, video: Tensor, stored: dict[str, Any]
) -> None:
    before = {key: value.clone() for key, value in model.state_dict().items()}
    close(model.train().features(video, bn_mode="batch")[0], stored["train_activation"], TOLERANCE["batch"])
    model.eval()
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before), "buffers changed"


@pytest.mark.parametrize("bn_mode", ["eval", "batch"])
def test_features_of_a_second_video(bn_mode: Any, model: I3D, stored: dict[str, Any]) -> None:
    size = (int(stored[axis]) for axis in "THW")
    frames = moving_clip(int(stored["seed"]), str(stored["video2_key"]), *size)
    assert sha256(frames) == str(stored["frames2_sha256"])
    video = torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 255
    name = "eval_activation2" if bn_mode == "eval" else "train_activation2"
    close(model.features(video, bn_mode=bn_mode)[0], stored[name], TOLERANCE[bn_mode])


def test_names_and_sizes_are_those_of_the_public_weights(state: dict[str, Tensor]) -> None:
    model = I3D()
    own = model.state_dict()
    assert len(own) == 344
    assert {key: value.shape for key, value in own.items()} == {key: value.shape for key, value in state.items()}
    assert sum(parameter.numel() for parameter in model.parameters()) == 12_697_264


def test_a_frozen_yardstick_has_no_gradient(model: I3D) -> None:
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("size", [(1, 17, 33), (9, 40, 65)])
@pytest.mark.parametrize("bn_mode", ["eval", "batch"])
def test_any_length_and_size_is_rounded_up(size: tuple[int, int, int], bn_mode: Any) -> None:
    block = I3D(num_classes=2).mixed_5c(torch.rand(1, 3, *size), bn_mode=bn_mode)
    assert block.shape == (1, 1024, *(-(-n // d) for n, d in zip(size, (8, 32, 32), strict=True)))
    assert block.isfinite().all()


def test_older_files_without_the_counter_of_batches_load(tmp_path: Path, video: Tensor) -> None:
    source = I3D()
    old = {key: value for key, value in source.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "rgb_imagenet.pt")
    loaded = I3D.from_file(tmp_path / "rgb_imagenet.pt")
    small = video[..., :32, :32]
    assert torch.equal(loaded.features(small), source.features(small))


def test_weights_under_the_other_public_names_load(tmp_path: Path) -> None:
    source = I3D().state_dict()
    other = {}
    for key, value in source.items():
        renamed = key.replace(".bn.", ".batch3d.").replace("logits.", "conv3d_0c_1x1.")
        renamed = re.sub(r"^(Conv3d|Mixed)", lambda m: m.group().lower(), renamed)
        for ours, theirs in (("b0", "0"), ("b1a", "1.0"), ("b1b", "1.1"), ("b2a", "2.0"), ("b2b", "2.1")):
            renamed = renamed.replace(f".{ours}.", f".branch_{theirs}.")
        other[renamed.replace(".b3b.", ".branch_3.1.")] = value
    assert not set(other) & set(source)
    assert list(convert_i3d(other)) == list(source)
    torch.save(other, tmp_path / "model_rgb.pth")
    loaded = I3D.from_file(tmp_path / "model_rgb.pth").state_dict()
    assert all(torch.equal(loaded[key], source[key]) for key in source)


def test_a_missing_file_says_where_to_fetch_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no such file; fetch rgb_imagenet.pt from https://github.com/piergiaj"):
        I3D.from_file(tmp_path / "rgb_imagenet.pt")


def test_other_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other\.pt"):
        I3D.from_file(tmp_path / "other.pt")


def test_a_misspelt_mode_names_the_choices() -> None:
    with pytest.raises(ValueError, match="bn_mode=train: choose batch or eval"):
        I3D().features(torch.rand(1, 3, 4, 32, 32), bn_mode="train")  # type: ignore[arg-type]
