"""Real clips on disk, as evaluation and training read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vinpaint.data import (
    ClipWindows,
    CompositeClips,
    EvaluationSet,
    FolderClips,
    ImageMotion,
    MixtureWindows,
    ProceduralClips,
    VideoClipDataset,
    WindowDataset,
    WindowRequest,
    WindowSource,
)
from vinpaint.data.composite import CompositeSource
from vinpaint.masks import ObjectMask, ObjectMotionMask

pytestmark = pytest.mark.real_data


def test_imposed_masks_are_read_with_their_clips(real_data_dir: Path) -> None:
    clips = FolderClips(real_data_dir / "dev", clips="*/frames", masks="{name}/masks_imposed")
    assert {"schoolgirls", "tennis", "dogs_jump"} <= {clip.name for clip in clips}
    for _, clip, masks in EvaluationSet(clips, "own", num_frames=3, dilation=4):
        assert clip.read([0, 2]).shape == (2, 240, 432, 3)
        assert 0.005 < masks.read([0, 1, 2]).mean() < 0.6


def test_a_native_evaluation_reads_videos_at_their_size(real_data_dir: Path) -> None:
    clips = FolderClips(real_data_dir / "dev", clips="*/frames.mp4", masks="{name}/masks_imposed")
    sizes = {
        name: (clip.height, clip.width, masks.read([0]).shape[1:])
        for name, clip, masks in EvaluationSet(clips, "own", height=None, width=None)
    }
    height, width, masks_size = sizes["motorway_1080"]
    assert (height, width) == masks_size
    assert height == 1080


def test_training_windows_come_from_videos_with_recorded_holes(real_data_dir: Path) -> None:
    clips = FolderClips(real_data_dir / "train", clips="clips/*.mp4", masks=None)
    mask = ObjectMask(real_data_dir / "train" / "masks")
    dataset = VideoClipDataset(clips, mask, height=120, width=216, samples_per_epoch=6)
    shares = []
    for index in range(6):
        sample = dataset[index]
        assert sample["frames"].shape == (5, 3, 120, 216)
        assert sample["frames"].std() > 0.02
        shares.append(float(sample["masks"].mean()))
    assert 0 < np.mean(shares) < 0.6


def test_photographs_clips_and_clips_made_by_program_mix(real_data_dir: Path) -> None:
    train = real_data_dir / "train"
    mask = ObjectMotionMask(train / "masks")
    parts: dict[str, WindowSource] = {
        "photographs": ImageMotion(train / "images", mask, include=["kodak_*"]),
        "clips": ClipWindows(FolderClips(train / "clips"), mask),
        "procedural": ClipWindows(ProceduralClips(height=96, width=128), mask, max_cover=1.0),
    }
    dataset = WindowDataset(MixtureWindows(parts), WindowRequest(5, 96, 128), samples_per_epoch=24)
    seen = set()
    for index in range(24):
        sample = dataset[index]
        seen.add(sample["name"].split("_")[0].split("-")[0])
        holes = sample["masks"].mean(dim=(1, 2, 3))
        assert holes.min() >= 0.05
        assert holes.max() <= 0.4
        assert sample["frames"].std() > 0.01
    assert {"kodak", "procedural"} <= seen
    assert len(seen) > 2


def test_real_clips_meet_the_masks_of_others(real_data_dir: Path) -> None:
    clips = FolderClips(real_data_dir / "train", clips="clips/davis_*.mp4")
    composites = CompositeClips(clips, real_data_dir / "train" / "masks", shadow=True)
    for source in composites:
        assert isinstance(source, CompositeSource)
        assert source.sequence.name != source.name
    for _, clip, masks in EvaluationSet(composites[:3], "own", height=120, width=216, dilation=4):
        holes = masks.read(range(0, clip.num_frames, 10)).mean(axis=(1, 2))
        assert 0 < holes.mean() < 0.7
