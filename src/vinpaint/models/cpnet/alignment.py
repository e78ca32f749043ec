"""The affine map that lays a reference frame over a target."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vinpaint.models.cpnet.blocks import ConvBlock, ImageNetModule, initialise_he


class AffineEncoder(ImageNetModule):
    """Turns a frame into the features that are compared to align it.

    Args:
        channels: channels of the first layer; the features have four times as many.
        size: side in pixels of the square to which every frame is resized first, bilinear.

    Source: Copy-and-Paste Networks (arXiv:1908.11587), released code. 1,740,160 parameters with the defaults.
    """

    def __init__(self, *, channels: int = 64, size: int = 224) -> None:
        super().__init__()
        self.size = size
        c = channels
        self.conv12 = ConvBlock(4, c, kernel_size=5, stride=2)
        self.conv2 = ConvBlock(c, c)
        self.conv23 = ConvBlock(c, 2 * c, stride=2)
        self.conv3 = ConvBlock(2 * c, 2 * c)
        self.conv34 = ConvBlock(2 * c, 4 * c, stride=2)
        self.conv4a = ConvBlock(4 * c, 4 * c)
        self.conv4b = ConvBlock(4 * c, 4 * c)
        initialise_he(self)

    def forward(self, frames: Tensor, holes: Tensor) -> Tensor:
        """Encode frames, each on its own.

        Args:
            frames: ``(N, 3, H, W)`` RGB in [0, 1], holes already hidden.
            holes: ``(N, 1, H, W)`` in {0, 1}, 1 = hole.

        Returns:
            ``(N, 4 channels, size / 8, size / 8)``.
        """
        images = F.interpolate(
            self.normalised(frames, holes), (self.size, self.size), mode="bilinear", align_corners=False
        )
        features: Tensor = self.conv2(self.conv12(self.to_weights(images)))
        features = self.conv3(self.conv23(features))
        features = self.conv4b(self.conv4a(self.conv34(features)))
        return features


class AffineRegressor(nn.Module):
    """Tells the affine map between two frames from their features; the identity before any training.

    Args:
        channels: that of the :class:`AffineEncoder`.
        share_conv5: the released code runs ``conv5a`` and ``conv5b`` twice where ``conv6a`` and ``conv6b`` were meant,
            so that those two never took part in training; they are kept because checkpoints hold them. True does so and
            is what released weights need; False uses all layers.

    Source: Copy-and-Paste Networks (arXiv:1908.11587), released code. 14,161,926 parameters with the defaults,
    4,719,616 of them in the two unused layers.
    """

    def __init__(self, *, channels: int = 64, share_conv5: bool = True) -> None:
        super().__init__()
        self.share_conv5 = share_conv5
        width = 8 * channels
        self.conv45 = ConvBlock(width, width, stride=2)
        self.conv5a = ConvBlock(width, width)
        self.conv5b = ConvBlock(width, width)
        self.conv56 = ConvBlock(width, width, stride=2)
        self.conv6a = ConvBlock(width, width)
        self.conv6b = ConvBlock(width, width)
        initialise_he(self)
        self.fc = nn.Linear(width, 6)
        nn.init.zeros_(self.fc.weight)
        with torch.no_grad():
            self.fc.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))
        if share_conv5:  # data-parallel training and weight decay leave them alone
            self.conv6a.requires_grad_(False)
            self.conv6b.requires_grad_(False)

    def forward(self, target: Tensor, reference: Tensor) -> Tensor:
        """Estimate where each pixel of the target lies in the reference.

        Args:
            target: features of the targets, ``(B, C, h, w)``.
            reference: features of their references, ``(B R, C, h, w)``, those of a target one after the other.

        Returns:
            ``(B R, 2, 3)`` float32, from normalised coordinates of the target to those of the reference.
        """
        features = self._side_by_side(target, reference)
        features = self.conv56(self.conv5b(self.conv5a(features)))
        features = self.conv5b(self.conv5a(features)) if self.share_conv5 else self.conv6b(self.conv6a(features))
        # half precision would place pixels of a wide frame wrongly
        with torch.autocast(features.device.type, enabled=False):
            pooled = features.float().mean(dim=(-2, -1))
            theta = F.linear(pooled, self.fc.weight.float(), self.fc.bias.float())
        return theta.view(-1, 2, 3)

    def _side_by_side(self, target: Tensor, reference: Tensor) -> Tensor:
        """The first layer on both features side by side; its share of a target is computed once."""
        layer = self.conv45.conv[0]
        assert isinstance(layer, nn.Conv2d)
        of_target, of_reference = torch.split(layer.weight, target.shape[1], dim=1)
        first = F.conv2d(target, of_target, layer.bias, layer.stride, layer.padding)
        second = F.conv2d(reference, of_reference, None, layer.stride, layer.padding)
        return F.relu(second + first.repeat_interleave(reference.shape[0] // target.shape[0], dim=0))
