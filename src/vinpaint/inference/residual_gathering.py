"""Detail for the hole of one frame, from aligned references and from patches of the frame itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vinpaint.inference.residual_candidates import Candidate, ReducedFrame, SpatialScores
from vinpaint.ops.infill import harmonic_infill
from vinpaint.ops.lifting import full_size_places, inside, reduced_places, sample_at
from vinpaint.ops.region import region_of
from vinpaint.ops.residual_patches import (
    aggregate_patches,
    cell_grid,
    cells_touched,
    patch_attention,
    patch_features,
)
from vinpaint.ops.residual_selection import Selection, residual_sum
from vinpaint.ops.residuals import agreement_error, detail_at, enlarge_frames, identity_places, known_at

_CELL = 16
"""Pixels of the reduced frame per side of the cells between which detail is carried: the grid of HiFill."""

_AROUND = 8
"""Pixels around what no reference shows whose residuals are continued into it."""


@dataclass
class HeldFrame:
    """A frame at both sizes.

    Attributes:
        index: its number in the clip.
        levels: ``(H, W, 3)`` uint8; 0 in the hole until the frame is complete.
        hole: ``(H, W)`` bool; stays the original one.
        reduced: the completed reduced frame.
        completed: whether the hole has been filled at full size.
    """

    index: int
    levels: Tensor
    hole: Tensor
    reduced: ReducedFrame
    completed: bool = False

    @classmethod
    def open(cls, index: int, frame: NDArray[np.uint8], hole: NDArray[np.bool_], reduced: ReducedFrame) -> HeldFrame:
        """Hold a frame ``(H, W, 3)`` whose hole ``(H, W)`` is yet to be filled at full size; what is there is lost."""
        mask = torch.from_numpy(hole)
        levels = torch.from_numpy(frame).masked_fill_(mask[..., None], 0)
        return cls(index, levels, mask, reduced)

    @property
    def size(self) -> tuple[int, int]:
        return self.hole.shape[0], self.hole.shape[1]

    def pixels(self, rows: slice = slice(None), columns: slice = slice(None)) -> Tensor:
        """Part of the frame, ``(3, h, w)`` float32 in [0, 1]."""
        return self.levels[rows, columns].movedim(-1, 0).float().div_(255)

    def complete(self, filled: Tensor) -> None:
        """Keep what the hole is filled with, ``(3, N)`` in [0, 1] row by row, to the nearest level."""
        self.levels[self.hole] = filled.mul(255).round_().to(torch.uint8).T
        self.completed = True


def hole_pixels(hole: Tensor) -> Tensor:
    """The pixels of a hole ``(H, W)`` bool, row by row: ``(N, 2)`` float32 px, x first."""
    return hole.nonzero().flip(-1).float()


def temporal_residual(
    target: HeldFrame,
    frames: Mapping[int, HeldFrame],
    candidates: Sequence[Candidate],
    places: Tensor,
    scale: int,
    *,
    select: Selection,
    topk: int,
    temperature: float,
    gate: float | None,
) -> tuple[Tensor, Tensor]:
    """Carry detail from references into a hole.

    Args:
        target: the frame with the hole.
        frames: the references, by number; candidates whose reference is not there are left out.
        candidates: how they are aligned.
        places: the pixels of the hole, ``(N, 2)``.
        scale: as the frames are reduced.
        select: see :func:`vinpaint.ops.residual_selection.residual_sum`.
        topk: see there.
        temperature: see there.
        gate: a disagreement from which a reference is left out.

    Returns:
        The residual ``(3, N)``, 0 where no reference shows anything, and where one does, ``(N,)`` bool.
    """
    total = residual_sum(select, count=topk, temperature=temperature)
    inner = reduced_places(places, scale)
    box = _Box.around(target.reduced.hole > 0, margin=3)  # the square over which agreement is averaged, and a tap
    gathered = False
    for candidate in candidates:
        reference = frames.get(candidate.index)
        if reference is None:
            continue
        there = full_size_places(candidate.position(inner), scale)
        visible = inside(there, reference.size)
        if candidate.visible is not None:
            visible &= sample_at(candidate.visible[None], inner)[0] > 0.5
        rows, columns = _around(there[visible], reference.size)
        origin = (rows.start, columns.start)
        if not (reference.completed and candidate.completed):
            holes = reference.hole[rows, columns].float()
            visible &= known_at(holes, there, origin=origin)
            visible &= known_at(reference.reduced.hole, reduced_places(there, scale))
        error = sample_at(box.error(target.reduced, reference.reduced, candidate)[None], inner - box.corner)[0]
        if gate is not None:
            visible &= error <= gate
        if not visible.any():
            continue
        logits = candidate.logits.float()
        logits = sample_at(logits[None], inner)[0] if logits.ndim else logits.expand(len(places))
        part = reference.pixels(rows, columns)
        total.add(detail_at(part, reference.reduced.image, there, scale, origin=origin), visible, logits, error)
        gathered = True
    if not gathered:
        return places.new_zeros((3, len(places))), torch.zeros(len(places), dtype=torch.bool)
    return total.result()


def cells_left_over(reduced: ReducedFrame, left_over: Tensor, scale: int) -> SpatialScores | None:
    """Score what no reference shows against the rest of its frame by hand-made features.

    Args:
        reduced: the completed reduced frame.
        left_over: pixels of the full-size frame that nothing shows, ``(H, W)`` bool.
        scale: as the frame is reduced.

    Returns:
        The scores, or None if no cell of the frame is free of them.
    """
    h, w = reduced.hole.shape
    grid = cell_grid((h, w), _CELL)
    touched = cells_touched(left_over, _CELL * scale)
    near = F.max_pool2d(touched.float()[None, None], 3, 1, 1)[0, 0] > 0
    free = ~near
    if left_over.shape[0] % (_CELL * scale):
        free[-1] = False  # the border runs through these cells
    if left_over.shape[1] % (_CELL * scale):
        free[:, -1] = False
    queries, keys = touched.flatten().nonzero()[:, 0], free.flatten().nonzero()[:, 0]
    if not len(keys):
        return None
    weights = patch_attention(patch_features(reduced.image, _CELL), queries, keys)
    return SpatialScores(_CELL, grid, queries, keys, weights)


def continued_residual(target: HeldFrame, temporal: Tensor, left_over: Tensor, *, scale: int) -> Tensor:
    """Continue the residual of known pixels and of what references show smoothly over what none shows.

    Args:
        target: the frame.
        temporal: detail of references at the pixels of the hole, row by row, ``(3, N)``.
        left_over: what is to be filled, ``(H, W)`` bool.
        scale: as the frame is reduced.

    Returns:
        ``(3, N)`` at the pixels of the hole; what references show is as it was.
    """
    residual = _residual(target, temporal, scale)
    around = region_of(left_over[None]).grown(_AROUND, target.size)  # what lies farther has no say
    around.of(residual)[:] = harmonic_infill(around.of(residual)[None], around.of(~left_over)[None, None])[0]
    return residual[:, target.hole]


def spatial_residual(
    target: HeldFrame, temporal: Tensor, left_over: Tensor, scores: SpatialScores, *, scale: int
) -> Tensor:
    """Carry detail from patches of a frame to what no reference shows.

    Args:
        target: the frame.
        temporal: detail of references at the pixels of the hole, row by row, ``(3, N)``; 0 where they show none.
        left_over: what is to be filled, ``(H, W)`` bool.
        scores: which patches are alike.
        scale: as the frame is reduced.

    Returns:
        ``(3, N)`` at the N pixels left over, row by row.
    """
    residual = _residual(target, temporal, scale)
    # beside the hole the enlarged frame mixes in what was completed
    mixed = enlarge_frames(target.reduced.hole[None, None], scale, target.size)[0, 0] > 0
    residual.masked_fill_(mixed & ~target.hole, 0)
    # one colour at a time: patches of a whole frame are several copies of it
    return torch.stack([
        aggregate_patches(colour[None], scores.queries, scores.keys, scores.weights, scores.cell * scale)[0, left_over]
        for colour in residual
    ])  # fmt: skip


def _residual(target: HeldFrame, temporal: Tensor, scale: int) -> Tensor:
    """A frame minus its enlarged reduced frame, in the hole what references show of that, ``(3, H, W)``."""
    residual = target.pixels().sub_(enlarge_frames(target.reduced.image[None], scale, target.size)[0])
    residual[:, target.hole] = temporal
    return residual


@dataclass(frozen=True)
class _Box:
    """The part of a reduced frame in which agreement is looked at."""

    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def around(cls, mask: Tensor, margin: int) -> _Box:
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        height, width = mask.shape
        return cls(
            max(int(rows[0]) - margin, 0), max(int(columns[0]) - margin, 0),
            min(int(rows[-1]) + margin + 1, height), min(int(columns[-1]) + margin + 1, width),
        )  # fmt: skip

    @property
    def corner(self) -> Tensor:
        return torch.tensor([self.left, self.top], dtype=torch.float32)

    def error(self, target: ReducedFrame, reference: ReducedFrame, candidate: Candidate) -> Tensor:
        """Disagreement of an aligned reference with the target, ``(b, d)``."""
        places = candidate.position(identity_places(self.bottom - self.top, self.right - self.left) + self.corner)
        here = target.image[:, self.top : self.bottom, self.left : self.right]
        return agreement_error(here, sample_at(reference.image, places).reshape_as(here))


def _around(places: Tensor, size: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns of a frame that bilinear samples at places in it take."""
    if not len(places):
        return slice(0, 1), slice(0, 1)
    (left, top), (right, bottom) = places.amin(0).floor().int().tolist(), places.amax(0).floor().int().tolist()
    return slice(max(top, 0), min(bottom + 2, size[0])), slice(max(left, 0), min(right + 2, size[1]))
