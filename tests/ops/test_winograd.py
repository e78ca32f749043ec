"""Winograd's convolution against torch's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from vinpaint.ops.winograd import winograd_convolution


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 7), (13, 2), (30, 54)])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_it_is_a_convolution(size: tuple[int, int], dilation: int) -> None:
    images = torch.randn(3, 5, *size, dtype=torch.float64)
    weight, bias = torch.randn(7, 5, 3, 3, dtype=torch.float64), torch.randn(7, dtype=torch.float64)
    expected = F.conv2d(images, weight, bias, padding=dilation, dilation=dilation)
    completed = winograd_convolution(images, weight, bias, dilation=dilation)
    torch.testing.assert_close(completed, expected, rtol=0, atol=1e-12)


def test_more_tiles_than_are_made_at_a_time() -> None:
    images, weight = torch.randn(7, 2, 40, 72, dtype=torch.float64), torch.randn(3, 2, 3, 3, dtype=torch.float64)
    completed = winograd_convolution(images, weight)
    torch.testing.assert_close(completed, F.conv2d(images, weight, padding=1), rtol=0, atol=1e-12)


def test_its_error_is_that_of_the_plain_sum() -> None:
    images = torch.randn(1, 256, 24, 40).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(256, 256, 3, 3) / 48
    exact = F.conv2d(images.double(), weight.double(), padding=1)
    error = (winograd_convolution(images, weight) - exact).square().mean().sqrt()
    plain_error = (F.conv2d(images, weight, padding=1) - exact).square().mean().sqrt()
    assert error < 2 * plain_error
    assert error < 2e-6


def test_the_result_lies_in_channels_last_memory() -> None:
    completed = winograd_convolution(torch.randn(2, 4, 9, 6), torch.randn(8, 4, 3, 3))
    assert completed.shape == (2, 8, 9, 6)
    assert completed.is_contiguous(memory_format=torch.channels_last)
