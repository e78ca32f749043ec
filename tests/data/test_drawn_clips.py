"""Windows as clips."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vinpaint.data import DataError, DrawnClips, ImageMotion
from vinpaint.masks import MovingMask


@pytest.fixture
def windows(tmp_path: Path) -> ImageMotion:
    cv2.imwrite(str(tmp_path / "photo.png"), np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))
    return ImageMotion(tmp_path, MovingMask(), static_probability=0.0)


def test_a_clip_is_the_same_whenever_it_is_opened(windows: ImageMotion) -> None:
    clips = DrawnClips(windows, num_clips=3, num_frames=12, height=32, width=48, seed=4)
    with clips[1].open() as first, clips[1:][0].open() as again, clips[-1].open() as other:
        assert (first.num_frames, first.height, first.width) == (12, 32, 48)
        assert first.name == again.name != other.name
        frames = first.read(range(12))
        assert np.array_equal(frames, again.read(range(12)))
        assert not np.array_equal(frames, other.read(range(12)))
        assert not np.array_equal(frames[0], frames[-1])  # it moves
        assert clips[1].open_masks(first) is None


def test_another_seed_is_another_set(windows: ImageMotion) -> None:
    sets = [DrawnClips(windows, num_clips=1, num_frames=2, height=32, width=48, seed=seed) for seed in (0, 1)]
    assert len({clips[0].name for clips in sets}) == 2
    first, second = (clips[0].open().read([0]) for clips in sets)
    assert not np.array_equal(first, second)


def test_what_is_not_there_is_named(windows: ImageMotion) -> None:
    with pytest.raises(DataError, match="a set of 0 drawn clips"):
        DrawnClips(windows, num_clips=0)
    with pytest.raises(IndexError, match="clip 3 of 3"):
        DrawnClips(windows, num_clips=3)[3]
