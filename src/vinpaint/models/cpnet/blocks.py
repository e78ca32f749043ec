"""What the parts of the copy-and-paste network are built of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vinpaint.models.convolution import DilatedConv2d

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ConvBlock(nn.Module):
    """A convolution that keeps the size (or divides it by its stride), and a ReLU.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        kernel_size: odd side of the kernel.
        stride: cells of the input per cell of the output.
        dilation: cells between two taps.
        activate: whether a ReLU follows.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        activate: bool = True,
    ) -> None:
        super().__init__()
        padding = dilation * (kernel_size - 1) // 2
        layers: list[nn.Module] = [
            DilatedConv2d(in_channels, out_channels, kernel_size, stride=stride, padding=padding, dilation=dilation)
        ]
        if activate:
            layers.append(nn.ReLU(inplace=True))
        self.conv = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, C', H / stride, W / stride)``, sizes rounded up."""
        output: Tensor = self.conv(features)
        return output


class ImageNetModule(nn.Module):
    """A part that reads or makes images normalised by the statistics of ImageNet, which its weights carry along."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    def normalised(self, frames: Tensor, maps: Tensor) -> Tensor:
        """Put frames ``(N, 3, H, W)`` in [0, 1] and maps ``(N, 1, H, W)`` side by side: ``(N, 4, H, W)``."""
        return torch.cat([(frames - self.mean.to(frames.dtype)) / self.std.to(frames.dtype), maps], dim=1)

    def to_weights(self, images: Tensor) -> Tensor:
        """Give images the type of the weights, in channels-last memory."""
        dtype = next(self.parameters()).dtype
        return images.to(dtype).contiguous(memory_format=torch.channels_last)


def initialise_he(module: nn.Module) -> None:
    """Draw the weights of all convolutions as He et al. do (fan out), in place; biases stay as they are."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
