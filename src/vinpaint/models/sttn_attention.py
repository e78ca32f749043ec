"""Joint attention over the patches of all frames of a window, each head with a patch size of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vinpaint.models.convolution import WideConv2d
from vinpaint.ops.chunks import Chunks
from vinpaint.ops.region import Region

Grid = tuple[int, int]
"""Patches per column and per row of a feature map: (rows, columns)."""

LONGEST_SUM = 8192
"""Channels of a token that are multiplied and added in one go."""


def cut_tokens(maps: Tensor, *, grid: Grid, patch_frames: int = 1) -> Tensor:
    """Cut feature maps into patches that do not overlap and flatten each into a token.

    Args:
        maps: channels-last features, ``(B, T, h, w, D)``; ``T`` divides by ``patch_frames``, ``h`` by the rows and
            ``w`` by the columns of ``grid``.
        grid: number of patches, (rows, columns).
        patch_frames: frames that one patch spans.

    Returns:
        ``(B, T/patch_frames * rows * columns, patch_frames * h/rows * w/columns * D)``, ordered by time, row, column.

    Source: STTN (arXiv:2007.10247), section 3.2, "Matching". Within a token the channels come last, not first: a dot
    product does not mind, and reading a channels-last map this way moves whole runs of memory.
    """
    B, T, height, width, D = maps.shape
    rows, columns = grid
    split = maps.reshape(B, T // patch_frames, patch_frames, rows, height // rows, columns, width // columns, D)
    return split.permute(0, 1, 3, 5, 2, 4, 6, 7).flatten(4).flatten(1, 3)


def join_tokens(tokens: Tensor, *, grid: Grid, size: tuple[int, int], patch_frames: int = 1) -> Tensor:
    """Put tokens back where :func:`cut_tokens` took them: ``(B, N, P)`` to ``(B, T, h, w, D)``, ``size = (h, w)``."""
    (rows, columns), (height, width) = grid, size
    patch = (patch_frames, height // rows, width // columns)
    D = tokens.shape[2] // math.prod(patch)
    split = tokens.reshape(tokens.shape[0], -1, rows, columns, *patch, D)
    return split.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(tokens.shape[0], -1, height, width, D)


def pad_time(maps: Tensor, patch_frames: int) -> Tensor:
    """Repeat the last frame of ``(B, T, ...)`` until ``T`` divides by ``patch_frames``."""
    missing = -maps.shape[1] % patch_frames
    if not missing:
        return maps
    return torch.cat((maps, maps[:, -1:].expand(-1, missing, *maps.shape[2:])), dim=1)


def hole_tokens(masks: Tensor, *, grid: Grid, patch_frames: int = 1) -> Tensor:
    """Tell which tokens lie in the hole: those covered by it to more than one half.

    Args:
        masks: holes at the size of the features, ``(B, T, 1, h, w)`` in {0, 1}, 1 = hole.
        grid: number of patches, (rows, columns).
        patch_frames: frames that one patch spans.

    Returns:
        ``(B, N)`` bool.

    Source: STTN, equation 4. The public code computes the same flags but discards the masked scores.
    """
    cells = pad_time(masks.movedim(2, -1).float(), patch_frames)
    return cut_tokens(cells, grid=grid, patch_frames=patch_frames).mean(-1) > 0.5


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    hidden: Tensor | None = None,
    query_chunk: int | None = None,
    record: list[Tensor] | None = None,
) -> Tensor:
    """Scaled dot-product attention whose score map never holds more than ``query_chunk`` rows.

    Args:
        query: ``(B, Nq, P)``.
        key: ``(B, Nk, P)``.
        value: ``(B, Nk, P)``.
        hidden: keys that no query may borrow from, ``(B, Nk)`` bool; None hides none. Where all are hidden, all count
            alike.
        query_chunk: queries attended at a time; None attends all at once. Rows of a softmax are independent, so the
            result does not depend on it. Where the device runs out of memory, half as many are.
        record: if given, the attention probabilities ``(B, Nq, Nk)`` are appended to it.

    Returns:
        ``(B, Nq, P)``.

    Source: STTN, equations 3 to 5. Fused kernels do not serve here: a token has up to 414,720 channels.
    """
    maps: list[Tensor] = []

    def attend_rows(rows: slice) -> Tensor:
        scores = _scaled_products(query[:, rows], key)
        if hidden is not None:
            # the least finite number of the type: -1e9 overflows fp16, and a row of -inf alone would give NaN
            scores = scores.masked_fill_(hidden.unsqueeze(1), torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=-1)
        result = torch.bmm(weights, value)
        if record is not None:
            maps.append(weights)
        return result

    num_queries = query.shape[1]
    attended = Chunks(query_chunk or num_queries, "queries attended").run(attend_rows, num_queries)
    if record is not None:
        record.append(torch.cat(maps, dim=1))
    return attended[0] if len(attended) == 1 else torch.cat(attended, dim=1)


def _scaled_products(query: Tensor, key: Tensor) -> Tensor:
    """``query . key / sqrt(P)`` for every pair, ``(B, Nq, Nk)``.

    Long tokens are multiplied in pieces whose products are added: one float32 sum over the 414,720 channels of a
    whole-frame token is off by 5e-4 in the features, 20 times more than the sums of pieces.
    """
    B, _, P = query.shape
    least = -(-P // LONGEST_SUM)
    pieces = next((count for count in range(least, 4 * least + 1) if P % count == 0), 1)
    if pieces == 1:
        unused = query.new_zeros(1, 1, 1)
        return torch.baddbmm(unused, query, key.transpose(1, 2), beta=0, alpha=1 / math.sqrt(P))
    parts = [
        torch.unflatten(tokens, 2, (pieces, -1)).transpose(1, 2).flatten(0, 1) for tokens in (query, key)
    ]  # (B * pieces, N, P / pieces)
    products = torch.unflatten(torch.bmm(parts[0], parts[1].transpose(1, 2)), 0, (B, pieces))
    return products.sum(dim=1) / math.sqrt(P)


class PatchAttention(nn.Module):
    """Multi-head attention over spatial-temporal patches; every head cuts the frames into a grid of its own.

    Args:
        channels: channels of the features; they divide by the number of heads.
        grids: per head, the number of patches per frame as (rows, columns).
        patch_frames: frames that one patch spans.
        query_chunk: see :func:`attend`.
    """

    def __init__(
        self, channels: int, grids: Sequence[Grid], *, patch_frames: int = 1, query_chunk: int | None = None
    ) -> None:
        super().__init__()
        self.grids = [(rows, columns) for rows, columns in grids]
        self.patch_frames = patch_frames
        self.query_chunk = query_chunk
        # the order of registration is that of the public checkpoints: optimizer states are stored by position
        self.query_embedding = nn.Conv2d(channels, channels, 1)
        self.value_embedding = nn.Conv2d(channels, channels, 1)
        self.key_embedding = nn.Conv2d(channels, channels, 1)
        self.output_linear = nn.Sequential(WideConv2d(channels, channels), nn.LeakyReLU(0.2, inplace=True))

    def forward(
        self,
        features: Tensor,
        *,
        hidden: Sequence[Tensor] | None = None,
        num_queries: int | None = None,
        region: Region | None = None,
        record: list[Tensor] | None = None,
    ) -> Tensor:
        """Let the patches of the first ``num_queries`` frames borrow from the patches of all frames.

        Args:
            features: ``(B, T, C, h, w)``.
            hidden: per head, the tokens in the hole (:func:`hole_tokens`); None lets every token be borrowed from.
            num_queries: number of leading frames wanted; None wants all.
            region: what is wanted of their features; None wants all. Only patches that reach it are attended.
            record: if given, receives the attention probabilities of each head.

        Returns:
            ``(B, num_queries, C, h, w)``, or the region of it.
        """
        B, T, C, height, width = features.shape
        wanted = T if num_queries is None else num_queries
        frames = self.patch_frames
        embeddings = (self.query_embedding, self.key_embedding, self.value_embedding)
        # one product for all three reads the features once
        fused = F.conv2d(
            features.flatten(0, 1),
            torch.cat([layer.weight for layer in embeddings]),
            torch.cat([layer.bias for layer in embeddings if layer.bias is not None]),
        )
        maps = pad_time(torch.unflatten(fused.permute(0, 2, 3, 1), 0, (B, T)), frames)  # (B, T', h, w, 3C)
        whole_groups = wanted + -wanted % frames
        query, key, value = maps[:, :whole_groups, ..., :C], maps[..., C : 2 * C], maps[..., 2 * C :]

        whole = Region(0, height, 0, width)
        output_region = whole if region is None else region
        around = output_region.grown(1, (height, width))  # what the output convolution reads
        merged = maps.new_empty(B, wanted, around.bottom - around.top, around.right - around.left, C)
        depth = C // len(self.grids)
        for head, grid in enumerate(self.grids):
            channels = slice(head * depth, (head + 1) * depth)
            patch = (height // grid[0], width // grid[1])
            asked = around.aligned(*patch)
            size = (asked.bottom - asked.top, asked.right - asked.left)
            asked_grid = (size[0] // patch[0], size[1] // patch[1])
            asking = query[:, :, asked.top : asked.bottom, asked.left : asked.right, channels]
            attended = attend(
                cut_tokens(asking, grid=asked_grid, patch_frames=frames),
                cut_tokens(key[..., channels], grid=grid, patch_frames=frames),
                cut_tokens(value[..., channels], grid=grid, patch_frames=frames),
                hidden=None if hidden is None else hidden[head],
                query_chunk=self.query_chunk,
                record=record,
            )
            pieces = join_tokens(attended, grid=asked_grid, size=size, patch_frames=frames).movedim(-1, 2)
            merged[..., channels] = around.of(pieces[:, :wanted], asked).movedim(2, -1)
        output: Tensor = self.output_linear(merged.flatten(0, 1).permute(0, 3, 1, 2))
        return torch.unflatten(output_region.of(output, around), 0, (B, wanted))


class FeedForward(nn.Module):
    """Two convolutions, the first dilated, that let a frame look at its own surroundings.

    Args:
        channels: channels in and out.
    """

    REACH = 3

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            WideConv2d(channels, channels, dilation=2),
            nn.LeakyReLU(0.2, inplace=True),
            WideConv2d(channels, channels),
            nn.LeakyReLU(0.2, inplace=True),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map ``(B, T, C, h, w)`` to the same shape, frame by frame; an output depends on ``REACH`` places around."""
        output: Tensor = self.conv(features.flatten(0, 1))
        return torch.unflatten(output, 0, features.shape[:2])


class TransformerBlock(nn.Module):
    """Attention over all frames, then a feed-forward part per frame, each added to what it read.

    Args:
        channels: channels of the features.
        grids: per head, the number of patches per frame as (rows, columns).
        patch_frames: frames that one patch spans.
        query_chunk: see :func:`attend`.
    """

    def __init__(
        self, channels: int, grids: Sequence[Grid], *, patch_frames: int = 1, query_chunk: int | None = None
    ) -> None:
        super().__init__()
        self.attention = PatchAttention(channels, grids, patch_frames=patch_frames, query_chunk=query_chunk)
        self.feed_forward = FeedForward(channels)

    def forward(
        self,
        features: Tensor,
        *,
        hidden: Sequence[Tensor] | None = None,
        num_queries: int | None = None,
        region: Region | None = None,
        record: list[Tensor] | None = None,
    ) -> Tensor:
        """Map ``(B, T, C, h, w)`` to ``(B, num_queries, C, h, w)``; arguments as :meth:`PatchAttention.forward`."""
        around = None
        if region is not None:
            around = region.grown(self.feed_forward.REACH, (features.shape[-2], features.shape[-1]))
        attended = self.attention(features, hidden=hidden, num_queries=num_queries, region=around, record=record)
        features = features[:, :num_queries]
        if around is None or region is None:
            features = _add(features, attended)
            return _add(features, self.feed_forward(features))
        features = _add(around.of(features), attended)
        return _add(region.of(features, around), region.of(self.feed_forward(features), around))


def _add(features: Tensor, update: Tensor) -> Tensor:
    """Sum of both, in the memory of ``update`` where no gradient needs it: page faults cost as much as arithmetic."""
    return features + update if update.requires_grad else update.add_(features)
