"""Clips to judge on under the masks of others: who meets whom, and how masks are made to fit."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vinpaint.data import CompositeClips, DataError, EvaluationSet, ProceduralClips
from vinpaint.data.composite import pair_with_others
from vinpaint.masks import MaskError


@settings(max_examples=60, deadline=None)
@given(count=st.integers(2, 12), seed=st.integers(0, 1000))
def test_a_set_paired_with_itself_is_a_derangement(count: int, seed: int) -> None:
    names = [f"clip{number}" for number in range(count)]
    pairing = pair_with_others(names, names, seed=seed)
    assert sorted(pairing) == list(range(count))
    assert all(number != partner for number, partner in enumerate(pairing))


@settings(max_examples=60, deadline=None)
@given(clips=st.integers(1, 12), sequences=st.integers(2, 12), shared=st.integers(0, 12), seed=st.integers(0, 1000))
def test_no_clip_meets_its_own_masks_and_all_serve_alike(clips: int, sequences: int, shared: int, seed: int) -> None:
    clip_names = [f"clip{number}" for number in range(clips)]
    sequence_names = [f"clip{number}" if number < shared else f"other{number}" for number in range(sequences)]
    pairing = pair_with_others(clip_names, sequence_names, seed=seed)
    assert all(sequence_names[number] != clip for clip, number in zip(clip_names, pairing, strict=True))
    uses = Counter(pairing)
    assert max(uses.values()) <= -(-clips // sequences)


def test_the_pairing_follows_its_seed() -> None:
    names = [f"clip{number}" for number in range(10)]
    assert pair_with_others(names, names, seed=1) == pair_with_others(names, names, seed=1)
    assert len({tuple(pair_with_others(names, names, seed=seed)) for seed in range(20)}) == 20
    with pytest.raises(DataError, match="clip0: the masks hold no sequence but its own"):
        pair_with_others(["clip0"], ["clip0"], seed=0)


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Three sequences of three masks of 20x30: a column that moves, in a place of its own."""
    for number in range(3):
        (tmp_path / f"procedural-4-{number:06d}").mkdir()
        for frame in range(3):
            mask = np.zeros((20, 30), dtype=bool)
            mask[5:10, 8 * number + 2 * frame : 8 * number + 2 * frame + 2] = True
            Image.fromarray(mask).save(tmp_path / f"procedural-4-{number:06d}" / f"{frame:05d}.png")
    return tmp_path


def test_masks_are_played_to_and_fro_and_stretched_over_another_clip(masks: Path) -> None:
    clips = ProceduralClips(num_clips=3, num_frames=8, height=40, width=60, seed=4)
    composites = CompositeClips(clips, masks, seed=2)
    assert [clip.name for clip in composites] == [clip.name for clip in clips]
    used = set()
    for number, (name, clip, holes) in enumerate(EvaluationSet(composites, "own", height=None, width=None)):
        read = holes.read(range(8))
        assert read.shape == (8, 40, 60)
        assert name == clips[number].name
        assert np.array_equal(clip.read([3]), clips[number].open().read([3]))
        left = read.any(axis=1).argmax(axis=1)
        sequence = int(left[0]) // 16
        assert sequence != number
        assert left.tolist() == [16 * sequence + 4 * step for step in (0, 1, 2, 1, 0, 1, 2, 1)]
        used.add(sequence)
    assert used == {0, 1, 2}


def test_a_shadow_only_adds_to_the_hole(masks: Path) -> None:
    clips = ProceduralClips(num_clips=3, num_frames=4, height=40, width=60, seed=4)
    plain, shadowed = (CompositeClips(clips, masks, shadow=shadow) for shadow in (False, True))
    for a, b in zip(plain, shadowed, strict=True):
        with a.open() as clip:
            first, second = (source.open_masks(clip) for source in (a, b))
            assert first is not None
            assert second is not None
            assert (second.read([1]) & first.read([1])).sum() == first.read([1]).sum()
            assert second.read([1]).sum() > first.read([1]).sum()


def test_an_empty_folder_of_masks_is_explained(tmp_path: Path) -> None:
    clips = ProceduralClips(num_clips=2, num_frames=4, height=16, width=16)
    with pytest.raises(MaskError, match="nothing in it; expected a folder, zip or video per sequence"):
        len(CompositeClips(clips, tmp_path))
    with pytest.raises(MaskError, match="no such folder"):
        len(CompositeClips(clips, tmp_path / "nowhere"))
