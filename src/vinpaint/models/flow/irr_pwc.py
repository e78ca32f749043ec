"""IRR-PWC: optical flow and occlusion by one decoder that refines itself from level to level."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vinpaint.errors import UserError
from vinpaint.models.flow.irr_levels import FLOW_UNIT, Described, resize, to_global, to_local, warp
from vinpaint.models.flow.irr_modules import (
    BilateralRefinement,
    ContextNetwork,
    DenseEstimator,
    FeaturePyramid,
    OcclusionUpsampling,
    conv,
)
from vinpaint.models.pretrained import load_weights
from vinpaint.models.untrained import RANDOM_WEIGHTS, seeded
from vinpaint.ops.correlation import local_correlation

STRIDE = 64
"""Sides of a frame divide by this inside the network; other sizes are resized and the flow rescaled back."""

RADIUS = 4
LEVELS = 5

FETCH = (
    "fetch saved_check_point/pwcnet/IRR-PWC_things3d/checkpoint_best.ckpt of https://github.com/visinf/irr, or "
    "irr_pwc-things-c143e848.ckpt of https://github.com/hmorimitsu/ptlflow/releases/tag/weights1"
)

_CHANNELS = (3, 16, 32, 64, 96, 128, 196)
_COST = (2 * RADIUS + 1) ** 2
_DETAIL = 32


class Flows(NamedTuple):
    """What moves where between two sets of frames.

    Attributes:
        forward: pixels of the first to their place in the second, ``(N, 2, H, W)`` px, channel 0 = x.
        backward: pixels of the second to their place in the first.
        forward_occlusion: logits that a pixel of the first is hidden in the second, ``(N, 1, H, W)``; None unless the
            network estimates occlusion.
        backward_occlusion: logits that a pixel of the second is hidden in the first.
    """

    forward: Tensor
    backward: Tensor
    forward_occlusion: Tensor | None
    backward_occlusion: Tensor | None


class IRRPWC(nn.Module):
    """Iterative residual refinement of PWC-Net: 6,362,092 parameters, frozen.

    One decoder serves all five levels and both directions, which go through it as one batch. Occlusion never feeds
    back into flow, so without it the flow is the same at 42 % of the multiplications. Everything is float32, whatever
    autocast says: half-precision grids are off by whole pixels.

    Args:
        weights: a published checkpoint (visinf/irr or ptlflow), or weights saved from here; ``"random"`` leaves the
            network as initialised, which is of use to tests alone. None is an error that says what to fetch.
        occlusion: also estimate which pixels are hidden in the other frame.
        max_pairs: pairs of frames estimated at a time in a sequence. More are no faster on a CPU, and cost 180 MiB per
            pair of 432x240, 2.5 GiB per pair of 1920x1080.

    Raises:
        UserError: if there are no weights.
        CheckpointError: if they do not fit.

    Source: Hur and Roth, arXiv:1904.05290, and its public code, whose names of weights are kept. We resize to
    multiples of 64 where it resizes level by level.
    """

    def __init__(self, *, weights: str | Path | None = None, occlusion: bool = False, max_pairs: int = 1) -> None:
        super().__init__()
        if weights is None:
            raise UserError(f"IRR-PWC needs weights=<file>: {FETCH}")
        if max_pairs < 1:
            raise UserError(f"max_pairs={max_pairs}: expected 1 or more")
        self.occlusion = occlusion
        self.max_pairs = max_pairs
        self.name = "irr_pwc" if str(weights) != RANDOM_WEIGHTS else "irr_pwc_random_weights"
        seeded(self._build)
        if str(weights) != RANDOM_WEIGHTS:
            if not Path(weights).expanduser().exists():
                raise UserError(f"IRR-PWC weights {weights}: no such file; {FETCH}, and give its path")
            load_weights(self, weights, source="irr_pwc")
        self.requires_grad_(False)
        self.eval()

    def _build(self) -> None:
        self.feature_pyramid_extractor = FeaturePyramid(_CHANNELS)
        self.conv_1x1 = nn.ModuleList(conv(channels, _DETAIL, 1) for channels in _CHANNELS[:2:-1])
        self.conv_1x1_1 = conv(_CHANNELS[1], 3, 1)
        hidden = DenseEstimator.hidden_channels
        self.flow_estimators = DenseEstimator(_COST + _DETAIL + 2, 2)
        self.context_networks = ContextNetwork(_COST + _DETAIL + 2 + hidden + 2, 2)
        self.occ_estimators = DenseEstimator(_COST + _DETAIL + 1, 1)
        self.occ_context_networks = ContextNetwork(_COST + _DETAIL + 1 + hidden + 1, 1)
        self.refine_flow = BilateralRefinement(2 + 1 + _DETAIL)
        self.refine_occ = BilateralRefinement(1 + 2 * _DETAIL)
        self.occ_shuffle_upsample = OcclusionUpsampling(1 + 3 + 3 + 2 + 2, 32)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Estimate where each pixel of ``source`` lies in ``target``.

        Args:
            source: frames ``(N, 3, H, W)`` RGB in [0, 1], any size.
            target: frames of the same shape.

        Returns:
            Flow ``(N, 2, H, W)`` float32 in pixels, channel 0 = x.
        """
        _check(source, target)
        size = source.shape[-2:]
        with torch.autocast(source.device.type, enabled=False):
            described = self._describe(torch.cat((source, target)))
            N = source.shape[0]
            flow, _ = self._decode(described.frames(None, N), described.frames(N, None), occlusion=False)
            return _to_size(flow, size)

    def estimate(self, first: Tensor, second: Tensor) -> Tensor:
        """Estimate flow from ``first`` to ``second``, see :meth:`forward`."""
        flow: Tensor = self(first, second)
        return flow

    def both(self, first: Tensor, second: Tensor) -> Flows:
        """Estimate flow in both directions, and occlusion if the network was built for it.

        Args:
            first: frames ``(N, 3, H, W)`` RGB in [0, 1], any size.
            second: frames of the same shape.

        Returns:
            Both flows in pixels, float32.
        """
        _check(first, second)
        with torch.autocast(first.device.type, enabled=False):
            described = self._describe(torch.cat((first, second)))
            N = first.shape[0]
            return self._both(described.frames(None, N), described.frames(N, None), first.shape[-2:])

    def sequence(self, frames: Tensor) -> Iterator[Flows]:
        """Estimate flow between all neighbours of a clip; what is computed of a frame alone is computed once.

        Args:
            frames: the clip ``(T, 3, H, W)`` RGB in [0, 1], any size.

        Yields:
            Flows of at most ``max_pairs`` neighbours at a time, in order: ``T - 1`` pairs in all, the first of each
            the earlier frame.
        """
        _check(frames, frames)
        last: Described | None = None
        for start in range(0, len(frames) - 1, self.max_pairs):
            stop = min(start + self.max_pairs + 1, len(frames))
            with torch.autocast(frames.device.type, enabled=False):
                described = self._describe(frames[start + (last is not None) : stop])
                if last is not None:
                    described = last.and_then(described)
                last = described.frames(-1, None)
                flows = self._both(described.frames(None, -1), described.frames(1, None), frames.shape[-2:])
            yield flows

    # ---------------------------------------------------------------- a frame alone

    def _describe(self, frames: Tensor) -> Described:
        frames = frames.float()
        H, W = (-(-side // STRIDE) * STRIDE for side in frames.shape[-2:])
        if frames.shape[-2:] != (H, W):
            frames = F.interpolate(frames, size=(H, W), mode="bilinear", align_corners=False)
        features = self.feature_pyramid_extractor(frames)
        details = [layer(level) for layer, level in zip(self.conv_1x1, features, strict=False)]
        details.append(features[LEVELS - 1])
        images = [resize(frames, level.shape[-2:]) for level in features[:LEVELS]]
        if self.occlusion:
            return Described(features, details, [*images, frames])
        return Described(features[:LEVELS], details, images)

    # ---------------------------------------------------------------- a pair of frames

    def _both(self, first: Described, second: Described, size: torch.Size) -> Flows:
        N = len(first.images[0])
        flow, occlusion = self._decode(first.and_then(second), second.and_then(first), occlusion=self.occlusion)
        flow = _to_size(flow, size)
        if occlusion is None:
            return Flows(flow[:N], flow[N:], None, None)
        if occlusion.shape[-2:] != size:
            occlusion = F.interpolate(occlusion, size=size, mode="bilinear", align_corners=False)
        return Flows(flow[:N], flow[N:], occlusion[:N], occlusion[N:])

    def _decode(self, source: Described, target: Described, *, occlusion: bool) -> tuple[Tensor, Tensor | None]:
        """Give flow in global units and logits of occlusion, at the size the network works at.

        With occlusion, the second half of the batch is the first with source and target exchanged.
        """
        coarsest = source.images[0]
        N, _, h, w = coarsest.shape
        H, W = h * STRIDE, w * STRIDE
        flow = coarsest.new_zeros(N, 2, h, w)
        hidden = coarsest.new_zeros(N, 1, h, w) if occlusion else None

        for level in range(LEVELS):
            features, detail, image = source.features[level], source.details[level], source.images[level]
            other_features, other_image = target.features[level], target.images[level]
            size, stride = (h << level, w << level), STRIDE / 2**level
            if level:
                flow = resize(flow, size)
                other_features = warp(other_features, flow, (H, W))
            cost = F.leaky_relu(local_correlation(features, other_features, radius=RADIUS), 0.1)

            local = to_local(flow, stride)
            seen, residual = self.flow_estimators(torch.cat((cost, detail, local), dim=1))
            local = local + residual
            local = local + self.context_networks(torch.cat((seen, local), dim=1))
            difference = image - warp(other_image, to_global(local, stride), (H, W))
            flow = self._refine_flow(local, difference, detail, stride)

            if hidden is not None:
                hidden = resize(hidden, size) if level else hidden
                seen, residual = self.occ_estimators(torch.cat((cost, detail, hidden), dim=1))
                hidden = hidden + residual
                hidden = hidden + self.occ_context_networks(torch.cat((seen, hidden), dim=1))
                unlike = detail - warp(target.details[level], flow, (H, W))
                hidden = self.refine_occ(hidden, torch.cat((hidden, detail, unlike), dim=1))

        for stride in (2, 1):
            flow = resize(flow, (H // stride, W // stride))
            if hidden is not None:
                hidden = self._upsample_occlusion(hidden, flow, source, target, stride)
        return flow, hidden

    def _refine_flow(self, flow: Tensor, difference: Tensor, detail: Tensor, stride: float) -> Tensor:
        """Smooth flow along the edges of the frame, and turn pixels of the level into global units, *twice*.

        The public code rescales in place where it warps the image, so that the refinement is given global units, and
        then rescales what comes out of it. The published weights were trained that way: the factor belongs to the
        network, and without it flow is wrong by tens of pixels.
        """
        flow = to_global(flow, stride)
        evidence = (flow - flow.mean(dim=(2, 3), keepdim=True), difference.norm(dim=1, keepdim=True), detail)
        refined: Tensor = self.refine_flow(flow, torch.cat(evidence, dim=1))
        return to_global(refined, stride)

    def _upsample_occlusion(
        self, occlusion: Tensor, flow: Tensor, source: Described, target: Described, stride: int
    ) -> Tensor:
        frame_size = source.images[-1].shape[-2], source.images[-1].shape[-1]
        if stride == 1:
            own, other = source.images[-1], warp(target.images[-1], flow, frame_size)
        else:
            own = self.conv_1x1_1(source.features[-1])
            other = self.conv_1x1_1(warp(target.features[-1], flow, frame_size))
        returned = warp(flow.roll(len(flow) // 2, dims=0), flow, frame_size)
        logits: Tensor = self.occ_shuffle_upsample(occlusion, torch.cat((own, other, flow, returned), dim=1))
        return logits


def _to_size(flow: Tensor, size: torch.Size) -> Tensor:
    """Turn flow in global units at the working size into pixels of a frame of ``size``."""
    h, w = flow.shape[-2:]
    H, W = size
    flow = flow / FLOW_UNIT
    if (h, w) == (H, W):
        return flow
    flow = F.interpolate(flow, size=size, mode="bilinear", align_corners=False)
    return flow * flow.new_tensor([W / w, H / h])[:, None, None]


def _check(source: Tensor, target: Tensor) -> None:
    if source.ndim != 4 or source.shape[1] != 3 or source.shape != target.shape:
        raise UserError(
            f"frames {tuple(source.shape)} and {tuple(target.shape)}: expected two of one shape (N, 3, H, W)"
        )
