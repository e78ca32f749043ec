"""Copying features from aligned references and pasting them into the target."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vinpaint.models.cpnet.blocks import ConvBlock, ImageNetModule, initialise_he
from vinpaint.ops.reference_attention import AttentionSum, attend, attended, visible_similarity
from vinpaint.ops.visibility import coarse_visibility


class CopyEncoder(ImageNetModule):
    """Turns a frame, the target or an aligned reference, into the features that are copied.

    Args:
        channels: channels of the first layer; the features have twice as many.

    Source: Copy-and-Paste Networks (arXiv:1908.11587), released code. 412,416 parameters with the default.
    """

    def __init__(self, *, channels: int = 64) -> None:
        super().__init__()
        c = channels
        self.conv12 = ConvBlock(4, c, kernel_size=5, stride=2)
        self.conv2 = ConvBlock(c, c)
        self.conv23 = ConvBlock(c, 2 * c, stride=2)
        self.conv3 = ConvBlock(2 * c, 2 * c)
        self.value3 = ConvBlock(2 * c, 2 * c, activate=False)
        initialise_he(self)

    def forward(self, frames: Tensor, maps: Tensor) -> Tensor:
        """Encode frames, each on its own.

        Args:
            frames: ``(N, 3, H, W)`` RGB in [0, 1].
            maps: ``(N, 1, H, W)`` in {0, 1}: the holes of the frames.

        Returns:
            ``(N, 2 channels, H / 4, W / 4)``, sizes rounded up.
        """
        features: Tensor = self.conv2(self.conv12(self.to_weights(self.normalised(frames, maps))))
        features = self.value3(self.conv3(self.conv23(features)))
        return features


class ContextMatching(nn.Module):
    """Averages the features of the references, weighted by how well each reference as a whole fits the target.

    It has no parameters. References come in any number of portions, so that memory need not grow with them.

    Args:
        legacy_softmax: see :func:`vinpaint.ops.reference_attention.masked_softmax`; True as released.

    Source: Copy-and-Paste Networks (arXiv:1908.11587), released code.
    """

    def __init__(self, *, legacy_softmax: bool = False) -> None:
        super().__init__()
        self.legacy_softmax = legacy_softmax

    def gather(
        self,
        gathered: AttentionSum | None,
        target: Tensor,
        target_known: Tensor,
        references: Tensor,
        references_visible: Tensor,
    ) -> AttentionSum:
        """Add a portion of references.

        Args:
            gathered: what the portion before gave; None for the first.
            target: features of the target, ``(B, C, h, w)``.
            target_known: ``(B, 1, H, W)`` in {0, 1}, 0 in its hole.
            references: features of aligned references, ``(B, R, C, h, w)``.
            references_visible: ``(B, R, 1, H, W)`` in {0, 1}.

        Returns:
            The sum so far, for the next portion or :meth:`forward`.
        """
        logits, visible = self.match(target, target_known, references, references_visible)
        return attend(gathered, references, logits, visible, legacy=self.legacy_softmax)

    def match(
        self, target: Tensor, target_known: Tensor, references: Tensor, references_visible: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compare references with the target; the arguments are those of :meth:`gather`.

        Returns:
            Similarities ``(B, R)``, the logits of the attention, and where each reference is visible on the grid of the
            features, ``(B, R, 1, h, w)`` in {0, 1}.
        """
        size = (target.shape[-2], target.shape[-1])
        known = coarse_visibility(target_known, size)
        visible = torch.unflatten(coarse_visibility(references_visible.flatten(0, 1), size), 0, references.shape[:2])
        return visible_similarity(target, references, visible * known.unsqueeze(1)), visible

    def forward(self, target: Tensor, gathered: AttentionSum | None) -> Tensor:
        """Lay out what the paste decoder reads.

        Args:
            target: features of the target, ``(B, C, h, w)``.
            gathered: of :meth:`gather`; None where there is no reference at all.

        Returns:
            ``(B, 2 C + 1, h, w)``: the target's features, the references' average, and 1 where no reference is visible.
        """
        if gathered is None:
            return torch.cat([target, torch.zeros_like(target), torch.ones_like(target[:, :1])], dim=1)
        average, covered = attended(gathered, legacy=self.legacy_softmax)
        return torch.cat([target, average.to(target.dtype), (1 - covered).to(target.dtype)], dim=1)


class PasteTrunk(ImageNetModule):
    """The first layers of a paste decoder, which see far enough to invent what no reference shows.

    Args:
        channels: channels of the features that are copied, ``C``.
    """

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        wide = 2 * channels + 1
        self.conv4 = ConvBlock(wide, wide)
        self.conv5_1 = ConvBlock(wide, wide)
        self.conv5_2 = ConvBlock(wide, wide)
        self.convA4_1 = ConvBlock(wide, wide, dilation=2)
        self.convA4_2 = ConvBlock(wide, wide, dilation=4)
        self.convA4_3 = ConvBlock(wide, wide, dilation=8)
        self.convA4_4 = ConvBlock(wide, wide, dilation=16)
        self.conv3c = ConvBlock(wide, wide)
        self.conv3b = ConvBlock(wide, channels)

    def trunk(self, features: Tensor) -> Tensor:
        """Map what :class:`ContextMatching` lays out, ``(B, 2 C + 1, h, w)``, to ``(B, C, h, w)``."""
        features = self.conv5_2(self.conv5_1(self.conv4(self.to_weights(features))))
        features = self.convA4_4(self.convA4_3(self.convA4_2(self.convA4_1(features))))
        features = self.conv3b(self.conv3c(features))
        return features


class PasteDecoder(PasteTrunk):
    """Turns copied features into the completed frame, inventing what no reference has seen.

    Args:
        channels: that of the :class:`CopyEncoder`.

    Source: Copy-and-Paste Networks (arXiv:1908.11587), released code. 5,316,883 parameters with the default.
    """

    def __init__(self, *, channels: int = 64) -> None:
        super().__init__(channels=2 * channels)
        c = channels
        self.conv3a = ConvBlock(2 * c, 2 * c)
        self.conv32 = ConvBlock(2 * c, c)
        self.conv2 = ConvBlock(c, c)
        self.conv21 = ConvBlock(c, 3, kernel_size=5, activate=False)

    def forward(self, features: Tensor) -> Tensor:
        """Decode features.

        Args:
            features: of :class:`ContextMatching`, ``(B, 4 channels + 1, h, w)``.

        Returns:
            ``(B, 3, 4 h, 4 w)`` float32 RGB, meant for [0, 1] but not held to it.
        """
        features = self.conv3a(self.trunk(features))
        features = self.conv32(F.interpolate(features, scale_factor=2, mode="nearest"))
        features = self.conv21(F.interpolate(self.conv2(features), scale_factor=2, mode="nearest"))
        return features.float() * self.std.float() + self.mean.float()
