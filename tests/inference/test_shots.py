"""Cuts: found where scenes change, and nothing is mixed across them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine_promises import Frames, WatchedClip, complete, noise, wandering_box
from vinpaint.data import ProceduralClip
from vinpaint.errors import UserError
from vinpaint.inference.inpainter import MaskedClip
from vinpaint.inference.schedule import window_schedule
from vinpaint.inference.shots import Shots, scene_change, thumbnail
from vinpaint.inference.window import WindowInpainter
from vinpaint.masks import ArrayMasks
from vinpaint.models.sttn import STTN
from vinpaint.ops.conversion import to_uint8
from vinpaint.video import ArrayClip

HEIGHT, WIDTH = 48, 64


def scene(seed: int, num_frames: int) -> Frames:
    return ProceduralClip(seed, num_frames=num_frames, height=HEIGHT, width=WIDTH).read(range(num_frames))


def joined(*lengths: int) -> Frames:
    """Scenes that share no colour, one after the other."""
    parts = [scene(number, length) for number, length in enumerate(lengths)]
    tints = np.array([[1, 0.2, 0.2], [0.2, 0.3, 1], [0.2, 1, 0.3]])
    return np.concatenate([(part * tints[number % 3]).astype(np.uint8) for number, part in enumerate(parts)])


def shots_of(frames: Frames, holes: np.ndarray | None = None) -> list[int]:
    holes = np.zeros(frames.shape[:3], bool) if holes is None else holes
    shots, ends, start = Shots(MaskedClip(ArrayClip(frames), ArrayMasks(holes))), [], 0
    while start < len(frames):
        start = shots.end_of(start, len(frames))
        ends.append(start)
    return ends


# ---------------------------------------------------------------- finding


@pytest.mark.parametrize("lengths", [(7, 9), (2, 2), (5, 33, 4), (31, 2, 31), (32, 32), (2, 30)])
def test_every_cut_is_found_at_its_frame(lengths: tuple[int, ...]) -> None:
    frames = joined(*lengths)
    assert shots_of(frames) == np.cumsum(lengths).tolist()
    assert shots_of(frames, wandering_box(len(frames), HEIGHT, WIDTH)) == np.cumsum(lengths).tolist()


@pytest.mark.parametrize("seed", range(6))
def test_a_scene_that_moves_has_no_cut(seed: int) -> None:
    assert shots_of(scene(seed, 40)) == [40]


def test_a_flash_is_no_shot() -> None:
    frames = scene(1, 12)
    frames[5] = 255 - frames[5] // 8
    assert scene_change(*(thumbnail(frame, np.zeros((HEIGHT, WIDTH), bool)) for frame in frames[4:6])) > 0.1
    assert shots_of(frames) == [12]
    frames[5] = 0
    assert shots_of(frames) == [12]


def test_a_fade_of_light_is_no_cut() -> None:
    frames = (scene(2, 20) * np.linspace(0.1, 1, 20)[:, None, None, None]).astype(np.uint8)
    assert shots_of(frames) == [20]


def test_what_lies_under_the_hole_has_no_influence() -> None:
    frames, holes = joined(6, 6), wandering_box(12, HEIGHT, WIDTH)
    holes[4] = True
    other = np.where(holes[..., None], noise(12, HEIGHT, WIDTH, seed=3), frames)
    for index in range(12):
        first, second = (thumbnail(pixels[index], holes[index]) for pixels in (frames, other))
        assert np.array_equal(first.colours, second.colours)
        assert np.array_equal(first.known, second.known)


def test_frames_that_show_nothing_in_common_are_no_cut() -> None:
    frames, holes = joined(4, 4), np.zeros((8, HEIGHT, WIDTH), bool)
    holes[3] = holes[4] = True
    assert shots_of(frames, holes) == [8]


def test_frames_are_read_once_and_not_far_ahead() -> None:
    clip = WatchedClip(joined(50, 50, 50))
    shots = Shots(MaskedClip(clip, ArrayMasks(np.zeros((150, HEIGHT, WIDTH), bool))))
    assert shots.end_of(0, 20) == 20
    assert max(clip.asked) < 20 + 33
    assert shots.end_of(0, 60) == 50
    assert shots.end_of(50, 120) == 100
    assert shots.end_of(100, 150) == 150
    assert clip.asked == list(range(150))


def test_a_clip_of_one_frame_is_one_shot() -> None:
    assert shots_of(scene(0, 1)) == [1]


@pytest.mark.parametrize("threshold", [0, -1, 1.1])
def test_a_wrong_threshold_is_named(threshold: float) -> None:
    with pytest.raises(UserError, match=r"cut_threshold=.*expected a score in \(0, 1\]"):
        WindowInpainter(torch.nn.Identity(), cut_threshold=threshold)


# ---------------------------------------------------------------- completing


@pytest.mark.parametrize("limit", [None, 0, 2])
def test_windows_of_shots_are_those_of_clips(limit: int | None) -> None:
    options = {"neighbor_radius": 3, "neighbor_stride": 2, "reference_stride": 4, "max_references": limit}
    ends = [9, 10, 37, 60]
    looked: list[int] = []

    def end_of_shot(start: int, stop: int) -> int:
        looked.append(stop - start)
        return min(next(end for end in ends if end > start), stop)

    together = list(window_schedule(60, end_of_shot=end_of_shot, **options))
    apart = [
        (window.center + start, [index + start for index in window.neighbors], [r + start for r in window.references])
        for start, end in zip([0, *ends], ends, strict=False)
        for window in window_schedule(end - start, **options)
    ]
    assert [(window.center, list(window.neighbors), list(window.references)) for window in together] == apart


@pytest.mark.parametrize("limit", [None, 1])
@pytest.mark.parametrize("start", [0, 8, 11, 20])
def test_shots_are_completed_as_clips_of_their_own(limit: int | None, start: int) -> None:
    torch.manual_seed(1)
    network = STTN(channels=8, num_blocks=2, init_gain=1.0)
    frames, holes = joined(9, 8, 11), wandering_box(28, HEIGHT, WIDTH)
    options = {"size": "native", "device": "cpu", "neighbor_radius": 3, "neighbor_stride": 2, "reference_stride": 3}
    engine = WindowInpainter(network, max_references=limit, cut_threshold=0.3, **options)
    plain = WindowInpainter(network, max_references=limit, **options)
    shots = [slice(0, 9), slice(9, 17), slice(17, 28)]
    apart = torch.cat([complete(plain, frames[shot], holes[shot]) for shot in shots])
    clip = MaskedClip(ArrayClip(frames), ArrayMasks(holes))
    together = torch.stack(list(engine.stream_from(clip, start, lambda index: to_uint8(apart[index]))))
    assert torch.equal(together, apart[start:])
    assert not torch.equal(complete(plain, frames, holes), apart), "without cuts they are mixed"
