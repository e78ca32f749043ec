"""The baselines: against OpenCV and NumPy, on what they can do exactly, and on real clips."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from engine_promises import EnginePromises, Frames, Holes, WatchedClip, complete, noise, wandering_box
from golden_weights import texture
from vinpaint.errors import UserError
from vinpaint.inference.baselines import DiffusionInpainter, IdentityInpainter, TemporalMedianInpainter, diffuse
from vinpaint.inference.inpainter import Inpainter, MaskedClip
from vinpaint.masks import ArrayMasks, open_masks
from vinpaint.ops.conversion import to_tensor, to_uint8
from vinpaint.video import open_clip

FLAGS = {"telea": cv2.INPAINT_TELEA, "navier_stokes": cv2.INPAINT_NS}


class TestIdentity(EnginePromises):
    look_ahead = 0

    @pytest.fixture
    def engine(self) -> Inpainter:
        return IdentityInpainter()


class TestTelea(EnginePromises):
    look_ahead = 0

    @pytest.fixture
    def engine(self) -> Inpainter:
        return DiffusionInpainter(method="telea")


class TestNavierStokes(EnginePromises):
    look_ahead = 0

    @pytest.fixture
    def engine(self) -> Inpainter:
        return DiffusionInpainter(method="navier_stokes")


class TestTemporalMedian(EnginePromises):
    look_ahead = 2

    @pytest.fixture
    def engine(self) -> Inpainter:
        return TemporalMedianInpainter(radius=2)


def still(num_frames: int, height: int = 31, width: int = 45) -> Frames:
    """The same smooth picture in every frame."""
    picture = texture(0, "still", 3, height, width).permute(1, 2, 0).numpy()
    return np.repeat(picture[None], num_frames, axis=0)


# ---------------------------------------------------------------- identity


def test_the_hole_is_left_grey() -> None:
    frames, holes = noise(2, 8, 8), wandering_box(2, 8, 8)
    for level in (0.5, 0.0):
        completed = complete(IdentityInpainter(level=level), frames, holes)
        assert (completed.movedim(1, -1)[torch.from_numpy(holes)] == level).all()


def test_a_level_outside_the_range_is_refused() -> None:
    with pytest.raises(UserError, match=r"level=2: expected a value in \[0, 1\]"):
        IdentityInpainter(level=2)


# ---------------------------------------------------------------- diffusion


@pytest.mark.parametrize("method", ["telea", "navier_stokes"])
@pytest.mark.parametrize("radius", [2.0, 5.0])
def test_each_frame_is_filled_by_opencv(method: Any, radius: float) -> None:
    frames, holes = still(3) + noise(3, 31, 45) // 8, wandering_box(3, 31, 45)
    frames[holes] = 128  # OpenCV's own result depends on it where a hole meets the border: the engine hides it so
    completed = to_uint8(complete(DiffusionInpainter(method=method, radius=radius), frames, holes))
    for result, frame, hole in zip(completed, frames, holes, strict=True):
        assert np.array_equal(result, cv2.inpaint(frame, hole.astype(np.uint8), radius, FLAGS[method]))


@pytest.mark.parametrize("method", ["telea", "navier_stokes"])
def test_a_flat_frame_is_filled_with_its_colour(method: Any) -> None:
    frames = np.full((1, 20, 30, 3), (10, 120, 230), np.uint8)
    completed = to_uint8(complete(DiffusionInpainter(method=method), frames, wandering_box(1, 20, 30)))
    assert np.abs(completed.astype(int) - frames).max() <= 3  # Telea's weights in OpenCV do not quite sum to one


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "patch"}, "method=patch: expected telea or navier_stokes"),
        ({"radius": 0}, "radius=0: expected more than 0 pixels"),
    ],
)
def test_a_wrong_method_or_radius_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DiffusionInpainter(**options)


# ---------------------------------------------------------------- temporal median


@pytest.mark.parametrize("radius", [1, 3, 20])
def test_it_is_the_median_of_what_is_known_nearby(radius: int) -> None:
    frames = noise(9, 12, 16)
    holes = np.random.default_rng(1).random(frames.shape[:3]) < 0.4
    known = np.where(holes[..., None], np.nan, frames.astype(np.float64))
    completed = complete(TemporalMedianInpainter(radius=radius), frames, holes).movedim(1, -1).numpy() * 255
    for index in range(9):
        near = known[max(0, index - radius) : index + radius + 1]
        seen = holes[index] & ~np.isnan(near[..., 0]).all(axis=0)
        assert seen.any()
        expected = np.nanmedian(near[:, seen], axis=0)
        np.testing.assert_allclose(completed[index][seen], expected, atol=1e-3)


def test_behind_a_moving_hole_a_still_picture_is_found_exactly() -> None:
    frames = still(7)
    holes = np.zeros(frames.shape[:3], bool)
    for index, hole in enumerate(holes):
        hole[8:20, 5 * index : 5 * index + 8] = True
    assert torch.equal(complete(TemporalMedianInpainter(radius=2), frames, holes), to_tensor(frames))


def test_what_no_frame_nearby_shows_is_filled_by_telea_from_the_rest() -> None:
    frames = still(7)
    holes = np.zeros(frames.shape[:3], bool)
    holes[:, 10:18, 10:20] = True
    holes[3, 10:18, 20:30] = True  # known in the other frames, so Telea fills from it
    completed = to_uint8(complete(TemporalMedianInpainter(radius=2, fallback_radius=3), frames, holes))
    expected = cv2.inpaint(frames[3], holes[0].astype(np.uint8), 3, cv2.INPAINT_TELEA)
    assert np.array_equal(completed[3], expected)


def test_frames_beyond_the_radius_are_not_used() -> None:
    frames, holes = still(9), np.zeros((9, 31, 45), bool)
    holes[4, 5:20, 5:20] = True
    other = frames.copy()
    other[[0, 1, 7, 8]] = 0
    engine = TemporalMedianInpainter(radius=2)
    assert torch.equal(complete(engine, other, holes)[4], complete(engine, frames, holes)[4])
    other[2:7] = 0
    assert not torch.equal(complete(engine, other, holes)[4], complete(engine, frames, holes)[4])


@pytest.mark.parametrize("radius", [0, 2, 50])
def test_every_frame_is_read_once_and_no_earlier_than_needed(radius: int) -> None:
    clip = WatchedClip(noise(12, 6, 8))
    stream = TemporalMedianInpainter(radius=radius).stream(MaskedClip(clip, ArrayMasks(wandering_box(12, 6, 8))))
    for index, _ in enumerate(stream):
        assert len(clip.asked) == min(index + radius + 1, 12)
    assert clip.asked == list(range(12))


@pytest.mark.parametrize("options", [{"radius": -1}, {"fallback_radius": 0}])
def test_radii_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="expected 0 frames or more and more than 0 pixels"):
        TemporalMedianInpainter(**options)


# ---------------------------------------------------------------- real clips


def psnr(truth: Frames, completed: Frames, where: Holes | Sequence[slice]) -> float:
    error = np.square(truth.astype(np.float64) - completed)[where].mean()
    return float(10 * np.log10(255**2 / error))


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("engine", "whole", "hole"),
    [
        (DiffusionInpainter(method="telea"), 25.33, 16.54),
        (TemporalMedianInpainter(radius=1000), 24.95, 16.17),  # all frames of the clip
        (TemporalMedianInpainter(), 26.05, 17.27),
    ],
    ids=["telea", "median of the clip", "median of frames nearby"],
)
def test_real_clips_are_completed_as_well_as_measured(
    engine: Inpainter, whole: float, hole: float, real_data_dir: Path
) -> None:
    scores = []
    for entry in json.loads((real_data_dir / "dev" / "index.json").read_text())["clips"]:
        if entry["size"] != [432, 240]:
            continue
        folder = real_data_dir / "dev" / entry["name"]
        with open_clip(folder / "frames") as clip:
            count, height, width = clip.num_frames, clip.height, clip.width
            masks = open_masks(folder / "masks_imposed", num_frames=count, height=height, width=width, dilation=4)
            truth, holes = clip.read(range(count)), masks.read(range(count))
            completed = np.stack([to_uint8(frame) for frame in engine.stream(MaskedClip(clip, masks))])
        scores.append((psnr(truth, completed, ...), psnr(truth, completed, holes)))  # type: ignore[arg-type]
    assert len(scores) == 7
    assert np.mean(scores, axis=0) == pytest.approx([whole, hole], abs=0.02)


@pytest.mark.parametrize("method", ["telea", "navier_stokes"])
@pytest.mark.parametrize("size", [(1, 8), (1, 31), (8, 1), (2, 9)])
def test_thin_frames_are_filled_the_same_at_every_call(method: str, size: tuple[int, int]) -> None:
    """OpenCV reads beyond frames of one row, so that what memory holds there has to change between the calls."""
    rng = np.random.default_rng(0)
    for _ in range(6):
        frame, hole = rng.integers(0, 256, (*size, 3), np.uint8), rng.random(size) < 0.4
        hole.flat[0], hole.flat[-1] = True, False
        results = set()
        for _ in range(8):
            used = [rng.integers(0, 256, int(rng.integers(10, 8000)), np.uint8) for _ in range(20)]
            del used
            results.add(diffuse(frame, hole, method=method, radius=5.0).tobytes())  # type: ignore[arg-type]
        assert len(results) == 1
