"""IRR-PWC: optical flow and occlusion by one decoder that refines itself from level to level."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from vinpaint.models.pretrained import CONFIG_FILE, PretrainedModel, load_weights, read_config
from vinpaint.models.released import released_folder
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

_PYRAMID = (16, 32, 64, 96, 128, 196)
_ESTIMATOR = (128, 128, 96, 64, 32)
_CONTEXT = (128, 128, 128, 96, 64, 32)
_REFINEMENT = (128, 128, 64, 64, 32, 32)
_DETAIL = 32
_COST = (2 * RADIUS + 1) ** 2


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


class IRRPWCNetwork(PretrainedModel):
    """Iterative residual refinement of PWC-Net, to be trained: 3,682,155 parameters, or 6,362,092 with occlusion.

    One decoder serves all five levels and both directions, which go through it as one batch. Occlusion never feeds
    back into flow, so without it the flow is the same at 42 % of the multiplications. What :meth:`forward`,
    :meth:`both` and :meth:`sequence` give has the type of the weights, float32, whatever autocast says; :meth:`levels`,
    which training prices, heeds autocast, but for flow and where it points: half-precision grids are off by whole
    pixels.

    Args:
        width: factor on the channels of every convolution, to the next multiple of 4. 0.5: 1,029,723 parameters.
        occlusion: also estimate which pixels are hidden in the other frame; there is no training for it here.
        rescaled_twice: turn refined flow from pixels of the level into the units that pass between levels once more
            than the units ask for, as the published weights want it. The decoder, which does not know its level, then
            has to multiply flow by another factor at each.
        max_pairs: pairs of frames estimated at a time in a sequence. More are no faster on a CPU, and cost 180 MiB per
            pair of 432x240, 2.5 GiB per pair of 1920x1080.

    Raises:
        UserError: if ``width`` is not positive, or there is no pair at a time.

    Source: Hur and Roth, arXiv:1904.05290, and its public code, whose names of weights and whose initialisation are
    kept. We resize to multiples of 64 where it resizes level by level.
    """

    def __init__(
        self, *, width: float = 1.0, occlusion: bool = False, rescaled_twice: bool = False, max_pairs: int = 1
    ) -> None:
        super().__init__()
        if width <= 0:
            raise UserError(f"width={width:g}: expected more than 0")
        if max_pairs < 1:
            raise UserError(f"max_pairs={max_pairs}: expected 1 or more")
        self.occlusion = occlusion
        self.rescaled_twice = rescaled_twice
        self.max_pairs = max_pairs
        pyramid, estimator, context, refinement, (detail,) = (
            _scaled(channels, width) for channels in (_PYRAMID, _ESTIMATOR, _CONTEXT, _REFINEMENT, (_DETAIL,))
        )
        seen = _COST + detail
        self.feature_pyramid_extractor = FeaturePyramid((3, *pyramid))
        self.conv_1x1 = nn.ModuleList(conv(channels, detail, 1) for channels in pyramid[:1:-1])
        self.flow_estimators = DenseEstimator(seen + 2, 2, estimator)
        self.context_networks = ContextNetwork(seen + 2 + sum(estimator) + 2, 2, context)
        self.refine_flow = BilateralRefinement(2 + 1 + detail, refinement)
        if occlusion:
            self.conv_1x1_1 = conv(pyramid[0], 3, 1)
            self.occ_estimators = DenseEstimator(seen + 1, 1, estimator)
            self.occ_context_networks = ContextNetwork(seen + 1 + sum(estimator) + 1, 1, context)
            self.refine_occ = BilateralRefinement(1 + 2 * detail, refinement)
            self.occ_shuffle_upsample = OcclusionUpsampling(1 + 3 + 3 + 2 + 2, detail)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

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

    def levels(self, first: Tensor, second: Tensor) -> list[Tensor]:
        """Estimate flow in both directions level by level, for training.

        Args:
            first: frames ``(N, 3, H, W)`` RGB in [0, 1]; sides are multiples of 64.
            second: frames of the same shape.

        Returns:
            Flow in pixels of the frame, float32, per level from stride 64 to 4 ``(2N, 2, h, w)``, and at last the flow
            that inference gives, ``(2N, 2, H, W)``: from the first to the second, then back.

        Raises:
            UserError: if the shapes differ or a side is no multiple of 64.
        """
        _check(first, second)
        H, W = first.shape[-2:]
        if H % STRIDE or W % STRIDE:
            raise UserError(f"frames of {W}x{H}: training wants sides that are multiples of {STRIDE}")
        N = len(first)
        described = self._describe(torch.cat((first, second)))
        one, other = described.frames(None, N), described.frames(N, None)
        refined: list[Tensor] = []
        flow, _ = self._decode(one.and_then(other), other.and_then(one), occlusion=False, refined=refined)
        return [level / FLOW_UNIT for level in (*refined, flow)]

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
        frames = frames.to(next(self.parameters()).dtype)
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

    def _decode(
        self, source: Described, target: Described, *, occlusion: bool, refined: list[Tensor] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Give flow in global units and logits of occlusion, at the size the network works at.

        With occlusion, the second half of the batch is the first with source and target exchanged. The flow of every
        level is put into ``refined``.
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
            seen, residual = self.flow_estimators(torch.cat((cost, detail, local.to(cost.dtype)), dim=1))
            local = local + residual
            local = local + self.context_networks(torch.cat((seen, local.to(seen.dtype)), dim=1))
            difference = image - warp(other_image, to_global(local, stride), (H, W))
            flow = self._refine_flow(local, difference, detail, stride)
            if refined is not None:
                refined.append(flow)

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
        """Smooth flow along the edges of the frame, and turn pixels of the level into global units.

        The public code rescales in place where it warps the image, so that the refinement is given global units, and
        then rescales what comes out of it. Weights that were trained that way need the factor twice, and without it
        their flow is wrong by tens of pixels.
        """
        flow = to_global(flow, stride)
        evidence = (flow - flow.mean(dim=(2, 3), keepdim=True), difference.norm(dim=1, keepdim=True))
        refined: Tensor = self.refine_flow(flow, torch.cat((*(part.to(detail.dtype) for part in evidence), detail), 1))
        return to_global(refined, stride) if self.rescaled_twice else refined

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


class IRRPWC(IRRPWCNetwork):
    """IRR-PWC with weights that exist, frozen.

    Args:
        weights: a published checkpoint (visinf/irr or ptlflow), a folder that ``save_pretrained`` wrote for an
            :class:`IRRPWCNetwork`, the name of one that comes with the library, or the weights file alone of a network
            of the published sizes; ``"random"`` leaves those sizes as initialised, which is of use to tests alone. None
            is an error that says what to fetch.
        occlusion: also estimate which pixels are hidden in the other frame.
        max_pairs: see :class:`IRRPWCNetwork`.

    Raises:
        UserError: if there are no weights, or occlusion is asked of a network that was trained without.
        CheckpointError: if they do not fit.
    """

    def __init__(self, *, weights: str | Path | None = None, occlusion: bool = False, max_pairs: int = 1) -> None:
        if weights is None:
            raise UserError(f"IRR-PWC needs weights=<file>: {FETCH}")
        found = _find(weights)
        width, parts, twice = 1.0, True, True
        if found is not None and (found / CONFIG_FILE).is_file():
            config = read_config(found)
            if config.get("architecture") != IRRPWCNetwork.__name__:
                raise UserError(
                    f"weights {found}: expected an {IRRPWCNetwork.__name__}, found a {config.get('architecture')}"
                )
            width, parts, twice = config["width"], config["occlusion"], config["rescaled_twice"]
        if occlusion and not parts:
            raise UserError(f"weights {weights} were trained without occlusion; set occlusion=false")
        seeded(
            lambda: super(IRRPWC, self).__init__(
                width=width, occlusion=parts, rescaled_twice=twice, max_pairs=max_pairs
            )
        )
        self.occlusion = occlusion
        self.name = "irr_pwc" if found is not None else "irr_pwc_random_weights"
        if found is not None:
            load_weights(self, found, source="irr_pwc")
        self.requires_grad_(False)
        self.eval()


def _find(weights: str | Path) -> Path | None:
    """Where weights are; None for none.

    Raises:
        UserError: if there is no such file, folder or name.
    """
    if str(weights) == RANDOM_WEIGHTS:
        return None
    path = Path(weights).expanduser()
    if path.exists():
        return path
    if (released := released_folder(str(weights))) is not None:
        return released
    raise UserError(f"IRR-PWC weights {weights}: no such file; {FETCH}, and give its path")


def _scaled(channels: Sequence[int], width: float) -> list[int]:
    return [max(4, 4 * round(number * width / 4)) for number in channels]


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
