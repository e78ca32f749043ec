"""Which frames of a clip a single target borrows from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from vinpaint.errors import UserError

ScheduleKind = Literal["grid", "released"]


class ReferenceSchedule:
    """Lists the references of each frame: every few frames, in a span of the clip around it.

    Args:
        num_frames: length of the clip.
        radius: frames on each side that the span reaches; where the clip ends it reaches farther on the other side.
        stride: every how many frames of the span one is a reference.
        max_references: at most so many per target, the nearest (the earlier of two equally near). None: all.
        kind: ``grid`` takes multiples of ``stride`` and the clip's last frame. ``released`` is the schedule of the
            released CPNet: it counts from the start of the span, so that in clips longer than two radii even and odd
            frames borrow from disjoint sets, and a span that reaches past the end stops before the last frame, which
            next to no frame ever borrows from.

    Raises:
        UserError: if a number is too small or ``kind`` is none of these.

    Source: Copy-and-Paste Networks (arXiv:1908.11587), released test script: radius 120, stride 2, no cap.
    """

    def __init__(
        self,
        num_frames: int,
        *,
        radius: int,
        stride: int,
        max_references: int | None = None,
        kind: ScheduleKind = "grid",
    ) -> None:
        if radius < 0 or stride < 1 or (max_references is not None and max_references < 0):
            raise UserError(
                f"reference_radius={radius}, reference_stride={stride}, max_references={max_references}: expected at "
                "least 0, 1 and 0"
            )
        if kind not in ("grid", "released"):
            raise UserError(f"reference_schedule={kind}: expected grid or released")
        self.num_frames = num_frames
        self.radius = radius
        self.stride = stride
        self.max_references = max_references
        self.kind = kind

    def references(self, target: int) -> tuple[int, ...]:
        """List the references of a frame, ascending, itself not among them."""
        found = [index for index in self._candidates(target) if index != target]
        if self.max_references is not None:
            found = sorted(found, key=lambda index: (abs(index - target), index))[: self.max_references]
        return tuple(sorted(found))

    def kept_after(self, indices: Iterable[int], target: int, step: Literal[1, -1]) -> set[int]:
        """Tell which frames may still be references when targets are taken in order.

        Args:
            indices: the frames.
            target: the target just completed.
            step: 1 for targets in temporal order, -1 for the reverse.

        Returns:
            Those of ``indices`` that a later target borrows from, or would if there were no nearer ones.
        """
        coming = target + step
        if not 0 <= coming < self.num_frames:
            return set()
        first, last = self._bounds_from(coming, step)
        return {index for index in indices if (index >= first if step > 0 else index <= last) and self._serves(index)}

    def _bounds_from(self, target: int, step: Literal[1, -1]) -> tuple[int, int]:
        """Bounds that no reference of a target or of those after it crosses: downwards if step is 1, else upwards."""
        if self.kind == "released":
            # past the one span that reaches the last frame exactly, spans stop a frame earlier
            first, end = self._released_span(target)
            return first, max(end, min(self.num_frames, target + self.radius)) - 1
        # spans only move on, and which frames of a span are references repeats after `stride` targets
        bounds = [
            (references[0], references[-1])
            for later in range(target, target + step * self.stride, step)
            if 0 <= later < self.num_frames and (references := self.references(later))
        ]
        return min((first for first, _ in bounds), default=self.num_frames), max(
            (last for _, last in bounds), default=-1
        )

    def _serves(self, index: int) -> bool:
        return self.kind == "released" or index % self.stride == 0 or index == self.num_frames - 1

    def _candidates(self, target: int) -> list[int]:
        if self.kind == "released":
            return list(range(*self._released_span(target), self.stride))
        end = self.num_frames - 1
        first, last = target - self.radius, target + self.radius
        if first < 0:
            first, last = 0, min(2 * self.radius, end)
        elif last > end:
            first, last = max(0, first - (last - end)), end
        found = list(range(-(-first // self.stride) * self.stride, last + 1, self.stride))
        return [*found, last] if last == end and last % self.stride else found

    def _released_span(self, target: int) -> tuple[int, int]:
        """First frame of the span and the one after its last."""
        first, end = target - self.radius, target + self.radius
        if first < 0:
            return 0, 2 * self.radius if 2 * self.radius <= self.num_frames else self.num_frames - 1
        if end > self.num_frames:
            return max(0, first - (end - self.num_frames)), self.num_frames - 1
        return first, end
