"""The convolution of wide networks is torch's, however it is computed."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vinpaint.models import convolution
from vinpaint.models.convolution import DilatedConv2d, WideConv2d

DTYPES = (torch.float32, torch.bfloat16)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The dilation of every convolution that goes through transforms."""
    made: list[int] = []
    original = convolution.winograd_convolution

    def recorded(*arguments: Any, dilation: int) -> Tensor:
        made.append(dilation)
        return original(*arguments, dilation=dilation)

    monkeypatch.setattr(convolution, "winograd_convolution", recorded)
    return made


def plain(layer: WideConv2d) -> nn.Conv2d:
    same = nn.Conv2d(layer.in_channels, layer.out_channels, 3, padding=layer.padding, dilation=layer.dilation)  # type: ignore[arg-type]
    same.load_state_dict(layer.state_dict())
    return same


@pytest.mark.parametrize("dilation", [1, 2])
@torch.no_grad()
def test_it_gives_what_torch_gives(calls: list[int], dilation: int) -> None:
    layer = WideConv2d(96, 128, dilation=dilation)
    images = torch.randn(2, 96, 15, 22)
    torch.testing.assert_close(layer(images), plain(layer)(images), rtol=0, atol=1e-5)
    assert calls == [dilation]


@torch.no_grad()
@pytest.mark.parametrize(("channels", "dilation"), [((96, 64), 1), ((3, 256), 1), ((96, 96), 4)])
def test_transforms_are_left_where_they_do_not_pay(calls: list[int], channels: tuple[int, int], dilation: int) -> None:
    layer = WideConv2d(*channels, dilation=dilation)
    images = torch.randn(1, channels[0], 8, 8)
    torch.testing.assert_close(layer(images), plain(layer)(images), rtol=0, atol=0)
    assert not calls


def test_gradients_are_those_of_torch(calls: list[int]) -> None:
    layer = WideConv2d(96, 96)
    images = torch.randn(1, 96, 6, 6)
    layer(images).square().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().sum() > 0
    frozen = layer.requires_grad_(False)
    frozen(images.requires_grad_()).square().sum().backward()
    assert images.grad is not None
    assert not calls
    frozen(images.detach())
    assert calls == [1]


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_types_are_left_to_torch(calls: list[int], dtype: torch.dtype) -> None:
    WideConv2d(96, 96).to(dtype)(torch.randn(1, 96, 6, 6, dtype=dtype))
    assert not calls


@torch.no_grad()
@pytest.mark.parametrize("casting", [True, False])
def test_autocast_is_obeyed(calls: list[int], casting: bool) -> None:
    with torch.autocast("cpu", torch.bfloat16) if casting else nullcontext():
        made = WideConv2d(96, 96)(torch.randn(1, 96, 6, 6))
    assert made.dtype == (torch.bfloat16 if casting else torch.float32)
    assert bool(calls) is not casting


@pytest.mark.parametrize("autocast", [True, False], ids=["autocast", "bf16 throughout"])
@pytest.mark.parametrize(("channels", "dilation"), [(24, 2), (65, 4), (257, 8), (64, 2)])
def test_weights_of_dilated_convolutions_have_sound_gradients_in_bf16(
    channels: int, dilation: int, autocast: bool
) -> None:
    torch.manual_seed(0)
    exact = nn.Conv2d(channels, 32, 3, padding=dilation, dilation=dilation)
    layer = DilatedConv2d(channels, 32, 3, padding=dilation, dilation=dilation)
    layer.load_state_dict(exact.state_dict())
    images = torch.randn(2, channels, 20, 36).to(memory_format=torch.channels_last)
    wanted = torch.randn(2, 32, 20, 36)
    (exact(images) * wanted).sum().backward()
    for _ in range(3):  # memory that somebody used before: what is not written to is seen
        layer.zero_grad()
        used = [torch.full((size,), 1e30, dtype=dtype) for size in (30_000, 70_000, 300_000) for dtype in DTYPES]
        del used
        if not autocast:
            layer, images = layer.bfloat16(), images.bfloat16()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            made = layer(images)
        assert made.dtype == torch.bfloat16
        (made * wanted.bfloat16()).sum().backward()
        for got, true in ((layer.weight.grad, exact.weight.grad), (layer.bias.grad, exact.bias.grad)):
            assert (got.float() - true).norm() < 0.02 * true.norm()


@pytest.mark.parametrize("wanted", ["without gradients", "frozen", "float32", "whole blocks", "not dilated"])
def test_dilated_convolutions_are_those_of_torch_where_its_gradient_is_sound(wanted: str) -> None:
    channels, dilation = (32 if wanted == "whole blocks" else 33), (1 if wanted == "not dilated" else 2)
    layer = DilatedConv2d(channels, 8, 3, padding=dilation, dilation=dilation)
    same = nn.Conv2d(channels, 8, 3, padding=dilation, dilation=dilation)
    same.load_state_dict(layer.state_dict())
    layer.weight.requires_grad_(wanted != "frozen")
    images = torch.randn(1, channels, 9, 7)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=wanted != "float32")
    with torch.set_grad_enabled(wanted != "without gradients"), autocast:
        assert torch.equal(layer(images), same(images))
