"""Which frames are completed together: windows of neighbours, and references from the rest of the clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import NamedTuple

from vinpaint.errors import UserError


class Window(NamedTuple):
    """Frames that a network sees together.

    Attributes:
        center: the frame the window is about.
        neighbors: the frames around it, which are completed.
        references: frames from elsewhere in the clip, which are only looked at; ascending, none of them a neighbour.
    """

    center: int
    neighbors: range
    references: tuple[int, ...]


def window_schedule(
    num_frames: int,
    *,
    neighbor_radius: int = 5,
    neighbor_stride: int = 5,
    reference_stride: int = 10,
    max_references: int | None = None,
    end_of_shot: Callable[[int, int], int] | None = None,
) -> Iterator[Window]:
    """List the windows of a clip in order.

    Args:
        num_frames: length of the clip.
        neighbor_radius: frames on each side of a centre that are completed with it.
        neighbor_stride: frames from one centre to the next; at most ``neighbor_radius + 1``, or frames would be
            left out.
        reference_stride: every how many frames of the clip one is a reference.
        max_references: at most so many references per window, the nearest to the centre (the earlier of two equally
            near). None takes all, so that a window grows with the clip.
        end_of_shot: given the first frame of a shot and where to stop looking, tells where the shot ends (see
            :meth:`vinpaint.inference.shots.Shots.end_of`): every shot has windows as if it were a clip. None: one shot.

    Yields:
        The windows; every frame is a neighbour in at least one.

    Raises:
        UserError: if the numbers leave frames out or are not positive.

    Source: the public code of STTN; equation 1 of the paper. ``max_references`` bounds what FuseFormer and E2FGVI bound
    with ``num_ref``: they take every tenth frame counted from the centre and may keep one more; here references stay on
    the clip's own grid, so that the features of each are computed once.
    """
    if neighbor_radius < 0 or reference_stride < 1 or (max_references is not None and max_references < 0):
        raise UserError(
            f"neighbor_radius={neighbor_radius}, reference_stride={reference_stride}, max_references={max_references}: "
            "expected at least 0, 1 and 0"
        )
    if not 1 <= neighbor_stride <= neighbor_radius + 1:
        raise UserError(
            f"neighbor_stride={neighbor_stride}: expected 1 to {neighbor_radius + 1} (neighbor_radius + 1), or frames "
            "between two windows would stay incomplete"
        )
    start = 0
    while start < num_frames:
        end = num_frames
        for center in count(start, neighbor_stride):
            if end_of_shot is not None:
                far = num_frames
                if max_references is not None:
                    far = min(center + neighbor_radius + 1 + (max_references + 1) * reference_stride, num_frames)
                end = end_of_shot(start, far)
            if center >= end:
                break
            neighbors = range(max(start, center - neighbor_radius), min(end, center + neighbor_radius + 1))
            references = _references(center, neighbors, range(start, end), reference_stride, max_references)
            yield Window(center, neighbors, references)
        start = end


def _references(center: int, neighbors: range, shot: range, stride: int, limit: int | None) -> tuple[int, ...]:
    grid = shot[::stride]
    if limit is None:
        return tuple(index for index in grid if index not in neighbors)
    # the nearest are among the first `limit` on either side: a look at all of them would take longer with every frame
    passed = -(-(neighbors.start - shot.start) // stride)  # places of the grid that lie before the neighbours
    reached = -(-(neighbors.stop - shot.start) // stride)
    near = (*grid[max(passed - limit, 0) : passed], *grid[reached : reached + limit])
    return tuple(sorted(sorted(near, key=lambda index: (abs(index - center), index))[:limit]))
