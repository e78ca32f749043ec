"""LPIPS against torchmetrics' network with the same weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchmetrics.functional.image.lpips as reference
from torch import nn

from vinpaint.metrics import LPIPS, UndefinedError, lpips
from vinpaint.metrics.lpips import LPIPSNetwork, bundled_linear_weights


def alexnet_features() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
    )


@pytest.fixture(scope="module")
def features() -> nn.Sequential:
    torch.manual_seed(0)
    return alexnet_features()


@pytest.fixture(scope="module")
def weights(features: nn.Sequential, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like torchvision's: the features, and a classifier nobody reads."""
    path = tmp_path_factory.mktemp("alexnet") / "alexnet.pth"
    state = {f"features.{key}": value for key, value in features.state_dict().items()}
    torch.save(state | {"classifier.1.weight": torch.zeros(2, 2)}, path)
    return path


@pytest.fixture
def outside(features: nn.Sequential, monkeypatch: pytest.MonkeyPatch) -> reference._LPIPS:
    monkeypatch.setattr(reference, "_get_tv_model_features", lambda net, pretrained: features)
    return reference._LPIPS(pretrained=True, net="alex")


def test_distance_equals_the_outside_reference(outside: reference._LPIPS, weights: Path) -> None:
    completed, truth = torch.rand(2, 9, 3, 63, 80).unbind()
    network = LPIPSNetwork.from_files(weights, bundled_linear_weights())
    expected = outside(completed, truth, normalize=True).flatten()
    torch.testing.assert_close(lpips(completed, truth, network).float(), expected, rtol=1e-5, atol=1e-7)
    outside.spatial = True
    expected_map = outside(completed, truth, normalize=True)
    torch.testing.assert_close(network(completed, truth), expected_map, rtol=1e-5, atol=1e-7)


def test_the_hole_takes_its_part_of_the_map(weights: Path) -> None:
    completed, truth = torch.rand(2, 2, 3, 40, 48).unbind()
    masks = torch.zeros(2, 1, 40, 48)
    masks[0, :, 5:20, 10:30] = 1
    network = LPIPSNetwork.from_files(weights, bundled_linear_weights())
    values = lpips(completed, truth, network, masks=masks)
    expected = network(completed, truth)[0, 0, 5:20, 10:30].mean()
    torch.testing.assert_close(values[0].float(), expected, rtol=1e-5, atol=1e-7)
    assert values[1].isnan()
    with pytest.raises(UndefinedError, match="no mask has a hole"):
        lpips(completed, truth, network, masks=torch.zeros_like(masks))


def test_identical_frames_have_no_distance(weights: Path) -> None:
    frames, metric = torch.rand(1, 2, 3, 40, 48), LPIPS(weights=weights)
    metric.update(frames, frames, masks=torch.ones(1, 2, 1, 40, 48), names=["a"])
    assert float(metric.compute()) == 0
    assert metric.suffixes == ("",)


def test_without_weights_one_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"LPIPS needs AlexNet weights: save .*metrics\.lpips\.weights="):
        LPIPS()
    with pytest.raises(ValueError, match=r"AlexNet weights .*none\.pth: no such file; save"):
        LPIPS(weights=tmp_path / "none.pth")
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "vgg.pth")
    with pytest.raises(ValueError, match=r"vgg\.pth: features\.0\.weight is absent or of another size"):
        LPIPS(weights=tmp_path / "vgg.pth")


def test_random_weights_are_named() -> None:
    assert LPIPS(weights="random").suffixes == ("_random_weights",)


def test_tiny_frames_are_undefined() -> None:
    with pytest.raises(UndefinedError, match="frames of 40x30 are too small; give 31x31"):
        lpips(torch.rand(1, 3, 30, 40), torch.rand(1, 3, 30, 40), LPIPSNetwork())
    assert lpips(torch.rand(1, 3, 31, 31), torch.rand(1, 3, 31, 31), LPIPSNetwork()).isfinite().all()
