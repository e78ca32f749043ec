"""Which frames are completed together: windows of neighbours, and references from the rest of the clip."""

from __future__ import annotations

from collections.abc import Iterator
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
    for center in range(0, num_frames, neighbor_stride):
        neighbors = range(max(0, center - neighbor_radius), min(num_frames, center + neighbor_radius + 1))
        yield Window(center, neighbors, _references(center, neighbors, num_frames, reference_stride, max_references))


def _references(center: int, neighbors: range, num_frames: int, stride: int, limit: int | None) -> tuple[int, ...]:
    if limit is None:
        return tuple(index for index in range(0, num_frames, stride) if index not in neighbors)
    # the nearest are among the first `limit` on either side: a look at all of them would take longer with every frame
    before = range((neighbors.start - 1) // stride * stride, -1, -stride)[:limit]
    after = range(-(-neighbors.stop // stride) * stride, num_frames, stride)[:limit]
    nearest = sorted((*before, *after), key=lambda index: (abs(index - center), index))[:limit]
    return tuple(sorted(nearest))
