"""What every engine promises, whatever it does inside a hole: one tester for all of them.

A test file subclasses :class:`EnginePromises` under a name that starts with ``Test`` and gives the fixture ``engine``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from vinpaint.inference.inpainter import Inpainter, MaskedClip
from vinpaint.masks import ArrayMasks
from vinpaint.ops.conversion import mask_to_tensor, to_tensor
from vinpaint.video import ArrayClip

Frames = NDArray[np.uint8]
Holes = NDArray[np.bool_]


class WatchedClip(ArrayClip):
    """A clip that writes down which frames are asked for."""

    def __init__(self, frames: Frames) -> None:
        super().__init__(frames)
        self.asked: list[int] = []

    def read(self, indices: Sequence[int]) -> Frames:
        self.asked.extend(int(index) for index in indices)
        return super().read(indices)


def noise(num_frames: int, height: int, width: int, *, seed: int = 0) -> Frames:
    """Frames ``(T, H, W, 3)`` of independent noise: no engine can complete them, every engine must survive them."""
    return np.random.default_rng(seed).integers(0, 256, (num_frames, height, width, 3), np.uint8)


def wandering_box(num_frames: int, height: int, width: int) -> Holes:
    """A hole ``(T, H, W)`` of at least one pixel that moves from frame to frame, over the border too."""
    holes = np.zeros((num_frames, height, width), bool)
    for index, hole in enumerate(holes):
        top, left = (index * 2) % height, (width // 2 + index * 3) % width
        hole[top : top + max(1, height // 3), left : left + max(1, width // 4)] = True
    return holes


def complete(engine: Inpainter, frames: Frames, holes: Holes) -> Tensor:
    """Complete frames held in memory: ``(T, 3, H, W)``."""
    return torch.stack(list(engine.stream(MaskedClip(ArrayClip(frames), ArrayMasks(holes)))))


def assert_kept(completed: Tensor, frames: Frames, holes: Holes) -> None:
    """Assert count, size, type and range, and that every known pixel is the input's to the bit."""
    known = to_tensor(frames)
    assert completed.shape == known.shape
    assert completed.dtype == torch.float32
    assert completed.device.type == "cpu"
    assert completed.min() >= 0
    assert completed.max() <= 1
    outside = (mask_to_tensor(holes) == 0).expand_as(known)
    assert torch.equal(completed[outside], known[outside])


class EnginePromises:
    """The promises of :class:`vinpaint.inference.inpainter.Inpainter`.

    Attributes:
        look_ahead: frames that may be read beyond the one that is yielded; None if the engine promises nothing.
    """

    look_ahead: int | None = None

    @pytest.fixture
    def engine(self) -> Inpainter:
        raise NotImplementedError("give the engine under test")

    def test_it_is_an_engine(self, engine: Inpainter) -> None:
        assert isinstance(engine, Inpainter)

    @pytest.mark.parametrize("size", [(36, 48), (31, 45), (3, 50), (2, 2), (1, 1)])
    @pytest.mark.parametrize("num_frames", [1, 5])
    def test_known_pixels_are_untouched_at_any_size(
        self, engine: Inpainter, num_frames: int, size: tuple[int, int]
    ) -> None:
        frames, holes = noise(num_frames, *size), wandering_box(num_frames, *size)
        assert_kept(complete(engine, frames, holes), frames, holes)

    @pytest.mark.parametrize("num_frames", [1, 6])
    def test_hole_content_is_irrelevant(self, engine: Inpainter, num_frames: int) -> None:
        frames, holes = noise(num_frames, 31, 45), wandering_box(num_frames, 31, 45)
        holes[num_frames // 2] = True
        other = frames.copy()
        other[holes] = noise(num_frames, 31, 45, seed=1)[holes]
        assert not np.array_equal(frames, other)
        assert torch.equal(complete(engine, frames, holes), complete(engine, other, holes))

    @pytest.mark.parametrize("num_frames", [1, 4])
    def test_a_clip_without_holes_passes_untouched(self, engine: Inpainter, num_frames: int) -> None:
        frames = noise(num_frames, 31, 45)
        completed = complete(engine, frames, np.zeros(frames.shape[:3], bool))
        assert torch.equal(completed, to_tensor(frames))

    @pytest.mark.parametrize("num_frames", [1, 4])
    def test_a_clip_that_is_all_hole_is_completed_with_something(self, engine: Inpainter, num_frames: int) -> None:
        frames = noise(num_frames, 31, 45)
        holes = np.ones(frames.shape[:3], bool)
        assert_kept(complete(engine, frames, holes), frames, holes)

    def test_a_frame_that_is_all_hole_between_others_is_completed(self, engine: Inpainter) -> None:
        frames, holes = noise(5, 31, 45), wandering_box(5, 31, 45)
        holes[2] = True
        assert_kept(complete(engine, frames, holes), frames, holes)

    def test_clips_do_not_see_each_other(self, engine: Inpainter) -> None:
        frames, holes = noise(4, 31, 45), wandering_box(4, 31, 45)
        before = complete(engine, frames, holes)
        complete(engine, noise(3, 20, 24, seed=1), wandering_box(3, 20, 24))
        assert torch.equal(complete(engine, frames, holes), before)

    def test_the_input_is_not_written_to(self, engine: Inpainter) -> None:
        frames, holes = noise(4, 31, 45), wandering_box(4, 31, 45)
        kept = frames.copy(), holes.copy()
        for frame in engine.stream(MaskedClip(ArrayClip(frames), ArrayMasks(holes))):
            frame.zero_()
        assert np.array_equal(frames, kept[0])
        assert np.array_equal(holes, kept[1])

    def test_frames_leave_as_they_finish(self, engine: Inpainter) -> None:
        if self.look_ahead is None:
            pytest.skip("this engine does not say how far it looks ahead")
        num_frames = self.look_ahead + 6
        clip = WatchedClip(noise(num_frames, 20, 24))
        stream = engine.stream(MaskedClip(clip, ArrayMasks(wandering_box(num_frames, 20, 24))))
        assert clip.asked == []
        for index, _ in enumerate(stream):
            assert max(clip.asked) <= index + self.look_ahead
        assert set(clip.asked) == set(range(num_frames))
