"""Frames written by another thread: in order, all of them, and failures arrive."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from vinpaint.video.behind import written_behind


def frame(value: int) -> np.ndarray:
    return np.full((1, 1, 3), value, np.uint8)


def test_all_frames_are_written_in_order_by_another_thread() -> None:
    written: list[tuple[int, bool]] = []
    with written_behind(
        lambda one: written.append((int(one[0, 0, 0]), threading.current_thread() is threading.main_thread()))
    ) as write:
        for value in range(40):
            write(frame(value))
    assert written == [(value, False) for value in range(40)]


def test_a_slow_writer_holds_up_whoever_hands_over() -> None:
    free, written = threading.Semaphore(0), []

    def slow(one: np.ndarray) -> None:
        assert free.acquire(timeout=60)
        written.append(int(one[0, 0, 0]))

    handed = 0
    with written_behind(slow) as write:
        for value in range(4):
            write(frame(value))
            handed += 1
        assert written == []
        waiting = threading.Thread(target=lambda: write(frame(4)))
        waiting.start()
        waiting.join(timeout=0.05)
        assert waiting.is_alive(), "four frames wait already"
        free.release(5)
        waiting.join(timeout=60)
    assert written == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("count", [1, 30])
def test_what_the_writer_raises_is_raised(count: int) -> None:
    def fail(one: np.ndarray) -> None:
        raise OSError(f"no room for frame {one[0, 0, 0]}")

    def write_all() -> None:
        with written_behind(fail) as write:
            for value in range(count):
                write(frame(value))

    with pytest.raises(OSError, match="no room for frame 0"):
        write_all()


def test_an_exception_drops_what_waits() -> None:
    started, free, written = threading.Event(), threading.Event(), []

    def slow(one: np.ndarray) -> None:
        started.set()
        assert free.wait(timeout=60)
        written.append(int(one[0, 0, 0]))

    def interrupted() -> None:
        with written_behind(slow) as write:
            for value in range(3):
                write(frame(value))
            assert started.wait(timeout=60)
            threading.Timer(0.05, free.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert written == [0]
