"""One clip read by two: nothing is read before the one ahead has, and every frame comes as it is."""

from __future__ import annotations

import numpy as np

from engine_promises import WatchedClip, noise, wandering_box
from vinpaint.inference.inpainter import MaskedClip
from vinpaint.inference.shared_reads import SharedReads
from vinpaint.masks import ArrayMasks


def test_frames_are_taken_as_they_are_and_read_again_a_few_at_a_time() -> None:
    frames, holes = noise(40, 4, 5), wandering_box(40, 4, 5)
    watched = WatchedClip(frames)
    shared = SharedReads(MaskedClip(watched, ArrayMasks(holes)))
    turns = 0
    for index in range(40):
        if index + 20 < 40:
            shared.read(range(21) if index == 0 else [index + 20])
        before = len(watched.asked)
        frame, hole = shared.take(index)
        turns += len(watched.asked) > before
        assert np.array_equal(frame, frames[index])
        assert np.array_equal(hole, holes[index])
    assert turns == 5
    assert len(watched.asked) == 40 + 40


def test_nothing_is_read_before_the_one_ahead_has() -> None:
    watched = WatchedClip(noise(12, 4, 5))
    shared = SharedReads(MaskedClip(watched, ArrayMasks(wandering_box(12, 4, 5))))
    for index in range(10):
        shared.read([index, index + 2])
        shared.take(index)
        assert max(watched.asked) == index + 2
