"""The engine without weights: what it recovers, what it leaves alone, how far it looks."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from vinpaint.errors import UserError
from vinpaint.inference.flow_guided import FlowGuidedInpainter
from vinpaint.inference.inpainter import Inpainter, MaskedClip
from vinpaint.masks import ArrayMasks
from vinpaint.ops.conversion import to_uint8
from vinpaint.video import ArrayClip

Pictures = NDArray[np.uint8]
Holes = NDArray[np.bool_]


def texture(height: int, width: int, seed: int = 0) -> Pictures:
    noise = gaussian_filter(np.random.default_rng(seed).random((height, width, 3)), (2, 2, 0))
    noise = (noise - noise.min()) / (noise.max() - noise.min())
    return (noise * 255).round().astype(np.uint8)


def moving_hole(num_frames: int, height: int, width: int, side: int = 16, speed: int = 3) -> Holes:
    holes = np.zeros((num_frames, height, width), bool)
    for t in range(num_frames):
        left = (8 + speed * t) % (width - side - 8)
        holes[t, height // 3 : height // 3 + side, left : left + side] = True
    return holes


def panning(num_frames: int, height: int, width: int, step: int = 2) -> Pictures:
    scene = texture(height, width + step * num_frames)
    return np.stack([scene[:, step * t : step * t + width] for t in range(num_frames)])


def complete(frames: Pictures, holes: Holes, **options: object) -> Pictures:
    engine = FlowGuidedInpainter(**options)  # type: ignore[arg-type]
    clip = MaskedClip(ArrayClip(frames), ArrayMasks(holes))
    return np.stack([to_uint8(frame) for frame in engine.stream(clip)])


def psnr(truth: Pictures, completed: Pictures, holes: Holes) -> float:
    error = np.square(truth.astype(np.float64) - completed)
    return float(10 * np.log10(255**2 / (error * holes[..., None]).mean()))


def test_a_panned_texture_is_recovered() -> None:
    frames, holes = panning(10, 96, 128), moving_hole(10, 96, 128, speed=4)
    assert psnr(frames, complete(frames, holes), holes) > 40


def test_a_static_scene_is_recovered_exactly() -> None:
    frames = np.repeat(texture(72, 96)[None], 10, axis=0)
    holes = moving_hole(10, 72, 96, speed=5)
    np.testing.assert_array_equal(complete(frames, holes), frames)


def test_known_pixels_are_untouched() -> None:
    frames = np.random.default_rng(1).integers(0, 256, (6, 48, 64, 3), dtype=np.uint8)
    holes = moving_hole(6, 48, 64)
    completed = complete(frames, holes)
    np.testing.assert_array_equal(completed[~holes], frames[~holes])


@pytest.mark.parametrize("max_flow_side", [640, 48])
def test_what_lies_under_the_hole_has_no_influence(max_flow_side: int) -> None:
    frames, holes = panning(6, 60, 80), moving_hole(6, 60, 80)
    other = frames.copy()
    other[holes] = np.random.default_rng(2).integers(0, 256, (int(holes.sum()), 3))
    options = {"max_flow_side": max_flow_side}
    np.testing.assert_array_equal(complete(frames, holes, **options), complete(other, holes, **options))


def test_equal_runs_give_equal_frames() -> None:
    frames, holes = panning(5, 60, 80), moving_hole(5, 60, 80)
    np.testing.assert_array_equal(complete(frames, holes), complete(frames, holes))


def test_large_frames_are_completed_at_their_own_sharpness() -> None:
    frames, holes = panning(8, 192, 256, step=4), moving_hole(8, 192, 256, side=32, speed=8)
    reduced = complete(frames, holes, max_flow_side=128)
    assert psnr(frames, reduced, holes) > 36


def test_a_scene_cut_is_not_mixed_across() -> None:
    before, after = np.full((6, 64, 96, 3), 40, np.uint8), np.full((6, 64, 96, 3), 200, np.uint8)
    before = before + texture(64, 96) // 8
    after = after + texture(64, 96, seed=5) // 8
    frames = np.concatenate((before, after))
    holes = moving_hole(12, 64, 96, speed=4)
    completed = complete(frames, holes)
    error = np.abs(completed.astype(int) - frames)[holes]
    assert error.max() <= 16  # nothing of the other shot, whose levels lie 130 away


@pytest.mark.parametrize("shape", [(1, 20, 30), (3, 17, 31), (4, 1, 1), (2, 240, 3)])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_any_size_and_any_hole_works(shape: tuple[int, int, int], share: float) -> None:
    rng = np.random.default_rng(3)
    frames = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    holes = rng.random(shape) < share
    completed = complete(frames, holes)
    assert completed.shape == frames.shape
    np.testing.assert_array_equal(completed[~holes], frames[~holes])


def test_a_frame_that_is_all_hole_takes_its_neighbours() -> None:
    frames = np.repeat(texture(48, 64)[None], 5, axis=0)
    holes = np.zeros((5, 48, 64), bool)
    holes[2] = True
    assert psnr(frames, complete(frames, holes), holes) > 25


class CountingClip(ArrayClip):
    """Remembers the frames it was asked for."""

    def __init__(self, frames: Pictures) -> None:
        super().__init__(frames, Fraction(24))
        self.asked: list[int] = []

    def read(self, indices: Sequence[int]) -> Pictures:
        self.asked += indices
        return super().read(indices)


def test_frames_are_read_once_in_order_and_only_so_far_ahead() -> None:
    num_frames, window, context = 40, 6, 3
    clip = CountingClip(panning(num_frames, 24, 32))
    engine = FlowGuidedInpainter(window=window, context=context, passes=1, distances=[1])
    for index, _ in enumerate(engine.stream(MaskedClip(clip, ArrayMasks(moving_hole(num_frames, 24, 32, side=6))))):
        assert max(clip.asked) < index + window + 2 * context + 1
    assert clip.asked == list(range(num_frames))


def test_windows_do_not_change_what_a_static_scene_shows() -> None:
    frames = np.repeat(texture(48, 64)[None], 24, axis=0)
    holes = moving_hole(24, 48, 64, side=10, speed=4)
    np.testing.assert_array_equal(complete(frames, holes, window=5, context=4, distances=[1, 4]), frames)


def test_a_fill_of_ones_own_makes_up_what_was_never_visible() -> None:
    frames = np.repeat(texture(48, 64)[None], 4, axis=0)
    holes = np.zeros((4, 48, 64), bool)
    holes[:, 20:30, 20:30] = True

    def red(frame: Pictures, missing: Holes) -> Pictures:
        filled = frame.copy()
        filled[missing] = (255, 0, 0)
        return filled

    completed = complete(frames, holes, fallback=red)
    assert (np.abs(completed[holes].astype(int) - (255, 0, 0)) <= 1).all()


def hidden_thing(num_frames: int, step: float = 0.0) -> tuple[Pictures, Holes]:
    """A scene that moves by ``step`` pixels a frame, and a hole that moves with it: what it hides is never seen."""
    fine = panning(num_frames, 144, 192, step=round(2 * step)).astype(float)
    frames = fine.reshape(num_frames, 72, 2, 96, 2, 3).mean(axis=(2, 4)).round().astype(np.uint8)
    holes = np.zeros(frames.shape[:3], bool)
    for t, hole in enumerate(holes):
        left = 50 - int(step * t)
        hole[24:48, left : left + 24] = True
    return frames, holes


def test_what_was_made_up_follows_the_light() -> None:
    frames, holes = hidden_thing(12)
    darker = frames // 2
    brighter = np.stack([frame + np.uint8(6 * t) for t, frame in enumerate(darker)])

    def gain(*, gradient_blending: bool) -> float:
        lit, unlit = (complete(clip, holes, gradient_blending=gradient_blending)[-1] for clip in (brighter, darker))
        return float((lit.astype(float) - unlit)[holes[-1]].mean())

    assert abs(gain(gradient_blending=True) - 66) < 4
    assert gain(gradient_blending=False) < 40


def test_what_was_made_up_keeps_its_detail() -> None:
    frames, holes = hidden_thing(12, step=0.5)
    completed = complete(frames, holes).astype(float)
    fine = completed - gaussian_filter(completed, (0, 1, 1, 0))
    first, last = fine[0][holes[0]].std(), fine[-1][holes[-1]].std()
    assert last > 0.85 * first  # sampled bilinearly eleven times: 0.55


def test_it_is_an_inpainter() -> None:
    assert isinstance(FlowGuidedInpainter(), Inpainter)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "window=0: expected 1 or more"),
        ({"persistence": [0.9, 1.5]}, r"persistence=\[0.9, 1.5\]"),
        ({"distances": [0]}, r"distances=\[0\]"),
        ({"tolerance": 0.0}, "tolerance=0"),
        ({"cut_threshold": 0.0}, "cut_threshold=0"),
        ({"fallback": "tela"}, "fallback=tela: expected patches, telea, smooth or a callable"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        FlowGuidedInpainter(**options)  # type: ignore[arg-type]
