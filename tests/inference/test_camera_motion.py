"""The motion of whole frames."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine_promises import WatchedClip, noise
from vinpaint.inference.camera_motion import CameraMotion, _enlarging
from vinpaint.inference.inpainter import MaskedClip
from vinpaint.masks import ArrayMasks

H, W = 96, 128


def filmed(maps: list[NDArray[np.float64]]) -> NDArray[np.uint8]:
    """A still scene under a moving camera: frames ``(T, H, W, 3)`` whose pixels show ``maps[t] @ pixel`` of it."""
    grain = np.random.default_rng(0).integers(0, 256, (3 * H // 4, 3 * W // 4, 3), np.uint8)
    scene = cv2.GaussianBlur(cv2.resize(grain, (3 * W, 3 * H), interpolation=cv2.INTER_CUBIC), (0, 0), 1.5)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.stack([cv2.warpAffine(scene, camera[:2], (W, H), flags=flags) for camera in maps])


def panning(num_frames: int, *, turn: float = 0.01, zoom: float = 1.01) -> list[NDArray[np.float64]]:
    """Where a camera looks that pans, turns and zooms: pixels of each frame to those of the scene."""
    maps = []
    for index in range(num_frames):
        size, (sine, cosine) = zoom**index, (np.sin(turn * index), np.cos(turn * index))
        x, y = W + 3.5 * index, H - 1.5 * index
        maps.append(np.array([[size * cosine, -size * sine, x], [size * sine, size * cosine, y], [0, 0, 1]]))
    return maps


def corner_error(found: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    corners = np.array([[0, 0, W, W], [0, H, 0, H], [1, 1, 1, 1]], float)
    return float(np.linalg.norm(((found - true) @ corners)[:2], axis=0).max())


@pytest.fixture
def maps() -> list[NDArray[np.float64]]:
    return panning(9)


def clip_of(frames: NDArray[np.uint8], holes: NDArray[np.bool_] | None = None) -> MaskedClip:
    if holes is None:
        holes = np.zeros(frames.shape[:3], bool)
    return MaskedClip(WatchedClip(frames), ArrayMasks(holes))


def moving_hole(num_frames: int) -> NDArray[np.bool_]:
    """A third of each frame, moving against the camera."""
    holes = np.zeros((num_frames, H, W), bool)
    for index, hole in enumerate(holes):
        hole[20:80, 15 + 5 * index : 70 + 5 * index] = True
    return holes


@pytest.mark.parametrize("center", [0, 4, 8])
@pytest.mark.parametrize("hidden", [False, True])
def test_it_finds_the_motion_of_a_camera(maps: list[NDArray[np.float64]], center: int, hidden: bool) -> None:
    frames, holes = filmed(maps), moving_hole(9)
    if hidden:
        frames[holes] = noise(9, H, W)[holes]
    found = CameraMotion(clip_of(frames, holes if hidden else None), (H, W)).around(center, range(9))
    assert list(found) == list(range(9))
    for index, moved in found.items():
        assert corner_error(moved, np.linalg.inv(maps[index]) @ maps[center]) < 0.25 + 0.2 * abs(index - center)
    assert corner_error(np.eye(3), np.linalg.inv(maps[8]) @ maps[0]) > 20


def test_what_lies_under_the_hole_has_no_influence(maps: list[NDArray[np.float64]]) -> None:
    frames, holes = filmed(maps), moving_hole(9)
    other = frames.copy()
    other[holes] = noise(9, H, W)[holes]
    found, again = (CameraMotion(clip_of(clip, holes), (H, W)).around(4, (0, 8)) for clip in (frames, other))
    for index in (0, 8):
        assert np.array_equal(found[index], again[index])


def test_maps_are_told_in_the_pixels_asked_for(maps: list[NDArray[np.float64]]) -> None:
    clip = clip_of(filmed(maps))
    small, large = (CameraMotion(clip, size).around(0, (8,))[8] for size in ((H, W), (4 * H, 4 * W)))
    # a pixel's centre at x lies at 4 x + 1.5 where it is cut into four
    place = np.array([50.0, 30.0, 1.0])
    assert large @ [4 * 50 + 1.5, 4 * 30 + 1.5, 1] == pytest.approx([*(4 * (small @ place)[:2] + 1.5), 1.0], abs=0.3)


def test_the_edges_of_a_frame_stay_its_edges() -> None:
    enlarge = _enlarging((30, 40), (90, 80))
    edges = enlarge @ np.array([[-0.5, 39.5], [-0.5, 29.5], [1, 1]])
    np.testing.assert_allclose(edges[:2], [[-0.5, 79.5], [-0.5, 89.5]])


@pytest.mark.parametrize("content", ["noise", "black", "all hole"])
def test_where_there_is_no_motion_to_be_found_maps_stay_tame(content: str) -> None:
    frames = noise(6, H, W) if content != "black" else np.zeros((6, H, W, 3), np.uint8)
    holes = np.full((6, H, W), content == "all hole")
    for moved in CameraMotion(clip_of(frames, holes), (H, W)).around(0, range(6)).values():
        assert np.isfinite(moved).all()
        assert corner_error(moved, np.eye(3)) < 60
    if content != "noise":
        assert corner_error(moved, np.eye(3)) < 1e-6


def test_a_wild_fit_is_no_motion(maps: list[NDArray[np.float64]]) -> None:
    """A zoom by two from one frame to the next is a cut, not a camera."""
    frames = filmed([maps[0], maps[0] @ np.diag([0.4, 0.4, 1.0])])
    moved = CameraMotion(clip_of(frames), (H, W), _Zooming()).around(0, (1,))[1]
    assert np.array_equal(moved, np.eye(3))


class _Zooming:
    """An estimator that sees everything twice as large in the next frame."""

    def estimate(self, first: Tensor, second: Tensor) -> Tensor:
        x, y = torch.meshgrid(torch.arange(W), torch.arange(H), indexing="xy")
        return torch.stack((x, y)).float().unsqueeze(0)


def test_frames_are_read_once_and_steps_are_forgotten() -> None:
    maps = panning(40)
    clip = clip_of(filmed(maps))
    motion = CameraMotion(clip, (H, W))
    for center in range(0, 40, 5):
        around = range(max(0, center - 5), min(40, center + 6))
        motion.around(center, around)
        motion.forget(around.start)
        assert len(motion._steps) <= 10
        assert len(motion._pictures) <= 1
    assert isinstance(clip.clip, WatchedClip)
    assert sorted(clip.clip.asked) == list(range(40))
