"""Pictures completed from their own patches: what must be found is found, and nothing else is touched."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.interpolate import BarycentricInterpolator
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial import cKDTree

from vinpaint.inference.flow_guided_fallback import fill_by_patches, fill_by_telea
from vinpaint.inference.flow_guided_fields import sample_sharply
from vinpaint.inference.patch_synthesis import _Level, synthesise

Pictures = NDArray[np.uint8]
Holes = NDArray[np.bool_]


def wallpaper(height: int, width: int, period: int = 12) -> Pictures:
    tile = np.random.default_rng(0).integers(0, 256, (period, period, 3), dtype=np.uint8)
    return np.tile(tile, (height // period + 1, width // period + 1, 1))[:height, :width]


def box(height: int, width: int, top: int, left: int, side: int) -> Holes:
    hole = np.zeros((height, width), bool)
    hole[top : top + side, left : left + side] = True
    return hole


def completed(picture: Pictures, hole: Holes) -> Pictures:
    result = synthesise(np.where(hole[..., None], np.uint8(0), picture), hole)
    assert result is not None
    return result


@pytest.mark.parametrize(("top", "left", "side"), [(30, 40, 5), (20, 30, 24), (0, 0, 20), (60, 76, 20)])
def test_a_wallpaper_is_continued(top: int, left: int, side: int) -> None:
    picture, hole = wallpaper(80, 96), box(80, 96, top, left, side)
    error = np.abs(completed(picture, hole).astype(int) - picture)[hole]
    assert (error <= 1).mean() > 0.98


def test_a_thin_line_goes_on_where_diffusion_loses_it() -> None:
    picture = np.clip(np.random.default_rng(1).normal(190, 6, (90, 120, 3)), 0, 255).astype(np.uint8)
    line = np.abs(np.arange(90)[:, None] - 45 + (np.arange(120) - 60) // 3) <= 1
    picture[line] = 40
    hole = box(90, 120, 27, 42, 36)
    held = np.where(hole[..., None], np.uint8(0), picture)
    assert completed(picture, hole)[hole & line].mean() < 60
    assert fill_by_telea(held, hole)[hole & line].mean() > 80


def test_known_pixels_stay_and_hidden_ones_have_no_influence() -> None:
    picture, hole = wallpaper(60, 70), box(60, 70, 15, 20, 22)
    other = picture.copy()
    other[hole] = 255 - other[hole]
    first, second = synthesise(picture, hole), synthesise(other, hole)
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first[~hole], picture[~hole])


def test_texture_stays_as_strong_as_around_it() -> None:
    picture = np.random.default_rng(2).integers(60, 200, (80, 100, 3), dtype=np.uint8)
    hole = box(80, 100, 25, 30, 30)
    assert completed(picture, hole)[hole].std() > 0.7 * picture[~hole].std()


def test_a_texture_is_not_smoothed_though_smooth_patches_are_nearer() -> None:
    noise = np.random.default_rng(5).integers(60, 196, (90, 160, 3), dtype=np.uint8)
    picture = np.where(np.arange(160)[:, None] < 70, noise, np.uint8(128))
    hole = box(90, 160, 28, 20, 34)
    assert completed(picture, hole)[hole].std() > 0.6 * noise.std()


def test_an_onion_peel_goes_on_with_a_wallpaper() -> None:
    picture, hole = wallpaper(60, 70), box(60, 70, 20, 25, 16)
    truth = np.dstack((picture, picture[..., 0])).astype(np.float32)
    level = _Level(np.where(hole[..., None], np.float32(0), truth), hole)
    level.peel()
    np.testing.assert_array_equal(level.image, truth)


def test_the_search_finds_nearly_the_nearest_patches() -> None:
    picture = gaussian_filter(np.random.default_rng(6).random((60, 70, 4)), (1.5, 1.5, 0)).astype(np.float32)
    level = _Level(picture, box(60, 70, 20, 25, 16))
    random = np.random.default_rng(7)
    first = random.choice(level.known, len(level.wanted))
    level.matches = first.copy()
    for _ in range(6):
        level.search(random, reach=70)
    windows = sliding_window_view(picture, (7, 7), axis=(0, 1)).transpose(0, 1, 3, 4, 2)

    def content(patches: NDArray[np.intp]) -> NDArray[np.float32]:
        y, x = np.divmod(patches, 70)
        return windows[y - 3, x - 3].reshape(len(patches), -1)

    nearest, _ = cKDTree(content(level.known)).query(content(level.wanted))
    begun, found = (np.linalg.norm(content(at) - content(level.wanted), axis=1) for at in (first, level.matches))
    np.testing.assert_allclose(level.costs, np.square(found), rtol=1e-4)
    assert (found >= nearest - 1e-5).all()
    assert found.mean() - nearest.mean() < 0.2 * (begun.mean() - nearest.mean())


def test_a_pixel_is_the_weighted_mean_of_what_the_matches_around_it_say() -> None:
    random = np.random.default_rng(8)
    picture, hole = random.random((30, 30, 4)).astype(np.float32), box(30, 30, 12, 13, 4)
    level = _Level(picture, hole)
    level.matches = random.choice(level.known, len(level.wanted))
    level.costs = random.random(len(level.wanted)).astype(np.float32)
    weights = 1.3 ** -distance_transform_edt(hole).ravel()[level.wanted]
    weights = weights * np.exp(-2 * level.costs / (2 * np.percentile(level.costs, 75)))
    level.vote(sharpness=2)
    for y, x in np.argwhere(hole):
        down, right = y - level.wanted // 30, x - level.wanted % 30
        around = (np.abs(down) <= 3) & (np.abs(right) <= 3)
        seen = picture[(level.matches // 30 + down)[around], (level.matches % 30 + right)[around]]
        # OpenCV's distances are good to two per cent
        np.testing.assert_allclose(level.image[y, x], np.average(seen, axis=0, weights=weights[around]), rtol=0.02)


def test_what_stands_in_the_hole_before_does_not_draw_in_its_like() -> None:
    picture, hole = wallpaper(80, 130), box(80, 130, 24, 24, 30)
    picture[:, 90:] = 0  # as the hole is before it is filled
    error = np.abs(completed(picture, hole).astype(int) - picture)[hole]
    assert (error <= 1).mean() > 0.98


def test_where_nothing_is_missing_nothing_happens() -> None:
    picture = wallpaper(20, 20)
    np.testing.assert_array_equal(completed(picture, np.zeros((20, 20), bool)), picture)


@pytest.mark.parametrize("shape", [(6, 40), (40, 6), (1, 1), (30, 30)])
def test_without_a_whole_known_patch_it_says_so_and_the_fill_is_smooth(shape: tuple[int, int]) -> None:
    picture, hole = wallpaper(*shape), np.zeros(shape, bool)
    hole[::3, ::3] = True
    assert synthesise(picture, hole) is None
    filled = fill_by_patches(picture, hole)
    np.testing.assert_array_equal(filled[~hole], picture[~hole])


def test_a_hole_that_leaves_no_patch_of_the_reduced_picture_is_continued_from_a_finer_one() -> None:
    picture, hole = wallpaper(100, 100, period=4), np.ones((100, 100), bool)
    hole[:, :10] = False
    error = np.abs(completed(picture, hole).astype(int) - picture)
    assert (error[:, 10:22] <= 1).mean() > 0.5


@pytest.mark.parametrize("shape", [(7, 7), (9, 200), (41, 41), (300, 8)])
def test_any_size_and_any_hole_works(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    picture = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    for share in (0.01, 0.3, 0.9, 1.0):
        hole = rng.random(shape) < share
        filled = fill_by_patches(np.where(hole[..., None], np.uint8(0), picture), hole)
        assert filled.shape == picture.shape
        np.testing.assert_array_equal(filled[~hole], picture[~hole])


def test_a_sharp_sample_is_the_polynomial_through_eight_pixels() -> None:
    row = np.random.default_rng(4).integers(0, 256, (1, 30, 3), dtype=np.uint8)
    x = np.array([10.0, 10.25, 12.5, 14.9])
    found = sample_sharply(np.repeat(row, 20, axis=0), np.stack((x, np.full(4, 9.3)), axis=1).astype(np.float32))
    for place, value in zip(x, found, strict=True):
        nodes = int(place) + np.arange(-3, 5)
        np.testing.assert_allclose(value, BarycentricInterpolator(nodes, row[0, nodes].astype(float))(place), atol=0.01)


def test_sampling_there_and_back_a_hundred_times_neither_rings_nor_blurs_away() -> None:
    picture = wallpaper(40, 40, period=5)
    x, y = np.meshgrid(np.arange(40, dtype=np.float32), np.arange(40, dtype=np.float32))
    held = picture
    for step in range(100):
        shift = np.float32(0.3 if step % 2 else -0.3)
        points = np.stack((x.ravel() + shift, y.ravel() + shift), axis=1)
        held = np.clip(np.rint(sample_sharply(held, points).reshape(40, 40, 3)), 0, 255).astype(np.uint8)
    inner = slice(12, 28)
    assert 0.3 < held[inner, inner].std() / picture[inner, inner].std() < 1.02
