"""STTN in its plain form: what the fast one has to equal and is measured against.

Everything is done as the definition reads and as the public script does it, one thing after the other: features in
(N, C, H, W) memory, a convolution each for query, key and value, patches cut from channels-first maps, all frames of a
window through all blocks, the whole clip encoded in one call, frames composited on the CPU window by window.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vinpaint.inference.schedule import window_schedule
from vinpaint.models.convolution import WideConv2d
from vinpaint.models.sttn import FEATURE_STRIDE, STTN
from vinpaint.models.sttn_attention import PatchAttention, TransformerBlock
from vinpaint.ops.conversion import to_uint8

Pictures = NDArray[np.uint8]


class PlainSTTN:
    """The same network with the same weights, in plain form.

    Args:
        network: its weights are copied to contiguous memory. The sides of the frames have to divide by its grids.
    """

    def __init__(self, network: STTN) -> None:
        self.network = copy.deepcopy(network).to(memory_format=torch.contiguous_format).eval()
        for layer in self.network.modules():
            if isinstance(layer, WideConv2d):
                layer.__class__ = nn.Conv2d  # torch's own, whatever the device

    def encode(self, frames: Tensor, holes: Tensor) -> Tensor:
        """Features ``(T, C, h, w)`` of frames ``(T, 3, H, W)`` in [0, 1] and holes ``(T, 1, H, W)``."""
        features: Tensor = self.network.encoder(((frames * 2 - 1) * (1 - holes)).contiguous())
        return features

    def transform(self, features: Tensor, holes: Tensor) -> Tensor:
        """Completed features ``(T, C, h, w)`` of all frames."""
        cells = holes[..., ::FEATURE_STRIDE, ::FEATURE_STRIDE]
        if self.network.attn_mask == "none":
            cells = torch.zeros_like(cells)
        for block in self.network.transformer:
            features = plain_block(block, features, cells)
        return features

    def decode(self, features: Tensor) -> Tensor:
        """Frames ``(T, 3, H, W)`` in [0, 1]."""
        decoded: Tensor = self.network.decoder(features)
        return (torch.tanh(decoded) + 1) / 2


def plain_block(block: TransformerBlock, features: Tensor, cells: Tensor) -> Tensor:
    """One transformer block on ``(T, C, h, w)``, with the holes at that size, ``(T, 1, h, w)``."""
    features = features + plain_attention(block.attention, features, cells)
    update: Tensor = block.feed_forward.conv(features)
    return features + update


def plain_attention(attention: PatchAttention, features: Tensor, cells: Tensor) -> Tensor:
    """Multi-head attention on ``(T, C, h, w)``, one head after the other."""
    T, C, height, width = features.shape
    query = attention.query_embedding(features)
    key = attention.key_embedding(features)
    value = attention.value_embedding(features)
    depth = C // len(attention.grids)
    heads = []
    for head, (rows, columns) in enumerate(attention.grids):
        patch = (height // rows, width // columns)

        def tokens(maps: Tensor, rows: int = rows, columns: int = columns, patch: tuple[int, int] = patch) -> Tensor:
            cut = maps.reshape(T, -1, rows, patch[0], columns, patch[1])
            return cut.permute(0, 2, 4, 1, 3, 5).reshape(T * rows * columns, -1)

        mine = slice(head * depth, (head + 1) * depth)
        q, k, v = tokens(query[:, mine]), tokens(key[:, mine]), tokens(value[:, mine])
        scores = torch.matmul(q, k.transpose(0, 1)) / math.sqrt(q.shape[1])
        hidden = tokens(cells).mean(1) > 0.5
        scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
        attended = torch.matmul(torch.softmax(scores, dim=-1), v)
        joined = attended.reshape(T, rows, columns, depth, *patch).permute(0, 3, 1, 4, 2, 5)
        heads.append(joined.reshape(T, depth, height, width))
    output: Tensor = attention.output_linear(torch.cat(heads, dim=1))
    return output


@torch.no_grad()
def complete_plainly(
    plain: PlainSTTN, frames: NDArray[np.uint8], holes: NDArray[np.bool_], device: torch.device
) -> NDArray[np.uint8]:
    """Complete a clip ``(T, H, W, 3)`` with holes ``(T, H, W)`` in the public script's windows, their mean taken."""
    images = torch.from_numpy(frames).permute(0, 3, 1, 2).float().div(255).contiguous().to(device)
    masks = torch.from_numpy(holes).float().unsqueeze(1).to(device)
    features = plain.encode(images, masks)
    total, windows = np.zeros(frames.shape, np.float32), np.zeros(len(frames), np.float32)
    for window in window_schedule(len(frames)):
        together = [*window.neighbors, *window.references]
        transformed = plain.transform(features[together], masks[together])
        decoded = plain.decode(transformed[: len(window.neighbors)]).cpu().permute(0, 2, 3, 1).numpy() * 255
        for index, picture in zip(window.neighbors, decoded, strict=True):
            total[index] += picture * holes[index, ..., None] + frames[index] * ~holes[index, ..., None]
            windows[index] += 1
    return np.rint(total / windows[:, None, None, None]).astype(np.uint8)


def moving_clip(num_frames: int, height: int, width: int) -> tuple[Pictures, NDArray[np.bool_]]:
    """A smooth picture that pans, and a box of an eighth of its area that wanders over it."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((1, 3, 12, 20), np.float32))
    size = (height + 32, width + 2 * num_frames)
    large = F.interpolate(coarse, size, mode="bicubic", align_corners=False)
    picture = to_uint8(large[0])
    frames = np.stack([picture[16 : 16 + height, t : t + width] for t in range(num_frames)])
    holes = np.zeros((num_frames, height, width), bool)
    for t, hole in enumerate(holes):
        top, left = height // 4 + t % max(1, height // 4), width // 8 + (2 * t) % max(1, width // 2)
        hole[top : top + height // 3, left : left + 3 * width // 8] = True
    return frames, holes
