"""STTN's decoder, for whole frames or for a region of them."""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from vinpaint.models.convolution import WideConv2d
from vinpaint.ops.region import Region, doubled

Size = tuple[int, int]


class UpConv(nn.Module):
    """Twice the size by bilinear interpolation, then a 3x3 convolution.

    Args:
        in_channels: channels in.
        out_channels: channels out.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = WideConv2d(in_channels, out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``(N, C, h, w)`` to ``(N, C', 2h, 2w)``."""
        output: Tensor = self.conv(F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=True))
        return output


class Decoder(nn.Sequential):
    """Features to frames four times their size.

    Args:
        channels: channels of the features; they divide by 4.
    """

    def __init__(self, channels: int) -> None:
        half, quarter = channels // 2, channels // 4
        super().__init__(
            UpConv(channels, half),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(half, quarter, 3, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            UpConv(quarter, quarter),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(quarter, 3, 3, padding=1),
        )

    def reads(self, region: Region, size: Size) -> Region:
        """The region of features of ``size`` (height, width) that a region of the frame is made of."""
        return self._read(region, size)[0][0]

    def decode_region(self, features: Tensor, region: Region, size: Size) -> Tensor:
        """Decode a region of the frame.

        Args:
            features: ``(N, C, h, w)`` that cover ``reads(region, size)``.
            region: of the frame, pixels.
            size: (height, width) of whole features.

        Returns:
            ``(N, 3, bottom - top, right - left)``, what the whole frame would hold there.
        """
        reads = self._read(region, size)
        for layer, (covered, whole), (wanted, _) in zip(self, reads, [*reads[1:], (region, size)], strict=True):
            if isinstance(layer, UpConv):
                around = wanted.grown(1, (2 * whole[0], 2 * whole[1]))
                features = wanted.of(layer.conv(doubled(features, around, whole)), around)
            elif isinstance(layer, nn.Conv2d):
                # padding is wrong at the sides that are none of the frame's: they are cut off
                features = wanted.of(layer(features), covered)
            else:
                features = cast(Tensor, layer(features))
        return features

    def _read(self, region: Region, size: Size) -> list[tuple[Region, Size]]:
        """What each layer reads for a region of the frame, first to last, and how large its whole input is."""
        scale, reads = 4, []
        for layer in reversed(self):
            if isinstance(layer, UpConv):
                around = region.grown(1, (scale * size[0], scale * size[1]))
                scale //= 2
                region = around.halved((scale * size[0], scale * size[1]))
            elif isinstance(layer, nn.Conv2d):
                region = region.grown(1, (scale * size[0], scale * size[1]))
            reads.append((region, (scale * size[0], scale * size[1])))
        return reads[::-1]
