"""Clips made by program: what is promised about their motion, and that they are the same wherever they are drawn."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch

from vinpaint.data import DataError, ProceduralClip, ProceduralClips
from vinpaint.ops.conversion import to_tensor
from vinpaint.ops.warp import backward_warp
from vinpaint.video import ClipReader

SEEDS = range(6)


def clip_of(seed: int, **arguments: int) -> ProceduralClip:
    return ProceduralClip(seed, **{"num_frames": 30, "height": 120, "width": 216, **arguments})  # type: ignore[arg-type]


def well_inside_a_layer(clip: ProceduralClip, index: int, target: int) -> torch.Tensor:
    """Pixels seen in both frames and away from where motions meet, whose colours are mixtures: ``(H, W)`` bool."""
    hidden = clip.occluded(index, target=target).astype(np.uint8)
    flow = clip.flow(index, target=target)
    kernel = np.ones((3, 3), np.uint8)
    jump = np.max([cv2.dilate(f, kernel) - cv2.erode(f, kernel) for f in flow], axis=0) > 0.2
    return torch.from_numpy(cv2.dilate(hidden | jump.astype(np.uint8), np.ones((7, 7), np.uint8)) == 0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("target", [11, 16])
def test_the_true_flow_carries_one_frame_onto_another(seed: int, target: int) -> None:
    clip = clip_of(seed)
    here, there = to_tensor(clip.read([10, target])).split(1)
    warped, inside = backward_warp(there, torch.from_numpy(clip.flow(10, target=target))[None])
    visible = (inside[0, 0] > 0) & well_inside_a_layer(clip, 10, target)
    assert visible.float().mean() > 0.3

    def psnr(a: torch.Tensor) -> float:
        return float(-10 * torch.log10((a - here)[0][:, visible].pow(2).mean()))

    assert psnr(warped) > 36
    assert psnr(warped) > psnr(there) + 6


@pytest.mark.parametrize("seed", SEEDS)
def test_the_flow_forth_and_back_cancels_where_nothing_is_hidden(seed: int) -> None:
    clip = clip_of(seed)
    forth = torch.from_numpy(clip.flow(4))[None]
    back, _ = backward_warp(torch.from_numpy(clip.flow(5, target=4))[None], forth)
    assert (forth + back).norm(dim=1)[0][well_inside_a_layer(clip, 4, 5)].max() < 0.2


def test_layers_move_apart_hide_each_other_and_by_parts_of_a_pixel() -> None:
    moving, hidden, fractions = [], [], []
    for seed in range(12):
        clip = clip_of(seed)
        flow = clip.flow(3)
        moving.append(len(np.unique(np.round(flow[0]))) > 1)
        hidden.append(clip.occluded(3, target=9).mean())
        fractions.append(np.abs(flow - np.round(flow)).mean())
    assert np.mean(moving) > 0.5
    assert 0.005 < np.mean(hidden) < 0.4
    assert np.mean(fractions) > 0.1


def test_a_frame_has_nothing_hidden_from_itself() -> None:
    clip = clip_of(0)
    assert not clip.occluded(7, target=7).any()
    assert np.abs(clip.flow(7, target=7)).max() < 1e-5


def test_frames_are_pictures_with_detail_at_every_size() -> None:
    """Natural pictures hold about as much contrast in every octave; flat noise or flat colour would not."""
    ratios = []
    for seed in range(12):
        grey = cv2.cvtColor(clip_of(seed, height=240, width=432).read([0])[0], cv2.COLOR_RGB2GRAY).astype(np.float32)
        blurred = [grey, *(cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in (1.5, 3, 6, 12, 24))]
        bands = np.array([np.std(a - b) for a, b in pairwise(blurred)])
        assert np.std(grey) > 8, seed
        ratios.append(bands / bands.sum())
    mean = np.mean(ratios, axis=0)
    assert mean.min() > 0.08
    assert mean.max() < 0.45


def test_a_frame_does_not_depend_on_what_was_read_before_or_on_the_length() -> None:
    clip = clip_of(3)
    together = clip.read([2, 9, 2])
    assert np.array_equal(together[0], together[2])
    assert np.array_equal(clip_of(3).read([9])[0], together[1])
    assert np.array_equal(clip_of(3, num_frames=300).read([9])[0], together[1])
    assert not np.array_equal(clip_of(4).read([9])[0], together[1])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 57), (239, 431), (300, 120)])
def test_every_size_can_be_drawn(height: int, width: int) -> None:
    for seed in range(8):
        clip = ProceduralClip(seed, num_frames=3, height=height, width=width)
        frames = clip.read([0, 2])
        assert frames.shape == (2, height, width, 3)
        assert frames.dtype == np.uint8
        assert np.isfinite(clip.flow(0)).all()


def test_a_long_clip_stays_bounded() -> None:
    clip = clip_of(1, num_frames=100_000)
    frame = clip.read([99_999])[0]
    assert frame.std() > 8
    assert np.abs(clip.flow(99_998)).max() < 40


def test_it_is_a_clip_reader_that_checks_its_numbers() -> None:
    clip = clip_of(0)
    assert isinstance(clip, ClipReader)
    with clip, pytest.raises(IndexError, match="frame 30 of 30"):
        clip.read([0, 30])
    with pytest.raises(IndexError, match="frame 30 of 30"):
        clip.flow(29)
    with pytest.raises(DataError, match="at least 1 frame of 8x8"):
        clip_of(0, num_frames=0)
    with pytest.raises(DataError, match="216x7: expected at least"):
        clip_of(0, height=7)


def test_a_set_of_clips_has_unique_names_and_scenes_and_costs_nothing() -> None:
    clips = ProceduralClips(num_clips=10**9, num_frames=4, height=32, width=48, seed=5)
    names = [clips[index].name for index in (0, 1, 10**9 - 1)]
    assert len(set(names)) == 3
    assert clips[-1].name == names[-1]
    assert len(clips[3:7]) == 4
    frames = [clips[index].open().read([0]) for index in (0, 1)]
    other = ProceduralClips(num_clips=1, num_frames=4, height=32, width=48, seed=6)[0].open().read([0])
    assert not np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[0], other)
    with pytest.raises(IndexError, match="of 1000000000"):
        clips[10**9]
    with pytest.raises(DataError, match="0 procedural clips"):
        ProceduralClips(num_clips=0)
