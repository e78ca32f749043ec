"""CPNet: a frame completed by copying from other frames laid over it, and pasting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from vinpaint.errors import UserError
from vinpaint.models.cpnet.alignment import AffineEncoder, AffineRegressor
from vinpaint.models.cpnet.blocks import IMAGENET_MEAN
from vinpaint.models.cpnet.copy_paste import ContextMatching, CopyEncoder, PasteDecoder
from vinpaint.models.cpnet.preparation import Padding, PreparedFrames, prepare_frames
from vinpaint.models.pretrained import PretrainedModel
from vinpaint.ops.affine import affine_warp
from vinpaint.ops.clip_shape import check_clip_shape
from vinpaint.ops.reference_attention import AttentionSum
from vinpaint.ops.visibility import visible_pixels

FRAME_MULTIPLE = 8
"""Both sides of a frame are extended to a multiple of this many pixels."""

MaskPolarity = Literal["hole", "visible"]


class References(NamedTuple):
    """A portion of the references of a batch of targets.

    Attributes:
        prepared: ``(B, R, ...)``.
        features: for alignment, of :meth:`CPNet.encode_alignment`, ``(B, R, C, h, w)``.
    """

    prepared: PreparedFrames
    features: Tensor


class Aligned(NamedTuple):
    """References laid over their target.

    Attributes:
        theta: the maps, ``(B, R, 2, 3)``, from normalised coordinates of the target to those of the reference.
        frames: ``(B, R, 3, H', W')`` float32 RGB in [0, 1].
        visible: ``(B, R, 1, H', W')`` float32 in {0, 1}, 1 where the reference shows something known.
    """

    theta: Tensor
    frames: Tensor
    visible: Tensor


class Completion(NamedTuple):
    """A completed frame and what it was made of.

    Attributes:
        frame: what the network makes of every pixel, ``(B, 3, H, W)`` float32, not held to [0, 1].
        visible: ``(B, 1, H, W)`` float32 in {0, 1}, 1 where at least one reference shows something known.
        aligned: the portions of references laid over the target, in the extended size; empty unless asked for.
    """

    frame: Tensor
    visible: Tensor
    aligned: tuple[Aligned, ...]


class CPNet(PretrainedModel):
    """Copy-and-paste network: lays reference frames over a target, copies what they see of its hole, invents the rest.

    Any frame size and number of references is accepted, none included.

    The defaults are right for the released weights; where the released code does otherwise, an argument says so and
    restores it.

    Args:
        channels: channels of the first layers; all others follow.
        alignment_size: side in pixels of the square in which frames are compared for alignment.
        align_corners: what the corners of normalised coordinates are. True is what ``affine_grid`` and ``grid_sample``
            did in PyTorch 0.4, with which the weights were trained; the same code under PyTorch 1.3 and later runs as
            with False.
        ref_mask_polarity: the fourth channel of aligned references is their ``hole``, like that of the target; the
            released script gives the opposite (``visible``), a slip of its last revision by its author's own account.
        legacy_softmax: see :func:`vinpaint.ops.reference_attention.masked_softmax`; True as released.
        padding: frames whose sides do not divide by 8 are extended by ``reflect``-ion, which references cannot copy
            from; the released code pads with ``zeros`` that count as known black pixels. Frames of fewer than five
            pixels repeat their edge instead of reflecting.
        share_conv5: see :class:`AffineRegressor`; True as released.
        reference_chunk: references laid over a target at a time in :meth:`forward`; bounds memory and changes values by
            rounding only. None: all.

    Raises:
        UserError: if an argument is none of these.

    Source: Copy-and-Paste Networks for Deep Video Inpainting (Lee et al., ICCV 2019, arXiv:1908.11587) and its released
    code, whose state-dict keys are kept. 21,631,385 parameters with the defaults.
    """

    mean: Tensor
    mean3d: Tensor

    def __init__(
        self,
        *,
        channels: int = 64,
        alignment_size: int = 224,
        align_corners: bool = True,
        ref_mask_polarity: MaskPolarity = "hole",
        legacy_softmax: bool = False,
        padding: Padding = "reflect",
        share_conv5: bool = True,
        reference_chunk: int | None = None,
    ) -> None:
        super().__init__()
        if ref_mask_polarity not in ("hole", "visible"):
            raise UserError(f"ref_mask_polarity={ref_mask_polarity}: expected hole or visible")
        if padding not in ("reflect", "zeros"):
            raise UserError(f"padding={padding}: expected reflect or zeros")
        if reference_chunk is not None and reference_chunk < 1:
            raise UserError(f"reference_chunk={reference_chunk}: expected at least 1, or null for all")
        self.align_corners = align_corners
        self.ref_mask_polarity = ref_mask_polarity
        self.padding = padding
        self.reference_chunk = reference_chunk
        # the names of the released code, which its checkpoints carry
        self.A_Encoder = AffineEncoder(channels=channels, size=alignment_size)
        self.A_Regressor = AffineRegressor(channels=channels, share_conv5=share_conv5)
        self.Encoder = CopyEncoder(channels=channels)
        self.CM_Module = ContextMatching(legacy_softmax=legacy_softmax)
        self.Decoder = PasteDecoder(channels=channels)
        mean = torch.tensor(IMAGENET_MEAN)
        self.register_buffer("mean", mean.view(1, 3, 1, 1))
        self.register_buffer("mean3d", mean.view(1, 3, 1, 1, 1).clone())  # nothing reads it; checkpoints hold it

    def forward(self, frames: Tensor, masks: Tensor) -> Tensor:
        """Complete every frame of a short clip from all the others.

        Args:
            frames: ``(B, T, 3, H, W)`` RGB in [0, 1]; what lies under the hole has no influence.
            masks: ``(B, T, 1, H, W)`` in {0, 1}, 1 = hole.

        Returns:
            What the network makes of every pixel, known ones included, ``(B, T, 3, H, W)`` float32 in [0, 1].

        Raises:
            ValueError: if the shapes are not these.
        """
        check_clip_shape(frames, masks)
        prepared = self.prepare(frames, masks)
        features = self.encode_alignment(prepared)
        size = (frames.shape[-2], frames.shape[-1])
        completed = [
            self.complete(
                PreparedFrames(*(part[:, index] for part in prepared)),
                features[:, index],
                self._others(index, prepared, features),
                size=size,
            ).frame.clamp(0, 1)
            for index in range(frames.shape[1])
        ]
        return torch.stack(completed, dim=1)

    def _others(self, target: int, prepared: PreparedFrames, features: Tensor) -> Iterator[References]:
        """All frames of a clip but one, in portions."""
        others = [index for index in range(features.shape[1]) if index != target]
        step = self.reference_chunk or max(len(others), 1)
        for start in range(0, len(others), step):
            chunk = others[start : start + step]
            yield References(PreparedFrames(*(part[:, chunk] for part in prepared)), features[:, chunk])

    def prepare(self, frames: Tensor, masks: Tensor) -> PreparedFrames:
        """Hide the holes of frames and extend their sides.

        Args:
            frames: ``(..., 3, H, W)`` RGB in [0, 1], any number of leading dimensions.
            masks: ``(..., 1, H, W)`` in {0, 1}, 1 = hole.

        Returns:
            The frames as all other methods read them.
        """
        margins = _margins(frames.shape[-2], frames.shape[-1])
        return prepare_frames(frames, masks, fill=self.mean, margins=margins, padding=self.padding)

    def encode_alignment(self, prepared: PreparedFrames) -> Tensor:
        """Turn frames into the features by which they are aligned, each frame on its own.

        Args:
            prepared: of :meth:`prepare`, with any number of leading dimensions.

        Returns:
            ``(..., 4 channels, h, w)``, an eighth of ``alignment_size``.
        """
        lead = prepared.frames.shape[:-3]
        frames, holes = (part.reshape(-1, *part.shape[-3:]) for part in (prepared.frames, prepared.holes))
        features: Tensor = self.A_Encoder(frames, holes)
        return features.reshape(*lead, *features.shape[1:])

    def align(self, target: Tensor, references: References) -> Aligned:
        """Lay references over their targets.

        Args:
            target: features of the targets, ``(B, C, h, w)``.
            references: ``(B, R, ...)``.

        Returns:
            The references in the targets' coordinates.
        """
        B, R = references.features.shape[:2]
        theta = self.A_Regressor(target, references.features.flatten(0, 1))
        images = torch.cat([references.prepared.frames, references.prepared.known], dim=2)
        warped = affine_warp(images.flatten(0, 1), theta, align_corners=self.align_corners)
        warped = torch.unflatten(warped, 0, (B, R))
        return Aligned(torch.unflatten(theta, 0, (B, R)), warped[:, :, :3], visible_pixels(warped[:, :, 3:]))

    def encode_copy(self, aligned: Aligned) -> Tensor:
        """Turn aligned references into the features that are copied, ``(B, R, 2 channels, h, w)``."""
        maps = aligned.visible if self.ref_mask_polarity == "visible" else 1 - aligned.visible
        features: Tensor = self.Encoder(aligned.frames.flatten(0, 1), maps.flatten(0, 1))
        return torch.unflatten(features, 0, aligned.visible.shape[:2])

    def complete(
        self,
        target: PreparedFrames,
        target_features: Tensor,
        references: Iterable[References],
        *,
        size: tuple[int, int],
        keep_aligned: bool = False,
    ) -> Completion:
        """Complete one frame per clip of a batch from its references, a portion of them at a time.

        Args:
            target: the targets, ``(B, ...)``.
            target_features: of :meth:`encode_alignment`, ``(B, C, h, w)``.
            references: portions; memory grows with the largest one, not with their number.
            size: (height, width) of the frames before :meth:`prepare` extended them.
            keep_aligned: whether the aligned references are wanted too, for the alignment loss or to look at.

        Returns:
            The completed frames.
        """
        wanted: Tensor = self.Encoder(target.frames, target.holes)
        gathered: AttentionSum | None = None
        visible = torch.zeros_like(target.holes)
        kept: list[Aligned] = []
        for portion in references:
            aligned = self.align(target_features, portion)
            copied = self.encode_copy(aligned)
            gathered = self.CM_Module.gather(gathered, wanted, target.known, copied, aligned.visible)
            visible = torch.maximum(visible, aligned.visible.amax(1))
            if keep_aligned:
                kept.append(aligned)
        decoded = self.Decoder(self.CM_Module(wanted, gathered))
        return Completion(_crop(decoded, size), _crop(visible, size), tuple(kept))


def _margins(height: int, width: int) -> tuple[int, int, int, int]:
    """Pixels to add at the left, right, top and bottom: as evenly as possible, the odd one behind."""
    across, down = -width % FRAME_MULTIPLE, -height % FRAME_MULTIPLE
    return across // 2, across - across // 2, down // 2, down - down // 2


def _crop(images: Tensor, size: tuple[int, int]) -> Tensor:
    left, _, top, _ = _margins(*size)
    return images[..., top : top + size[0], left : left + size[1]]
