"""The parts of IRR-PWC, under the names that its published weights use."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vinpaint.models.convolution import DilatedConv2d

RESIDUAL_SCALE = 0.1
"""How much of each residual the upsampling of occlusion adds."""

_DILATIONS = (1, 2, 4, 8, 16, 1)


def conv(
    in_channels: int, out_channels: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1, linear: bool = False
) -> nn.Sequential:
    """Make a convolution that keeps the size (over its stride), rectified unless ``linear``."""
    padding = (kernel - 1) * dilation // 2
    layer = DilatedConv2d(in_channels, out_channels, kernel, stride=stride, padding=padding, dilation=dilation)
    return nn.Sequential(layer) if linear else nn.Sequential(layer, nn.LeakyReLU(0.1, inplace=True))


class FeaturePyramid(nn.Module):
    """Features of a frame at strides 2 to 64.

    Args:
        channels: channels of the frame and of each stride.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Sequential(conv(before, after, stride=2), conv(after, after)) for before, after in pairwise(channels)
        )

    def forward(self, frames: Tensor) -> list[Tensor]:
        """Describe frames ``(N, 3, H, W)`` in [0, 1]: features from the coarsest to the finest."""
        features = []
        for layers in self.convs:
            frames = layers(frames)
            features.append(frames)
        return features[::-1]


class DenseEstimator(nn.Module):
    """Five convolutions, each seeing all before it, and a linear one on top.

    Args:
        in_channels: channels in.
        out_channels: channels of the estimate: 2 for flow, 1 for occlusion.
        channels: channels that each of the five adds.
    """

    def __init__(self, in_channels: int, out_channels: int, channels: Sequence[int] = (128, 128, 96, 64, 32)) -> None:
        super().__init__()
        self.hidden_channels = sum(channels)
        seen = [in_channels + sum(channels[:layer]) for layer in range(len(channels) + 1)]
        self.conv1, self.conv2, self.conv3, self.conv4, self.conv5 = map(conv, seen, channels)
        self.conv_last = conv(seen[-1], out_channels, linear=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give all features, newest first, ``(N, in + hidden_channels, h, w)``, and the estimate ``(N, out, h, w)``."""
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5):
            x = torch.cat((layer(x), x), dim=1)
        return x, self.conv_last(x)


class ContextNetwork(nn.Module):
    """Dilated convolutions that correct an estimate from a wide surrounding.

    Args:
        in_channels: channels in.
        out_channels: channels of the correction.
        channels: channels of the six convolutions before the last.
    """

    def __init__(
        self, in_channels: int, out_channels: int, channels: Sequence[int] = (128, 128, 128, 96, 64, 32)
    ) -> None:
        super().__init__()
        steps = zip(pairwise((in_channels, *channels)), _DILATIONS, strict=True)
        layers = [conv(before, after, dilation=dilation) for (before, after), dilation in steps]
        self.convs = nn.Sequential(*layers, conv(channels[-1], out_channels, linear=True))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in, h, w)`` to the correction ``(N, out, h, w)``."""
        correction: Tensor = self.convs(x)
        return correction


class BilateralRefinement(nn.Module):
    """Replaces every value by a weighted mean of the 3x3 around it, with weights learned from the picture.

    Args:
        in_channels: channels of what the weights are computed from.
        channels: channels of the six convolutions before the last.
    """

    def __init__(self, in_channels: int, channels: Sequence[int] = (128, 128, 64, 64, 32, 32)) -> None:
        super().__init__()
        self.convs = nn.Sequential(*(conv(before, after) for before, after in pairwise((in_channels, *channels, 9))))

    def forward(self, values: Tensor, evidence: Tensor) -> Tensor:
        """Smooth ``values`` ``(N, C, h, w)`` by ``evidence`` ``(N, in, h, w)``."""
        N, C, h, w = values.shape
        weights = (-self.convs(evidence).square()).softmax(dim=1)
        neighbours = F.unfold(F.pad(values, (1, 1, 1, 1), mode="replicate"), 3).view(N, C, 9, h, w)
        refined: Tensor = (neighbours * weights.unsqueeze(1)).sum(dim=2)
        return refined


class OcclusionUpsampling(nn.Module):
    """Doubles the size of an occlusion map and sharpens it.

    Args:
        in_channels: channels of the map and of what sharpens it together.
        channels: channels inside.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.init_conv = conv(in_channels, channels)
        self.res_convs = nn.Sequential(conv(channels, channels), conv(channels, channels, linear=True))
        self.res_end_conv = conv(channels, channels)
        self.out_convs = conv(channels, 1)

    def forward(self, occlusion: Tensor, evidence: Tensor) -> Tensor:
        """Map logits ``(N, 1, h, w)`` and evidence ``(N, in - 1, H, W)`` to logits ``(N, 1, H, W)``."""
        occlusion = F.interpolate(occlusion, size=evidence.shape[-2:], mode="nearest")
        start = self.init_conv(torch.cat((occlusion, evidence), dim=1))
        x = start
        for _ in range(3):  # one set of weights, three times
            x = x + RESIDUAL_SCALE * self.res_convs(x)
        x = start + self.res_end_conv(x)
        logits: Tensor = self.out_convs(x) + occlusion
        return logits
