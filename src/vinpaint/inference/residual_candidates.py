"""What residual aggregation needs to know of a completed frame: which others show the same, where, and how alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

from torch import Tensor

from vinpaint.inference.inpainter import MaskedClip
from vinpaint.ops.lifting import affine_places, lift_affine, sample_at


class DenseMap(Protocol):
    """Takes places of the target to places of the reference."""

    def __call__(self, places: Tensor) -> Tensor:
        """Map places ``(N, 2)`` float32, in pixels of the reduced frames, x first, pixel centres integers."""
        ...


@dataclass(frozen=True)
class AffineMap:
    """An affine map as an alignment network gives it.

    Attributes:
        theta: ``(2, 3)``, target to reference, normalised with ``align_corners=True``.
        size: (height, width) of the reduced frames.
    """

    theta: Tensor
    size: tuple[int, int]

    @cached_property
    def _lifted(self) -> Tensor:
        return lift_affine(self.theta.float(), self.size)

    def __call__(self, places: Tensor) -> Tensor:
        return affine_places(self._lifted, places, self.size)


@dataclass(frozen=True)
class FlowMap:
    """Optical flow.

    Attributes:
        flow: ``(2, h, w)`` pixels of the reduced frames, target to reference, channel 0 = x. Between pixels it is
            bilinear, so at full size it is the flow enlarged, times the scale.
    """

    flow: Tensor

    def __call__(self, places: Tensor) -> Tensor:
        return places + sample_at(self.flow, places).T


@dataclass(frozen=True)
class Candidate:
    """A reference aligned with the target.

    Attributes:
        index: number of the reference in the clip; one frame may be aligned in several ways.
        position: where each place of the target lies in it.
        logits: of the softmax over candidates, ``()`` or ``(h, w)`` on the grid of the reduced target.
        visible: where the map is believed, ``(h, w)`` in [0, 1] on the same grid, more than half counts; None:
            everywhere. The reference's hole and border need not be in it, they are tested at full size.
        completed: whether what the reference's own hole was filled with may be used. Frames not completed yet, those
            after the target, offer known pixels alone whatever this says.
    """

    index: int
    position: DenseMap
    logits: Tensor
    visible: Tensor | None = None
    completed: bool = True


@dataclass(frozen=True)
class SpatialScores:
    """Attention of what no reference shows over the rest of the frame, on a grid of square cells.

    Attributes:
        cell: side of a cell in pixels of the reduced frame.
        grid: (rows, columns) of cells, the last ones possibly reaching over the border.
        queries: cells to fill, row by row, ``(Q,)`` int64.
        keys: cells to fill them from, ``(K,)`` int64.
        weights: ``(Q, K)`` float32, each row sums to 1.
    """

    cell: int
    grid: tuple[int, int]
    queries: Tensor
    keys: Tensor
    weights: Tensor


@dataclass(frozen=True)
class AggregationPlan:
    """What to fill the hole of one frame from.

    Attributes:
        candidates: aligned references, in any order.
        spatial: scores for what none of them shows; None: scored by hand-made features.
    """

    candidates: Sequence[Candidate]
    spatial: SpatialScores | None = None


@dataclass
class ReducedFrame:
    """A frame completed at reduced size.

    Attributes:
        image: ``(3, h, w)`` float32 in [0, 1], what residuals are taken against. Known pixels are the means of the
            full-size ones, or what the engine makes of them.
        hole: ``(h, w)`` float32 in {0, 1}, 1 wherever the full-size hole covers any part of a pixel.
        flows: flow from this frame to earlier ones and back, as far as it has been estimated, ``(2, h, w)`` each.
    """

    image: Tensor
    hole: Tensor
    flows: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)


@runtime_checkable
class CandidateScores(Protocol):
    """Finds and scores candidates on completed reduced frames, for engines that do not tell their own."""

    @property
    def reach(self) -> int:
        """Frames between a target and its farthest reference."""
        ...

    def plan(self, target: int, frames: Mapping[int, ReducedFrame]) -> AggregationPlan:
        """Plan one frame.

        Args:
            target: its number.
            frames: all completed reduced frames within reach of it, itself included.
        """
        ...


@runtime_checkable
class PlanningInpainter(Protocol):
    """An engine that knows what it filled each frame from."""

    @property
    def reach(self) -> int:
        """Frames between a target and its farthest reference."""
        ...

    def stream_planned(self, clip: MaskedClip, *, known: bool = False) -> Iterator[tuple[Tensor, AggregationPlan]]:
        """Complete ``clip`` like :meth:`Inpainter.stream`, each frame with its plan.

        Args:
            clip: the clip.
            known: whether frames are wanted as the engine makes them, known pixels included; otherwise it does not
                matter what stands there.
        """
        ...
