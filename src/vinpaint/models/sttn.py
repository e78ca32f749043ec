"""STTN: all frames of a window completed at once by attention between their patches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vinpaint.errors import UserError
from vinpaint.models.convolution import WideConv2d
from vinpaint.models.pretrained import PretrainedModel
from vinpaint.models.sttn_attention import Grid, TransformerBlock, hole_tokens
from vinpaint.models.sttn_decoder import Decoder
from vinpaint.ops.clip_shape import check_clip_shape
from vinpaint.ops.compositing import hide_holes
from vinpaint.ops.region import Region

FEATURE_STRIDE = 4
"""Pixels of a frame per cell of a feature map."""


class STTN(PretrainedModel):
    """Spatial-temporal transformer network: completes the holes of a few frames from each other.

    Any frame size is accepted: each head keeps its number of patches per frame, whose size follows the frame's, and
    frames that do not divide are extended at the right and the bottom by their edge, the result cut back. A 240x432
    frame is cut exactly as in the paper.

    Args:
        channels: channels of the features; divides by 4 and by the number of heads.
        num_blocks: transformer blocks.
        patch_sizes: one patch size per head as (height, width), in feature cells of a frame of ``frame_size``. The
            paper and the public code write them as width x height.
        frame_size: the frame size ``patch_sizes`` are meant for, (height, width) in pixels.
        patch_frames: frames that one patch spans; 1 is the paper's, more are the 3-D patches it leaves to the future.
        attn_mask: ``keys`` lets no patch borrow from patches that are more than half hole (the paper's equation 4);
            ``none`` lets it borrow from all (what the public code does and its released weights were trained with).
        query_chunk: patches attended at a time; bounds the memory of the score maps and changes no value. None: all.
        init_gain: None draws weights from N(0, 0.02²) as the public code does; a number draws them from
            N(0, gain²/fan_in), which suits narrow networks. Biases start at 0.

    Raises:
        UserError: if a patch size does not divide the features of ``frame_size``, or the channels do not divide.

    Source: STTN (Zeng et al., ECCV 2020, arXiv:2007.10247), section 3 and table 4; state-dict keys are those of the
    public code. 16,556,163 parameters with the defaults; the 12.6 M that the paper states are those of six blocks.
    """

    def __init__(
        self,
        *,
        channels: int = 256,
        num_blocks: int = 8,
        patch_sizes: Sequence[tuple[int, int]] = ((60, 108), (20, 36), (10, 18), (5, 9)),
        frame_size: tuple[int, int] = (240, 432),
        patch_frames: int = 1,
        attn_mask: Literal["keys", "none"] = "keys",
        query_chunk: int | None = None,
        init_gain: float | None = None,
    ) -> None:
        super().__init__()
        if attn_mask not in ("keys", "none"):
            raise UserError(f"attn_mask={attn_mask!r}: expected keys or none")
        if channels % 4 or channels % len(patch_sizes):
            raise UserError(
                f"channels={channels}: must divide by 4 and by the {len(patch_sizes)} heads that patch_sizes names"
            )
        self.attn_mask = attn_mask
        self.patch_frames = patch_frames
        self.grids = patch_grids(patch_sizes, frame_size)
        self.multiple = (
            FEATURE_STRIDE * math.lcm(*(rows for rows, _ in self.grids)),
            FEATURE_STRIDE * math.lcm(*(columns for _, columns in self.grids)),
        )
        half, quarter = channels // 2, channels // 4
        # transformer, encoder, decoder: the order in which public checkpoints number their parameters
        self.transformer = nn.ModuleList(
            TransformerBlock(channels, self.grids, patch_frames=patch_frames, query_chunk=query_chunk)
            for _ in range(num_blocks)
        )
        self.encoder = nn.Sequential(
            nn.Conv2d(3, quarter, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(quarter, quarter, 3, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(quarter, half, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            WideConv2d(half, channels),
            nn.LeakyReLU(0.2, inplace=True),
        )
        self.decoder = Decoder(channels)
        initialise_convolutions(self, gain=init_gain)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights, in which features are computed."""
        return next(self.parameters()).dtype

    def forward(self, frames: Tensor, masks: Tensor) -> Tensor:
        """Complete a short clip.

        Args:
            frames: ``(B, T, 3, H, W)`` RGB in [0, 1]; what lies under the hole has no influence.
            masks: ``(B, T, 1, H, W)`` in {0, 1}, 1 = hole.

        Returns:
            What the network makes of every pixel, known ones included, ``(B, T, 3, H, W)`` float32 in [0, 1].
        """
        features = self.transform(self.encode(frames, masks), masks)
        return self.decode(features, size=(frames.shape[-2], frames.shape[-1]))

    def encode(self, frames: Tensor, masks: Tensor) -> Tensor:
        """Turn frames into features, each frame on its own.

        Args:
            frames: ``(B, T, 3, H, W)`` RGB in [0, 1].
            masks: ``(B, T, 1, H, W)`` in {0, 1}, 1 = hole.

        Returns:
            ``(B, T, C, h, w)`` in channels-last memory, a quarter of the frame's size after extension.

        Raises:
            ValueError: if the shapes are not these.
        """
        check_clip_shape(frames, masks)
        visible = hide_holes(frames * 2 - 1, masks).flatten(0, 1)  # the hole is mid-grey
        visible = self._extend(visible).to(self.dtype)
        features: Tensor = self.encoder(visible.contiguous(memory_format=torch.channels_last))
        return torch.unflatten(features, 0, frames.shape[:2])

    def transform(self, features: Tensor, masks: Tensor, *, num_queries: int | None = None) -> Tensor:
        """Let all frames of a window complete each other's features.

        Args:
            features: of :meth:`encode`, ``(B, T, C, h, w)``.
            masks: the holes of the frames, ``(B, T, 1, H, W)``.
            num_queries: number of leading frames whose features are wanted; None wants all. The last block computes
                no others; their values do not depend on it.

        Returns:
            ``(B, num_queries, C, h, w)``.
        """
        return self._transform(features, masks, num_queries=num_queries, region=None)

    def transform_region(
        self, features: Tensor, masks: Tensor, *, region: Region, num_queries: int | None = None
    ) -> Tensor:
        """Do what :meth:`transform` does, as far as it matters to a region of the frames: the last block is cut to it.

        Args:
            features: see :meth:`transform`.
            masks: see :meth:`transform`.
            region: of the frames, pixels.
            num_queries: see :meth:`transform`.

        Returns:
            What :meth:`decode_region` reads, ``(B, num_queries, C, h', w')``.
        """
        reads = self.decoder.reads(region, (features.shape[-2], features.shape[-1]))
        return self._transform(features, masks, num_queries=num_queries, region=reads)

    def decode(self, features: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
        """Turn features into frames, each on its own.

        Args:
            features: ``(B, T, C, h, w)``.
            size: (height, width) of the frames; None keeps the extension that :meth:`encode` made.

        Returns:
            ``(B, T, 3, H, W)`` float32 RGB in [0, 1].
        """
        logits = self.decoder(features.flatten(0, 1))
        if size is not None:
            logits = logits[..., : size[0], : size[1]]
        completed: Tensor = (logits.float().tanh() + 1) / 2
        return torch.unflatten(completed, 0, features.shape[:2])

    def decode_region(self, features: Tensor, *, region: Region, size: tuple[int, int]) -> Tensor:
        """Turn features into a region of the frames.

        Args:
            features: of :meth:`transform_region` for that region, ``(B, T, C, h', w')``.
            region: of the frames, pixels.
            size: (height, width) of the frames.

        Returns:
            ``(B, T, 3, bottom - top, right - left)`` float32 RGB in [0, 1], what :meth:`decode` gives there.
        """
        extended = (-(-side // multiple) * multiple for side, multiple in zip(size, self.multiple, strict=True))
        height, width = (side // FEATURE_STRIDE for side in extended)
        logits = self.decoder.decode_region(features.flatten(0, 1), region, (height, width))
        return torch.unflatten((logits.float().tanh() + 1) / 2, 0, features.shape[:2])

    def attention_maps(self, frames: Tensor, masks: Tensor, *, block: int = -1) -> list[Tensor]:
        """Show where the patches of each frame borrow from.

        Args:
            frames: ``(B, T, 3, H, W)`` RGB in [0, 1].
            masks: ``(B, T, 1, H, W)`` in {0, 1}, 1 = hole.
            block: which transformer block; -1 is the last.

        Returns:
            Per head ``(B, T', rows, columns, T', rows, columns)``: for each patch (time, row, column) the probability
            of every patch it may borrow from; they sum to 1. ``T'`` is ``T / patch_frames``, rounded up.

        Raises:
            IndexError: if there is no such block.
        """
        features, hidden = self.encode(frames, masks), self._hidden_tokens(masks)
        shown = range(len(self.transformer))[block]
        record: list[Tensor] = []
        for index, layer in enumerate(self.transformer):
            if index > shown:
                break
            features = layer(features, hidden=hidden, record=record if index == shown else None)
        return [
            torch.unflatten(torch.unflatten(weights, 2, (-1, *grid)), 1, (-1, *grid))
            for weights, grid in zip(record, self.grids, strict=True)
        ]

    def _transform(self, features: Tensor, masks: Tensor, *, num_queries: int | None, region: Region | None) -> Tensor:
        hidden = self._hidden_tokens(masks)
        last = len(self.transformer) - 1
        for index, block in enumerate(self.transformer):
            cut = {"num_queries": num_queries, "region": region} if index == last else {}
            features = block(features, hidden=hidden, **cut)
        return features

    def _hidden_tokens(self, masks: Tensor) -> list[Tensor] | None:
        """Per head, the tokens in the hole; made once per window, as all blocks share them."""
        if self.attn_mask == "none":
            return None
        extended = torch.unflatten(self._extend(masks.flatten(0, 1).float()), 0, masks.shape[:2])
        cells = extended[..., ::FEATURE_STRIDE, ::FEATURE_STRIDE]
        return [hole_tokens(cells, grid=grid, patch_frames=self.patch_frames) for grid in self.grids]

    def _extend(self, images: Tensor) -> Tensor:
        """Repeat the right and bottom edge of ``(N, C, H, W)`` until both sides divide."""
        bottom, right = (-side % multiple for side, multiple in zip(images.shape[-2:], self.multiple, strict=True))
        return F.pad(images, (0, right, 0, bottom), mode="replicate") if right or bottom else images


def patch_grids(patch_sizes: Sequence[tuple[int, int]], frame_size: tuple[int, int]) -> list[Grid]:
    """Count the patches per frame that each patch size makes.

    Args:
        patch_sizes: per head (height, width) in feature cells.
        frame_size: (height, width) in pixels.

    Returns:
        Per head (rows, columns).

    Raises:
        UserError: if a patch size does not divide the feature map.
    """
    height, width = (side // FEATURE_STRIDE for side in frame_size)
    for rows, columns in patch_sizes:
        if rows < 1 or columns < 1 or height % rows or width % columns:
            raise UserError(
                f"patch size {rows}x{columns} (height x width): must divide the {height}x{width} features of a "
                f"{frame_size[0]}x{frame_size[1]} frame"
            )
    return [(height // rows, width // columns) for rows, columns in patch_sizes]


def initialise_convolutions(module: nn.Module, *, gain: float | None = None) -> None:
    """Draw the weights of all convolutions from a normal distribution and set their biases to 0.

    Args:
        module: its convolutions are changed in place.
        gain: None draws from N(0, 0.02²), as the public code of STTN; a number draws from N(0, gain²/fan_in).
    """
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Conv3d)):
            std = 0.02 if gain is None else gain / math.sqrt(layer.weight[0].numel())
            nn.init.normal_(layer.weight, 0.0, std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
