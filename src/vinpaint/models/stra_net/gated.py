"""Light-weight gated convolutions."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vinpaint.models.convolution import DilatedConv2d


class GatedConv(nn.Module):
    """A 3x3 convolution whose every value is let through by a gate that a 1x1 convolution computes.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        dilation: cells between two taps.
        upsample: whether the features are brought to twice their size first, bilinear.

    Source: HiFill (arXiv:2005.09704), released code: what the paper calls depth-separable gates are pointwise ones.
    Weights start with a standard deviation that is the released 0.05 at 128 channels and keeps the scale of features in
    narrower networks.
    """

    def __init__(self, in_channels: int, out_channels: int, *, dilation: int = 1, upsample: bool = False) -> None:
        super().__init__()
        self.upsample = upsample
        self.feature = DilatedConv2d(in_channels, out_channels, 3, padding=dilation, dilation=dilation)
        self.gate = nn.Conv2d(in_channels, out_channels, 1)
        std = 0.05 * math.sqrt(128 / in_channels)
        for layer in (self.feature, self.gate):
            nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``(N, C, h, w)`` to ``(N, C', h, w)``, or ``(N, C', 2h, 2w)`` where it upsamples."""
        if self.upsample:
            features = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
        return F.elu(self.feature(features)) * torch.sigmoid(self.gate(features))
