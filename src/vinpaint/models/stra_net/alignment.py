"""References laid over their target: by a learned affine map, and along optical flow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vinpaint.models.cpnet.alignment import AffineEncoder, AffineRegressor
from vinpaint.models.cpnet.preparation import PreparedFrames
from vinpaint.models.stra_net.motion import Motion
from vinpaint.models.stra_net.temporal import Features
from vinpaint.ops.affine import affine_warp
from vinpaint.ops.lifting import lift_affine
from vinpaint.ops.visibility import visible_pixels
from vinpaint.ops.warp import backward_warp


class References(NamedTuple):
    """A portion of the references of a batch of targets; each may be aligned by an affine map, by flow, or by both.

    Attributes:
        prepared: ``(B, R, ...)``.
        features: for affine maps that the network estimates, of :meth:`STRANet.encode_alignment`, ``(B, R, C, h, w)``;
            None: not aligned so.
        motion: from the targets to the references, ``(B, R, ...)``; None: not aligned by flow.
        pyramid: of :meth:`STRANet.encode_copy`, ``(B, R, C, h, w)`` each, needed where ``align_domain`` is ``feature``.
        theta: affine maps that are known, ``(B, R, 2, 3)`` as in :class:`Placement`; none is estimated then.
    """

    prepared: PreparedFrames
    features: Tensor | None = None
    motion: Motion | None = None
    pyramid: Features | None = None
    theta: Tensor | None = None


class Placement(NamedTuple):
    """How references lie over their targets, by either kind of alignment.

    Attributes:
        theta: affine maps ``(B, R, 2, 3)`` from normalised coordinates of the target to those of the reference
            (``align_corners=True``, extended size); None for references that follow flow.
        motion: from the target to the reference, ``(B, R, ...)``; None for references that follow an affine map.
    """

    theta: Tensor | None
    motion: Motion | None

    def warp(self, images: Tensor, *, size: tuple[int, int]) -> Tensor:
        """Lay images, or features of a fraction of the size, over the targets; 0 outside.

        Args:
            images: ``(B, R, C, h, w)``.
            size: (height, width) of the frames, of which h and w are a fraction.

        Returns:
            ``(B, R, C, h, w)`` float32.
        """
        flat = images.flatten(0, 1).float()
        if self.theta is not None:
            theta = self.theta.flatten(0, 1)
            if images.shape[-2:] == size:
                warped = affine_warp(flat, theta, align_corners=True)
            else:
                warped = affine_warp(flat, lift_affine(theta, size), align_corners=False)
        else:
            assert self.motion is not None
            flow = self.motion.flow.flatten(0, 1)
            scale = size[1] // images.shape[-1]
            if scale > 1:
                flow = F.avg_pool2d(flow, scale) / scale  # the mean over a cell is the flow at its centre
            warped, _ = backward_warp(flat, flow)
        return torch.unflatten(warped, 0, images.shape[:2])

    def visible(self, known: Tensor) -> Tensor:
        """Tell where ``known`` pixels ``(B, R, 1, H, W)`` of the references lie: same shape, in {0, 1}."""
        warped = self.warp(known, size=(known.shape[-2], known.shape[-1]))
        seen = visible_pixels(warped)
        return seen if self.motion is None else seen * self.motion.valid


class Aligned(NamedTuple):
    """Candidates: references laid over their target by one kind of alignment.

    Attributes:
        placement: how they lie.
        frames: ``(B, R, 3, H', W')`` float32 RGB in [0, 1].
        visible: ``(B, R, 1, H', W')`` float32 in {0, 1}, 1 where the reference shows something known.
        logits: similarity to the target, the logits of the temporal attention: ``(B, R)`` float32, or
            ``(B, R, 1, H' / 8, W' / 8)`` where similarity is local.
    """

    placement: Placement
    frames: Tensor
    visible: Tensor
    logits: Tensor


class AffineAlignment(nn.Module):
    """The affine branch, that of CPNet.

    Args:
        channels: channels of the first layer of its encoder.
        size: side in pixels of the square in which frames are compared.
        share_conv5: see :class:`vinpaint.models.cpnet.AffineRegressor`.
    """

    def __init__(self, *, channels: int = 64, size: int = 224, share_conv5: bool = True) -> None:
        super().__init__()
        self.encoder = AffineEncoder(channels=channels, size=size)
        self.regressor = AffineRegressor(channels=channels, share_conv5=share_conv5)

    def encode(self, prepared: PreparedFrames) -> Tensor:
        """Turn frames ``(..., 3, H, W)`` into features ``(..., C, h, w)``."""
        features: Tensor = self.encoder(prepared.frames.flatten(0, -4), prepared.holes.flatten(0, -4))
        return features.reshape(*prepared.frames.shape[:-3], *features.shape[1:])

    def forward(self, target: Tensor, references: Tensor) -> Tensor:
        """Estimate the maps ``(B, R, 2, 3)`` from targets ``(B, C, h, w)`` to references ``(B, R, C, h, w)``."""
        theta = self.regressor(target, references.flatten(0, 1))
        return torch.unflatten(theta, 0, references.shape[:2])


def placements(
    branch: AffineAlignment | None, target_features: Tensor | None, portion: References, *, by_flow: bool
) -> Iterator[Placement]:
    """Lay a portion of references over their targets in every way that is wanted and that it has what it takes for.

    Args:
        branch: None: affine alignment is not wanted.
        target_features: of the targets, ``(B, C, h, w)``.
        portion: the references.
        by_flow: whether alignment by flow is wanted.
    """
    if portion.theta is not None:
        yield Placement(portion.theta, None)
    elif branch is not None and target_features is not None and portion.features is not None:
        yield Placement(branch(target_features, portion.features), None)
    if by_flow and portion.motion is not None:
        yield Placement(None, portion.motion)
