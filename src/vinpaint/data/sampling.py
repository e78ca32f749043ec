"""Which frames of a clip make a training sample, and when its holes are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from vinpaint.data.sources import DataError

Sampling = Literal["consecutive", "random", "mixed"]

LONGEST_DRAWN = 180  # frames; the longest clip of YouTube-VOS, so no published training drew masks for more


def check_sampling(sampling: str) -> None:
    """Refuse an unknown way of sampling."""
    if sampling not in get_args(Sampling):
        raise DataError(f"sampling {sampling}: expected one of {', '.join(get_args(Sampling))}")


def sample_frames(
    clip_frames: int, num_frames: int, rng: np.random.Generator, *, sampling: Sampling = "mixed"
) -> list[int]:
    """Choose frames of a clip.

    Args:
        clip_frames: length of the clip.
        num_frames: how many to choose, at most ``clip_frames``.
        rng: source of chance.
        sampling: ``consecutive``, ``random`` (sorted, without repeats) or ``mixed``, either with equal probability.

    Returns:
        ``num_frames`` frame numbers in rising order.

    Raises:
        ValueError: if the clip is too short.

    Source: STTN (arXiv:2007.10247), section 3.3: consecutive or discontinuous frames with equal probability.
    """
    if num_frames > clip_frames:
        raise ValueError(f"{num_frames} frames of a clip of {clip_frames}")
    if sampling == "random" or (sampling == "mixed" and rng.random() < 0.5):
        return sorted(int(index) for index in rng.choice(clip_frames, num_frames, replace=False))
    start = int(rng.integers(clip_frames - num_frames + 1))
    return list(range(start, start + num_frames))


def mask_times(frames: Sequence[int]) -> list[int]:
    """When, in a drawn mask sequence, each frame's hole is taken.

    Holes are drawn from the first frame of the clip on, as published, so frames far apart see holes far apart. The
    times are the frame numbers as long as they are below :data:`LONGEST_DRAWN`; a window further on is moved to an
    earlier time, and one that is longer is shrunk to it, so that an hour of video costs no hour of masks.

    Args:
        frames: frame numbers in rising order.

    Returns:
        As many times, each below :data:`LONGEST_DRAWN`.
    """
    first, last = frames[0], frames[-1]
    if last < LONGEST_DRAWN:
        return list(frames)
    span = last - first
    if span < LONGEST_DRAWN:
        start = first % (LONGEST_DRAWN - span)
        return [frame - first + start for frame in frames]
    return [(frame - first) * (LONGEST_DRAWN - 1) // span for frame in frames]
