"""Which frames a target borrows from when frames are completed in temporal order, and how long they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from vinpaint.errors import UserError

ReferenceStrategy = Literal["strided", "cpnet", "coverage"]

_CPNET_STRIDE = 2


class RecurrentReferences:
    """Lists near references, which optical flow can follow, and distant ones, none farther than a window.

    Unlike :class:`ReferenceSchedule` the window does not reach farther where the clip begins, so that the engine never
    looks further ahead than promised.

    Args:
        num_frames: length of the clip.
        near: nearest frames on each side.
        distant: further references at most, the nearest if there are more.
        window: frames on each side that references are taken from.
        strategy: which frames are distant references. ``strided``: evenly spaced ones, so few that the rest need not be
            kept; ``cpnet``: every second; ``coverage``: those that together show most of the target's hole, which they
            must not have in the same place. The paper says how many references there are, not which.

    Raises:
        UserError: if a number is too small or the strategy is none of these.
    """

    def __init__(
        self,
        num_frames: int,
        *,
        near: int,
        distant: int,
        window: int,
        strategy: ReferenceStrategy = "strided",
    ) -> None:
        if strategy not in get_args(ReferenceStrategy):
            raise UserError(f"reference_strategy={strategy}: expected {', '.join(get_args(ReferenceStrategy))}")
        if near < 0 or distant < 0 or window < near:
            raise UserError(
                f"near_references={near}, distant_references={distant}, reference_window={window}: expected at least "
                "0, 0 and near_references"
            )
        self.num_frames = num_frames
        self.near_count = near
        self.distant_count = distant
        self.window = window
        self.strategy = strategy
        self.stride = {"strided": max(2 * window // (distant + 1), 1), "cpnet": _CPNET_STRIDE, "coverage": 1}[strategy]

    @property
    def reach(self) -> int:
        """Frames between a target and its farthest reference."""
        return self.window if self.distant_count else self.near_count

    def near(self, target: int) -> tuple[int, ...]:
        """The near references of a frame, ascending."""
        return tuple(index for index in self._span(target, self.near_count) if index != target)

    def distant(self, target: int, hidden: Mapping[int, Tensor] | None = None) -> tuple[int, ...]:
        """The distant references of a frame, ascending.

        Args:
            target: number of the frame.
            hidden: for ``coverage`` how much of each cell of a frame lies in its hole, ``(P,)`` in [0, 1]; of the
                target and of all frames in its window.
        """
        found = [
            index
            for index in self._span(target, self.window)
            if abs(index - target) > self.near_count and index % self.stride == 0
        ]
        found.sort(key=lambda index: (abs(index - target), index))
        if self.strategy == "coverage" and hidden is not None:
            found = self._covering(target, found, hidden)
        return tuple(sorted(found[: self.distant_count]))

    def kept(self, index: int, coming: int) -> bool:
        """Whether a frame may be a reference of the target ``coming`` or of a later one."""
        reach = self.window if index % self.stride == 0 and self.distant_count else self.near_count
        return index >= coming - reach

    def _span(self, target: int, reach: int) -> range:
        return range(max(target - reach, 0), min(target + reach, self.num_frames - 1) + 1)

    def _covering(self, target: int, found: list[int], hidden: Mapping[int, Tensor]) -> list[int]:
        """Pick frame after frame the one that adds most, what is shown already counting half as much each time."""
        wanted = hidden[target]
        chosen: list[int] = []
        remaining = list(found)
        while remaining and len(chosen) < self.distant_count:
            gains = torch.stack([((1 - hidden[index]) * wanted).sum() for index in remaining])
            best = remaining.pop(int((gains >= gains.max() - 1e-6).nonzero()[0, 0]))
            chosen.append(best)
            wanted = wanted * (1 + hidden[best]) / 2
        return chosen
