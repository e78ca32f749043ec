"""Convolutions: of wide networks, which are faster on a CPU, and dilated ones, whose gradients are sound there."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vinpaint.ops.winograd import TAPS, winograd_convolution

_LEAST_CHANNELS = 96
"""Channels in and out from which transforms cost less than they save."""

_MOST_DILATION = 2
"""Dilation beyond which an image falls into parts that are too small to be cut into tiles."""


_BLOCK = 16
"""Channels that the CPU takes at a time."""


class DilatedConv2d(nn.Conv2d):
    """torch's convolution, but for a gradient that torch gets wrong.

    In bfloat16 on a CPU, with channels last in memory, the gradient of a dilated convolution's weights is uninitialised
    memory for the last channels where their number does not divide by 16 (torch 2.13). Such a convolution is computed
    in float32 while gradients of its weights are wanted.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, C', H', W')``."""
        if not self._gradient_is_unsound(images):
            return super().forward(images)
        bias = None if self.bias is None else self.bias.float()
        with torch.autocast("cpu", enabled=False):
            convolved: Tensor = self._conv_forward(images.float(), self.weight.float(), bias)
        return convolved.to(torch.bfloat16)

    def _gradient_is_unsound(self, images: Tensor) -> bool:
        return (
            images.device.type == "cpu"
            and max(self.dilation) > 1
            and self.in_channels % _BLOCK != 0
            and torch.is_grad_enabled()
            and self.weight.requires_grad
            and _computed_in(images) == torch.bfloat16
        )


class WideConv2d(DilatedConv2d):
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


def _computed_in(images: Tensor) -> torch.dtype:
    """The type in which a convolution on a CPU computes."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else images.dtype
