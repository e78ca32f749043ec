"""The image encoder of both aggregations."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from vinpaint.models.cpnet.blocks import ConvBlock, ImageNetModule, initialise_he

SCALES = (2, 4, 8)
"""Pixels of a frame per cell of each feature map of :class:`ImageEncoder`, fine to coarse."""


class ImageEncoder(ImageNetModule):
    """Turns an image and a map into features at a half, a quarter and an eighth of its size.

    Args:
        channels: channels of the first layer; the features have two, four and four times as many.

    Source: STRA-Net (BMVC 2021), figure 3: convolutions and maximum pooling. The paper gives no widths; these cost as
    much as CPNet's encoder. 575,264 parameters with the default.
    """

    def __init__(self, *, channels: int = 32) -> None:
        super().__init__()
        c = channels
        self.channels = (2 * c, 4 * c, 4 * c)
        self.conv1 = ConvBlock(4, c, kernel_size=5)
        self.conv2a = ConvBlock(c, 2 * c)
        self.conv2b = ConvBlock(2 * c, 2 * c)
        self.conv4a = ConvBlock(2 * c, 4 * c)
        self.conv4b = ConvBlock(4 * c, 4 * c)
        self.conv8a = ConvBlock(4 * c, 4 * c)
        self.conv8b = ConvBlock(4 * c, 4 * c, activate=False)
        initialise_he(self)

    def forward(self, frames: Tensor, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode images, each on its own.

        Args:
            frames: ``(N, 3, H, W)`` RGB in [0, 1]; both sides divide by 8.
            maps: ``(N, 1, H, W)`` in {0, 1}: holes.

        Returns:
            Features ``(N, 2 channels, H / 2, W / 2)``, ``(N, 4 channels, H / 4, W / 4)`` and
            ``(N, 4 channels, H / 8, W / 8)``.
        """
        features: Tensor = self.conv1(self.to_weights(self.normalised(frames, maps)))
        half: Tensor = self.conv2b(self.conv2a(F.max_pool2d(features, 2)))
        quarter: Tensor = self.conv4b(self.conv4a(F.max_pool2d(half, 2)))
        eighth: Tensor = self.conv8b(self.conv8a(F.max_pool2d(quarter, 2)))
        return half, quarter, eighth
