"""Clips in memory, and clips at another size."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from vinpaint.video import ArrayClip, ClipError, ClipReader, ResizedClip

_FRAMES = np.random.default_rng(0).integers(0, 256, (5, 12, 16, 3), dtype=np.uint8)


def test_an_array_is_a_clip() -> None:
    with ArrayClip(_FRAMES, Fraction(25), "noise") as clip:
        assert isinstance(clip, ClipReader)
        assert (clip.name, clip.num_frames, clip.height, clip.width, clip.frame_rate) == ("noise", 5, 12, 16, 25)
        np.testing.assert_array_equal(clip.read([4, 0, 4]), _FRAMES[[4, 0, 4]])
        assert clip.read([]).shape == (0, 12, 16, 3)


def test_what_is_read_can_be_changed_without_changing_the_clip() -> None:
    clip = ArrayClip(_FRAMES.copy())
    clip.read([1])[:] = 0
    np.testing.assert_array_equal(clip.read([1])[0], _FRAMES[1])


def test_frames_outside_are_an_index_error() -> None:
    with pytest.raises(IndexError, match="frame 5 asked for, the clip has frames 0 to 4"):
        ArrayClip(_FRAMES).read([5])
    with pytest.raises(IndexError, match="frame -1"):
        ArrayClip(_FRAMES).read([-1])


@pytest.mark.parametrize("frames", [_FRAMES.astype(np.float32), _FRAMES[..., :1], _FRAMES[0], _FRAMES[:0]])
def test_arrays_that_are_no_frames_are_refused(frames: np.ndarray) -> None:
    with pytest.raises(ClipError, match="give"):
        ArrayClip(frames)


@pytest.mark.parametrize("size", [(6, 8), (24, 40), (12, 7)])
def test_resizing_is_pillows_bicubic(size: tuple[int, int]) -> None:
    clip = ResizedClip(ArrayClip(_FRAMES, 30, "noise"), *size)
    assert isinstance(clip, ClipReader)
    assert (clip.height, clip.width) == size
    assert (clip.name, clip.num_frames, clip.frame_rate) == ("noise", 5, 30)
    expected = Image.fromarray(_FRAMES[3]).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(clip.read([0, 3])[1], np.asarray(expected))


def test_a_clip_of_the_right_size_passes_untouched() -> None:
    np.testing.assert_array_equal(ResizedClip(ArrayClip(_FRAMES), 12, 16).read(range(5)), _FRAMES)


def test_no_size_is_refused() -> None:
    with pytest.raises(ClipError, match="cannot resize to 16x0"):
        ResizedClip(ArrayClip(_FRAMES), 0, 16)
