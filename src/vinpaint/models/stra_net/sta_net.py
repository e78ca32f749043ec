"""STRA-Net at low resolution: a frame completed from aligned references, and the leftover from the frame itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from vinpaint.errors import UserError
from vinpaint.models.cpnet.blocks import IMAGENET_MEAN
from vinpaint.models.cpnet.preparation import PreparedFrames, prepare_frames
from vinpaint.models.flow.estimator import BothFlows, FlowEstimator, FlowPair
from vinpaint.models.pretrained import PretrainedModel
from vinpaint.models.stra_net.alignment import AffineAlignment, Aligned, References, placements
from vinpaint.models.stra_net.completion import Completion, PreparedClip
from vinpaint.models.stra_net.motion import FlowBranch, FlowFill, FlowMode, Steps, stack_motions
from vinpaint.models.stra_net.spatial import CELL, PatchScores, SpatialAggregation
from vinpaint.models.stra_net.temporal import Features, Gathered, Similarity, TemporalAggregation, TemporalKind
from vinpaint.ops.clip_shape import check_clip_shape
from vinpaint.ops.compositing import composite, hide_holes
from vinpaint.ops.infill import harmonic_infill

Alignment = Literal["joint", "affine", "flow"]
AlignDomain = Literal["image", "feature"]
LeftoverFill = Literal["temporal", "smooth"]


class STRANet(PretrainedModel):
    """Spatial-temporal aggregation network: the trainable part of STRA-Net, which works at low resolution.

    References are laid over a target by a learned affine map, by optical flow, or by both; what they show of the hole
    is averaged feature by feature and decoded; what none shows is refined from the rest of the frame. Any frame size
    and number of references is accepted, none included.

    Args:
        channels: channels of the first layer of both image encoders; encoders and decoders follow.
        alignment_channels: channels of the first layer of the affine branch.
        alignment_size: side in pixels of the square in which frames are compared for affine alignment.
        share_conv5: see :class:`vinpaint.models.cpnet.AffineRegressor`.
        alignment: ``affine``, ``flow``, or ``joint``: both kinds of candidates in one softmax. Weights serve all three.
        temporal: ``multiscale`` | ``vanilla`` | ``cpnet``, see :class:`TemporalAggregation`.
        similarity: ``dot_mean`` | ``cosine`` | ``local``, see :class:`TemporalAggregation`.
        spatial: ``multiscale``, or ``off`` (in quotes in YAML) to leave the leftover to the temporal decoder.
        leftover_fill: what the spatial aggregation finds in the leftover: what the ``temporal`` aggregation made of
            it, as published; or a ``smooth`` continuation of what surrounds it, which takes less training to improve
            on. Weights serve the one they were trained with.
        align_domain: references are warped as an ``image`` and then encoded, as published; or each is encoded once and
            its ``feature`` maps are warped, at a tenth of the cost. Weights serve the domain they were trained in.
        flow: optical flow, not part of the weights; None: OpenCV's DIS.
        flow_mode: ``chain`` follows flow between neighbours from frame to frame; ``direct`` estimates it for each pair.
        flow_fill: ``harmonic`` | ``none``, see :class:`FlowBranch`.
        flow_margin: pixels, see :class:`FlowBranch`.
        flow_check: see :class:`FlowBranch`.
        flow_window: frames on each side of a target that are aligned by flow in :meth:`forward`.
        reference_chunk: references laid over a target at a time in :meth:`forward`; bounds memory and changes values by
            rounding only. None: all.

    Raises:
        UserError: if an argument is none of these.

    Source: STRA-Net (Ramiya Srinivasan et al., BMVC 2021), section 3.2. Of the paper's "joint image alignment" it is
    not known whether flow is chained or direct, how far it reaches and what it is inside holes.
    """

    mean: Tensor

    SWITCHES: ClassVar = (
        *("alignment", "flow", "flow_mode", "flow_fill", "flow_margin", "flow_check", "flow_window"),
        "reference_chunk",
    )
    """Arguments that a configuration may set whatever weights were trained with."""

    def __init__(
        self,
        *,
        channels: int = 32,
        alignment_channels: int = 64,
        alignment_size: int = 224,
        share_conv5: bool = True,
        alignment: Alignment = "joint",
        temporal: TemporalKind = "multiscale",
        similarity: Similarity = "dot_mean",
        spatial: Literal["multiscale", "off"] = "multiscale",
        leftover_fill: LeftoverFill = "temporal",
        align_domain: AlignDomain = "image",
        flow: FlowEstimator | None = None,
        flow_mode: FlowMode = "chain",
        flow_fill: FlowFill = "harmonic",
        flow_margin: int = 12,
        flow_check: bool = True,
        flow_window: int = 4,
        reference_chunk: int | None = None,
    ) -> None:
        super().__init__()
        if alignment not in ("joint", "affine", "flow"):
            raise UserError(f"alignment={alignment}: expected joint, affine or flow")
        if spatial not in ("multiscale", "off"):
            raise UserError(f'spatial={spatial}: expected multiscale or "off", in quotes in YAML')
        if leftover_fill not in ("temporal", "smooth"):
            raise UserError(f"leftover_fill={leftover_fill}: expected temporal or smooth")
        if align_domain not in ("image", "feature"):
            raise UserError(f"align_domain={align_domain}: expected image or feature")
        if flow_window < 0:
            raise UserError(f"flow_window={flow_window}: expected at least 0")
        if reference_chunk is not None and reference_chunk < 1:
            raise UserError(f"reference_chunk={reference_chunk}: expected at least 1, or null for all")
        self.alignment = alignment
        self.leftover_fill = leftover_fill
        self.align_domain = align_domain
        self.flow_window = flow_window
        self.reference_chunk = reference_chunk
        self.affine = AffineAlignment(channels=alignment_channels, size=alignment_size, share_conv5=share_conv5)
        self.temporal = TemporalAggregation(channels=channels, kind=temporal, similarity=similarity)
        self.spatial = SpatialAggregation(channels=channels) if spatial == "multiscale" else None
        # a plain object, so that the estimator's weights are not taken for the network's
        self.flow = FlowBranch(
            flow or _default_flow(), mode=flow_mode, fill=flow_fill, margin=flow_margin, check=flow_check
        )
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))

    @property
    def uses_affine(self) -> bool:
        """Whether references are aligned by affine maps."""
        return self.alignment != "flow"

    @property
    def uses_flow(self) -> bool:
        """Whether references are aligned by flow."""
        return self.alignment != "affine"

    def forward(self, frames: Tensor, masks: Tensor) -> Tensor:
        """Complete every frame of a short clip from all the others.

        Args:
            frames: ``(B, T, 3, H, W)`` RGB in [0, 1]; what lies under the hole has no influence.
            masks: ``(B, T, 1, H, W)`` in {0, 1}, 1 = hole.

        Returns:
            The completed frames, ``(B, T, 3, H, W)`` float32 in [0, 1]; known pixels are the input's to the bit.

        Raises:
            ValueError: if the shapes are not these.
        """
        clip = self.prepare_clip(frames, masks)
        completed = [self.complete_in_clip(clip, index).frame.clamp(0, 1) for index in range(frames.shape[1])]
        return torch.stack(completed, dim=1)

    # ---------------------------------------------------------------- a short clip

    def prepare_clip(self, frames: Tensor, masks: Tensor, *, flows: BothFlows | None = None) -> PreparedClip:
        """Compute what all targets of a short clip share.

        Args:
            frames: ``(B, T, 3, H, W)`` RGB in [0, 1]; what lies under the hole has no influence.
            masks: ``(B, T, 1, H, W)`` in {0, 1}, 1 = hole.
            flows: true flow from each frame but the last to the next, and back, ``(B, T - 1, 2, H, W)`` px, where it is
                known; None estimates it. It is followed whatever ``flow_mode`` says; in holes it is what ``flow_fill``
                makes of it.

        Raises:
            ValueError: if the shapes are not these.
        """
        check_clip_shape(frames, masks)
        prepared = self.prepare(frames, masks)
        features = self.encode_alignment(prepared) if self.uses_affine else None
        pyramid = self.encode_copy(prepared) if self.align_domain == "feature" else None
        steps: Steps | None = None
        if self.uses_flow and frames.shape[1] > 1:
            if flows is not None:
                extended = FlowPair(*(_extended(f, prepared.frames) for f in (flows.forward, flows.backward)))
                steps = self.flow.known_steps(prepared, extended)
            elif self.flow.mode == "chain":
                steps = self.flow.steps(prepared)
        return PreparedClip(prepared, (frames.shape[-2], frames.shape[-1]), features, pyramid, steps)

    def complete_in_clip(
        self,
        clip: PreparedClip,
        target: int,
        *,
        hide: Tensor | None = None,
        spatial: bool = True,
        keep_aligned: bool = False,
    ) -> Completion:
        """Complete one frame of each clip from all its others.

        Args:
            clip: of :meth:`prepare_clip`.
            target: number of the frame.
            hide: see :meth:`complete`.
            spatial: see :meth:`complete`.
            keep_aligned: see :meth:`complete`.
        """
        features = None if clip.features is None else clip.features[:, target]
        return self.complete(
            clip.frame(target),
            features,
            self._others(clip, target),
            size=clip.size,
            hide=hide,
            spatial=spatial,
            keep_aligned=keep_aligned,
        )

    def _others(self, clip: PreparedClip, target: int) -> Iterator[References]:
        """All frames of a clip but one, in portions: those aligned by flow too, then the rest."""
        others = [index for index in range(clip.prepared.frames.shape[1]) if index != target]
        motions = self.flow.motions(clip.prepared, clip.steps, target, self.flow_window) if self.uses_flow else {}
        for wanted in ([i for i in others if i in motions], [i for i in others if i not in motions]):
            step = self.reference_chunk or max(len(wanted), 1)
            for start in range(0, len(wanted), step):
                chunk = wanted[start : start + step]
                yield References(
                    PreparedFrames(*(part[:, chunk] for part in clip.prepared)),
                    None if clip.features is None else clip.features[:, chunk],
                    stack_motions([motions[index] for index in chunk]) if chunk[0] in motions else None,
                    None if clip.pyramid is None else tuple(level[:, chunk] for level in clip.pyramid),
                )

    # ---------------------------------------------------------------- one frame

    def prepare(self, frames: Tensor, masks: Tensor) -> PreparedFrames:
        """Hide the holes of frames and extend them, at the right and the bottom, until both sides divide by 16.

        Args:
            frames: ``(..., 3, H, W)`` RGB in [0, 1], any number of leading dimensions.
            masks: ``(..., 1, H, W)`` in {0, 1}, 1 = hole.

        Returns:
            The frames as all other methods read them; what was added mirrors the frame, and nothing there is copied.
        """
        margins = (0, -frames.shape[-1] % CELL, 0, -frames.shape[-2] % CELL)
        return prepare_frames(frames, masks, fill=self.mean, margins=margins)

    def encode_alignment(self, prepared: PreparedFrames) -> Tensor:
        """Turn frames into the features by which they are aligned, ``(..., 4 alignment_channels, h, w)``."""
        return self.affine.encode(prepared)

    def encode_copy(self, prepared: PreparedFrames) -> Features:
        """Turn frames into the features that are copied, ``(..., C, h, w)`` for each scale, fine to coarse."""
        lead = prepared.frames.shape[:-3]
        pyramid = self.temporal.encode(prepared.frames.flatten(0, -4), prepared.holes.flatten(0, -4))
        return tuple(level.reshape(*lead, *level.shape[1:]) for level in pyramid)

    def complete(
        self,
        target: PreparedFrames,
        target_features: Tensor | None,
        references: Iterable[References],
        *,
        size: tuple[int, int],
        hide: Tensor | None = None,
        spatial: bool = True,
        keep_aligned: bool = False,
    ) -> Completion:
        """Complete one frame per clip of a batch from its references, a portion of them at a time.

        Args:
            target: the targets, ``(B, ...)``.
            target_features: of :meth:`encode_alignment`, ``(B, C, h, w)``; None where no reference has features.
            references: portions; memory grows with the largest one, not with their number.
            size: (height, width) of the frames before :meth:`prepare` extended them.
            hide: ``(B, 1, H, W)`` in {0, 1}: where no candidate is to be seen, so that there is leftover to train on.
                Images are hidden there before they are encoded; features beside it saw across the border.
            spatial: False leaves out the spatial aggregation, as while the network warms up.
            keep_aligned: whether the candidates are wanted too, for losses, pictures and residual aggregation.

        Returns:
            The completed frames, and what they were made of.
        """
        hidden = None if hide is None else _extended(hide.float(), target.frames).unsqueeze(1)  # (B, 1, 1, H', W')
        wanted = self.temporal.encode(target.frames, target.holes)
        gathered: Gathered | None = None
        visible = torch.zeros_like(target.holes)
        kept: list[Aligned] = []
        for portion in references:
            for candidates, copied in self._candidates(target, target_features, wanted, portion, hidden):
                gathered = self.temporal.gather(gathered, candidates.logits, copied, candidates.visible)
                visible = torch.maximum(visible, candidates.visible.amax(1))
                if keep_aligned:
                    kept.append(candidates)
        made: Tensor = self.temporal(wanted, gathered)
        filled = composite(target.frames, made, target.holes)
        leftover = target.holes * (1 - visible)
        refined: Tensor | None = None
        scores: PatchScores | None = None
        if spatial and self.spatial is not None and bool(_crop(leftover, size).any()):
            if self.leftover_fill == "smooth":
                filled = _continued(filled, leftover)
            refined, scores = self.spatial(filled, leftover)
            filled = composite(filled, refined, leftover)
        return Completion(
            _crop(filled, size),
            _crop(made, size),
            None if refined is None else _crop(refined, size),
            _crop(visible, size),
            _crop(leftover, size),
            scores,
            tuple(kept),
        )

    def _candidates(
        self,
        target: PreparedFrames,
        target_features: Tensor | None,
        wanted: Features,
        portion: References,
        hidden: Tensor | None,
    ) -> Iterator[tuple[Aligned, Features]]:
        """References laid over their targets, once for each kind of alignment, and the features copied from them."""
        branch = self.affine if self.uses_affine else None
        frames, _, known = portion.prepared
        size = (frames.shape[-2], frames.shape[-1])
        for placement in placements(branch, target_features, portion, by_flow=self.uses_flow):
            laid, visible = placement.warp(frames, size=size), placement.visible(known)
            if hidden is not None:
                laid, visible = hide_holes(laid, hidden, self.mean.float()), visible * (1 - hidden)
            if self.align_domain == "image":
                copied = self.encode_copy(PreparedFrames(laid, 1 - visible, visible))
            elif portion.pyramid is not None:
                copied = tuple(placement.warp(level, size=size) for level in portion.pyramid)
            else:
                raise ValueError("references without pyramid: give that of encode_copy, or use align_domain=image")
            logits = self.temporal.logits(wanted, target.known, copied, visible)
            yield Aligned(placement, laid, visible, logits), copied


def _continued(frames: Tensor, leftover: Tensor) -> Tensor:
    """Frames ``(B, 3, H, W)``, their leftover continued from around it; those that are nothing else as they are."""
    around = (1 - leftover).amax((1, 2, 3), keepdim=True)
    return composite(frames, harmonic_infill(frames, 1 - leftover), leftover * around)


def _extended(images: Tensor, like: Tensor) -> Tensor:
    """Repeat the right and bottom edge of ``(..., C, H, W)`` up to the size of other images."""
    bottom, right = like.shape[-2] - images.shape[-2], like.shape[-1] - images.shape[-1]
    if not right and not bottom:
        return images
    flat = F.pad(images.flatten(0, -4), (0, right, 0, bottom), mode="replicate")
    return flat.view(*images.shape[:-2], *flat.shape[-2:])


def _crop(images: Tensor, size: tuple[int, int]) -> Tensor:
    return images[..., : size[0], : size[1]]


def _default_flow() -> FlowEstimator:
    from vinpaint.models.flow.dis import DISFlow  # OpenCV is not needed where another estimator is given

    return DISFlow()
