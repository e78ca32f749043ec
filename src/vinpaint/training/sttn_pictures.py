"""What the attention of STTN looks like: where the hole of a frame borrows from, in all frames and by every head."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vinpaint.models.sttn import STTN
from vinpaint.ops.compositing import hide_holes
from vinpaint.training.pictures import Rows, evenly

SOURCE_COLOUR = (1.0, 0.84, 0.0)
"""RGB of the border of a patch that is borrowed from."""

QUERY_COLOUR = (1.0, 1.0, 1.0)
"""RGB of the border of the patch that borrows."""

_DARK = 0.25  # share of the light that is left where nothing is borrowed
_HIDDEN = 0.5  # what the network sees in a hole


class Patch(NamedTuple):
    """A patch of a clip: its group of frames (one frame unless patches span several), row and column."""

    time: int
    row: int
    column: int


def sttn_pictures(
    network: STTN, frames: Tensor, masks: Tensor, *, columns: int, top: int = 3, block: int = -1
) -> dict[str, Rows]:
    """Show where the hole of the middle frame borrows from.

    Args:
        network: it is in evaluation mode.
        frames: ``(T, 3, H, W)`` in [0, 1].
        masks: ``(T, 1, H, W)`` in {0, 1}, 1 = hole.
        columns: frames at most, evenly spread over the clip, the middle one among them.
        top: how many of the patches that are borrowed from most have a border.
        block: which transformer block; -1 is the last.

    Returns:
        ``attention``: a row per head, largest patches first in the paper's network. The light follows the attention;
        the patch that the hole covers most has a white border, what it borrows from most a yellow one.

    Source: STTN (arXiv:2007.10247), figures 3 and 6.
    """
    middle = frames.shape[0] // 2
    others = evenly([index for index in range(frames.shape[0]) if index != middle], columns - 1)
    chosen = sorted([middle, *others])
    shown, holes = frames[chosen], masks[chosen]
    with torch.no_grad():
        maps = network.attention_maps(shown.unsqueeze(0), holes.unsqueeze(0), block=block)
    seen, target = hide_holes(shown, holes, _HIDDEN), chosen.index(middle)
    return {"attention": [_head(seen, holes, weights[0].float(), network, target=target, top=top) for weights in maps]}


def patch_in_hole(hole: Tensor, grid: tuple[int, int]) -> tuple[int, int]:
    """Find the patch of a frame that its hole covers most.

    Args:
        hole: ``(H, W)`` in {0, 1}, of a size that the grid divides.
        grid: patches per frame, (rows, columns).

    Returns:
        Row and column.
    """
    rows, columns = grid
    covered = hole.reshape(rows, hole.shape[0] // rows, columns, hole.shape[1] // columns).mean(dim=(1, 3))
    row, column = divmod(int(covered.argmax()), columns)
    return row, column


def strongest(attention: Tensor, top: int) -> list[Patch]:
    """List the patches that have most of the attention ``(T', rows, columns)``, the strongest first."""
    rows, columns = attention.shape[1:]
    order = attention.flatten().topk(min(top, attention.numel())).indices.tolist()
    return [Patch(place // (rows * columns), place // columns % rows, place % columns) for place in order]


def _head(frames: Tensor, masks: Tensor, weights: Tensor, network: STTN, *, target: int, top: int) -> list[Tensor]:
    """One head's row: ``weights`` is ``(T', rows, columns, T', rows, columns)``."""
    _, _, height, width = frames.shape
    grid = (weights.shape[1], weights.shape[2])
    full = tuple(side + -side % multiple for side, multiple in zip((height, width), network.multiple, strict=True))
    patch = (full[0] // grid[0], full[1] // grid[1])
    hole = masks.new_zeros(full)  # frames are extended right and below until the patches divide them
    hole[:height, :width] = masks[target, 0]
    span = network.patch_frames
    query = Patch(target // span, *patch_in_hole(hole, grid))
    attention = weights[query]
    best = strongest(attention, top)
    light = attention / attention.amax().clamp_min(1e-12)
    light = light.repeat_interleave(patch[0], dim=1).repeat_interleave(patch[1], dim=2)[:, :height, :width]
    row = []
    for number, frame in enumerate(frames):
        image = frame * (_DARK + (1 - _DARK) * light[number // span])
        for source in best:
            if source.time == number // span:
                _outline(image, source, patch, SOURCE_COLOUR)
        if number == target:
            _outline(image, query, patch, QUERY_COLOUR)
        row.append(image)
    return row


def _outline(image: Tensor, place: Patch, size: tuple[int, int], colour: tuple[float, float, float]) -> None:
    """Draw the border of a patch, inside it and inside the image ``(3, H, W)``, which is changed."""
    top, left = place.row * size[0], place.column * size[1]
    bottom, right = min(top + size[0], image.shape[1]), min(left + size[1], image.shape[2])
    thick = max(1, image.shape[1] // 120)
    drawn = torch.tensor(colour, dtype=image.dtype, device=image.device)[:, None, None]
    for rows, columns in (
        ((top, top + thick), (left, right)),
        ((bottom - thick, bottom), (left, right)),
        ((top, bottom), (left, left + thick)),
        ((top, bottom), (right - thick, right)),
    ):
        image[:, max(rows[0], 0) : rows[1], max(columns[0], 0) : columns[1]] = drawn
