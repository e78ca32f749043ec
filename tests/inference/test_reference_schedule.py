"""Which frames a target borrows from."""

from __future__ import annotations

from typing import Any

import pytest

from vinpaint.errors import UserError
from vinpaint.inference.reference_schedule import ReferenceSchedule


def released_references(target: int, num_frames: int, radius: int, stride: int) -> tuple[int, ...]:
    """The span of the released test script, written out case by case."""
    start, end = target - radius, target + radius
    if start < 0:
        end = 2 * radius
        if end > num_frames:
            end = num_frames - 1
        start = 0
    elif end > num_frames:
        start = max(start - (end - num_frames), 0)
        end = num_frames - 1
    return tuple(index for index in range(start, end, stride) if index != target)


@pytest.mark.parametrize("num_frames", [1, 2, 5, 60, 239, 240, 241, 300])
def test_the_released_schedule_is_the_released_scripts(num_frames: int) -> None:
    schedule = ReferenceSchedule(num_frames, radius=120, stride=2, kind="released")
    for target in range(num_frames):
        assert schedule.references(target) == released_references(target, num_frames, 120, 2)


def test_a_short_clip_is_borrowed_from_whole() -> None:
    released = ReferenceSchedule(6, radius=120, stride=2, kind="released")
    grid = ReferenceSchedule(6, radius=120, stride=2)
    assert [released.references(target) for target in (0, 3, 5)] == [(2, 4), (0, 2, 4), (0, 2, 4)]
    assert [grid.references(target) for target in (0, 3, 5)] == [(2, 4, 5), (0, 2, 4, 5), (0, 2, 4)]


def test_a_span_at_an_end_reaches_farther_to_the_other_side() -> None:
    schedule = ReferenceSchedule(20, radius=4, stride=2)
    assert schedule.references(0) == (2, 4, 6, 8)
    assert schedule.references(10) == (6, 8, 12, 14)
    assert schedule.references(11) == (8, 10, 12, 14)
    assert schedule.references(19) == (12, 14, 16, 18)


def test_a_cap_keeps_the_nearest() -> None:
    schedule = ReferenceSchedule(100, radius=120, stride=4, max_references=3)
    assert schedule.references(50) == (44, 48, 52)
    assert schedule.references(0) == (4, 8, 12)
    assert schedule.references(99) == (88, 92, 96)
    assert ReferenceSchedule(100, radius=120, stride=4, max_references=0).references(50) == ()


@pytest.mark.parametrize("kind", ["grid", "released"])
@pytest.mark.parametrize("step", [1, -1])
def test_nothing_that_a_later_target_borrows_is_dropped(kind: Any, step: Any) -> None:
    for num_frames in (1, 2, 7, 16, 33):
        for radius in (0, 2, 3, 5):
            for stride in (1, 2, 3):
                for cap in (None, 0, 1, 3):
                    schedule = ReferenceSchedule(
                        num_frames, radius=radius, stride=stride, max_references=cap, kind=kind
                    )
                    order = range(num_frames)[::step]
                    for position, target in enumerate(order):
                        kept = schedule.kept_after(range(num_frames), target, step)
                        seen = set(order[: position + 1])
                        later = [set(schedule.references(coming)) for coming in order[position + 1 :]]
                        assert set().union(*later) & seen <= kept


def test_what_is_kept_does_not_grow_with_the_clip() -> None:
    sizes = []
    for num_frames in (100, 400):
        schedule = ReferenceSchedule(num_frames, radius=20, stride=2, max_references=6)
        sizes.append(max(len(schedule.kept_after(range(target + 1), target, 1)) for target in range(num_frames)))
    assert sizes[0] == sizes[1] <= 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "reference_stride=0"),
        ({"radius": -1}, "reference_radius=-1"),
        ({"max_references": -2}, "max_references=-2"),
        ({"kind": "sparse"}, "reference_schedule=sparse: expected grid or released"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ReferenceSchedule(5, **{"radius": 2, "stride": 1, **options})
