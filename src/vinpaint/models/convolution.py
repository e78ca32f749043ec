"""The convolution of wide networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vinpaint.ops.winograd import TAPS, winograd_convolution

_LEAST_CHANNELS = 96
"""Channels in and out from which transforms cost less than they save."""

_MOST_DILATION = 2
"""Dilation beyond which an image falls into parts that are too small to be cut into tiles."""


class WideConv2d(nn.Conv2d):
    """A 3x3 convolution padded to keep the size, faster on a CPU where no gradient is wanted.

    There :func:`vinpaint.ops.winograd.winograd_convolution` takes its place in float32. Elsewhere it is torch's.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        dilation: places from tap to tap.
    """

    def __init__(self, in_channels: int, out_channels: int, *, dilation: int = 1) -> None:
        super().__init__(in_channels, out_channels, TAPS, padding=dilation, dilation=dilation)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, C', H, W)``."""
        if (
            min(self.in_channels, self.out_channels) < _LEAST_CHANNELS
            or self.dilation[0] > _MOST_DILATION
            or images.device.type != "cpu"
            or {images.dtype, self.weight.dtype} != {torch.float32}
            or (torch.is_grad_enabled() and (images.requires_grad or self.weight.requires_grad))
            or torch.is_autocast_enabled("cpu")
            or torch.compiler.is_compiling()
        ):
            return super().forward(images)
        return winograd_convolution(images, self.weight, self.bias, dilation=self.dilation[0])
