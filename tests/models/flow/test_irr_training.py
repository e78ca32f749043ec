"""IRR-PWC as a network to be trained and released: every level, other widths, its own weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from vinpaint.models import released
from vinpaint.models.flow.irr_pwc import IRRPWC, IRRPWCNetwork
from vinpaint.models.pretrained import load_pretrained


@pytest.fixture(scope="module")
def narrow() -> IRRPWCNetwork:
    torch.manual_seed(0)
    return IRRPWCNetwork(width=0.25)


def test_levels_end_in_what_inference_gives_and_are_of_the_strides_of_the_network(narrow: IRRPWCNetwork) -> None:
    first, second = torch.rand(2, 2, 3, 64, 128)
    levels = narrow.levels(first, second)
    assert [tuple(level.shape) for level in levels] == [
        *((4, 2, 64 // stride, 128 // stride) for stride in (64, 32, 16, 8, 4)),
        (4, 2, 64, 128),
    ]
    with torch.inference_mode():
        flows = narrow.both(first, second)
    torch.testing.assert_close(levels[-1], torch.cat((flows.forward, flows.backward)))
    finest = F.interpolate(levels[-2], (32, 64), mode="bilinear", align_corners=True)
    torch.testing.assert_close(levels[-1], F.interpolate(finest, (64, 128), mode="bilinear", align_corners=True))


def test_every_weight_learns(narrow: IRRPWCNetwork) -> None:
    narrow.zero_grad()
    levels = narrow.levels(*torch.rand(2, 2, 3, 64, 128))
    torch.stack([level.square().mean() for level in levels]).sum().backward()
    for name, parameter in narrow.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name
    narrow.zero_grad()


def test_under_autocast_flow_stays_float32_and_close(narrow: IRRPWCNetwork) -> None:
    frames = torch.rand(2, 1, 3, 64, 128)
    with torch.no_grad():
        exact = narrow.levels(*frames)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = narrow.levels(*frames)
    assert {level.dtype for level in half} == {torch.float32}
    assert not torch.equal(half[-1], exact[-1])  # else autocast would not be heeded at all
    assert (half[-1] - exact[-1]).norm() < 0.05 * exact[-1].norm()


@pytest.mark.parametrize(
    ("width", "occlusion", "parameters"), [(1.0, True, 6_362_092), (1.0, False, 3_682_155), (0.5, False, 1_029_723)]
)
def test_parameters_are_as_many_as_it_says(width: float, occlusion: bool, parameters: int) -> None:
    with torch.device("meta"):
        network = IRRPWCNetwork(width=width, occlusion=occlusion)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_flow_on_its_way_is_scaled_once_unless_asked() -> None:
    """With biases of zero a still pair of flat frames has no flow; a bias on the flow head tells the factors apart."""
    network = IRRPWCNetwork(width=0.25)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    head = network.flow_estimators.conv_last[0]
    torch.nn.init.constant_(head.bias, 1.0)  # one pixel of every level, at every level
    frames = torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        once = [float(level.mean()) for level in network.levels(frames, frames)]
        network.rescaled_twice = True
        twice = [float(level.mean()) for level in network.levels(frames, frames)]
    assert once == pytest.approx([64, 96, 112, 120, 124, 124])
    assert twice[0] == pytest.approx(64 * 0.05 * 64)


def test_saved_weights_come_back_and_serve_as_a_frozen_estimator(
    narrow: IRRPWCNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow.save_pretrained(tmp_path / "irr_pwc_narrow")
    again = load_pretrained(tmp_path / "irr_pwc_narrow")
    assert isinstance(again, IRRPWCNetwork)
    frames = torch.rand(2, 1, 3, 70, 90)
    monkeypatch.setattr(released, "RELEASED_DIR", tmp_path)
    with torch.inference_mode():
        expected = narrow(*frames)
        assert torch.equal(again(*frames), expected)
        for weights in (tmp_path / "irr_pwc_narrow", "irr_pwc_narrow"):
            estimator = IRRPWC(weights=weights, max_pairs=2)
            assert torch.equal(estimator.estimate(*frames), expected)
            assert not any(parameter.requires_grad for parameter in estimator.parameters())
            assert not estimator.training
            assert estimator.max_pairs == 2


def test_occlusion_is_not_asked_of_weights_without(narrow: IRRPWCNetwork, tmp_path: Path) -> None:
    narrow.save_pretrained(tmp_path / "saved")
    with pytest.raises(ValueError, match="were trained without occlusion; set occlusion=false"):
        IRRPWC(weights=tmp_path / "saved", occlusion=True)


def test_what_makes_no_sense_is_refused(narrow: IRRPWCNetwork) -> None:
    with pytest.raises(ValueError, match="frames of 100x64: training wants sides that are multiples of 64"):
        narrow.levels(*torch.rand(2, 1, 3, 64, 100))
    with pytest.raises(ValueError, match="width=0: expected more than 0"):
        IRRPWCNetwork(width=0)
    with pytest.raises(ValueError, match="max_pairs=0"):
        IRRPWCNetwork(max_pairs=0)
