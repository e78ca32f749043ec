"""Object shapes in motion: what they are cut from, how large their holes are, and what moves them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vinpaint.masks import AffineRange, MaskError, ObjectMask, ObjectMotionMask
from vinpaint.masks.imposed import PingPongMasks, ShadowMasks, back_and_forth
from vinpaint.masks.random_motion import fold, outwards
from vinpaint.masks.sequences import ArrayMasks
from vinpaint.masks.shapes import ShapeBank


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    """A folder of one-bit pictures, a folder of numbered objects, and a single picture."""
    y, x = np.mgrid[:60, :80]
    (tmp_path / "disc").mkdir()
    for index in range(3):
        disc = (x - 30 - index) ** 2 + (y - 30) ** 2 < 200
        Image.fromarray(disc).save(tmp_path / "disc" / f"{index:05d}.png")
    objects = np.zeros((60, 80), np.uint8)
    objects[10:20, 10:40] = 1  # 10 x 30
    objects[30:50, 50:60] = 7  # 20 x 10
    (tmp_path / "two").mkdir()
    Image.fromarray(objects).save(tmp_path / "two" / "00000.png")
    Image.fromarray((x + y < 60).astype(np.uint8) * 255).save(tmp_path / "corner.png")
    return tmp_path


@pytest.mark.parametrize("of_bank", [False, True])
def test_every_frame_keeps_the_bounds_of_the_hole(bank: Path, of_bank: bool) -> None:
    mask = ObjectMotionMask(bank if of_bank else None)
    for seed in range(40):
        covered = mask(5, 48, 64, np.random.default_rng(seed)).mean(axis=(1, 2))
        assert (covered >= 0.05).all()
        assert (covered <= 0.4).all()
    narrow = ObjectMotionMask(bank if of_bank else None, min_area=0.1, max_area=0.15, dilation_probability=1.0)
    covered = np.stack([narrow(3, 96, 96, np.random.default_rng(seed)).mean(axis=(1, 2)) for seed in range(20)])
    assert covered.min() >= 0.1
    assert covered.max() <= 0.15


def test_a_long_clip_keeps_its_objects_in_sight() -> None:
    covered = ObjectMotionMask(static_probability=0.0)(80, 48, 64, np.random.default_rng(3)).mean(axis=(1, 2))
    assert covered.min() >= 0.05


def test_a_seed_draws_the_same_holes_and_another_others(bank: Path) -> None:
    first, again = (ObjectMotionMask(bank)(5, 40, 60, np.random.default_rng(1)) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, ObjectMotionMask(bank)(5, 40, 60, np.random.default_rng(2)))


def test_holes_move_unless_they_are_to_stand_still() -> None:
    for probability, moving in ((0.0, True), (1.0, False)):
        for seed in range(10):
            masks = ObjectMotionMask(static_probability=probability)(5, 48, 64, np.random.default_rng(seed))
            assert bool((masks != masks[:1]).any()) is moving


def test_numbered_objects_are_taken_one_at_a_time_and_whole(bank: Path) -> None:
    shapes = ShapeBank(bank)
    sizes = {shapes.draw(np.random.default_rng(seed)).shape for seed in range(60)}
    assert {(10, 30), (20, 10), (60, 60)} <= sizes
    assert (40, 50) not in sizes  # both objects together
    assert sizes - {(10, 30), (20, 10), (60, 60)} == {(29, 29)}


def test_loose_pixels_are_not_part_of_a_shape(tmp_path: Path) -> None:
    picture = np.zeros((60, 80), dtype=bool)
    picture[20:40, 20:40] = True
    picture[2, 75] = True
    (tmp_path / "a").mkdir()
    Image.fromarray(picture).save(tmp_path / "a" / "0.png")
    assert ShapeBank(tmp_path).draw(np.random.default_rng(0)).shape == (20, 20)


def test_a_picture_with_smooth_edges_is_one_object(tmp_path: Path) -> None:
    ramp = np.clip(np.hypot(*(np.mgrid[:64, :64] - 32)) * 8, 0, 255)
    Image.fromarray((255 - ramp).astype(np.uint8)).save(tmp_path / "soft.png")
    assert ShapeBank(tmp_path).draw(np.random.default_rng(0)).sum() == ((255 - ramp).astype(np.uint8) > 0).sum()


def test_nothing_is_read_before_a_draw_and_one_picture_by_it(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    original = Image.open
    monkeypatch.setattr(Image, "open", lambda file: (opened.append(str(file)), original(file))[1])
    shapes = ShapeBank(bank)
    assert opened == []
    shapes.draw(np.random.default_rng(0))
    assert len(opened) == 1


def test_steps_stay_in_their_ranges_and_use_them() -> None:
    steps = AffineRange(rotation=10.0, scale=0.1, anisotropy=0.0, shear=0.0, translation=0.08)
    drawn = [steps.draw(np.random.default_rng(seed)) for seed in range(500)]
    factors = np.array([np.sqrt(np.linalg.det(linear)) for linear, _ in drawn])
    turns = np.array([np.rad2deg(np.arctan2(linear[1, 0], linear[0, 0])) for linear, _ in drawn])
    shifts = np.abs([shift for _, shift in drawn])
    for values, low, high in ((factors, 0.9, 1.1), (turns, -10, 10), (shifts, 0, 0.08)):
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high >= values.max() > high - 0.05 * (high - low)
    linear, shift = steps.draw(np.random.default_rng(0), strength=0.0)
    assert np.allclose(linear, np.eye(2))
    assert not shift.any()


def test_motion_grows_from_the_middle_frame_to_both_ends() -> None:
    assert outwards(5) == [(3, 2), (4, 3), (1, 2), (0, 1)]
    assert outwards(1) == []
    assert fold(np.array([-3.0, 12.0, 4.0]), np.array([10.0, 10.0, 10.0])).tolist() == [3.0, 8.0, 4.0]


def test_a_short_sequence_turns_round_at_both_ends() -> None:
    assert back_and_forth(range(8), 3) == [0, 1, 2, 1, 0, 1, 2, 1]
    assert back_and_forth(range(3), 1) == [0, 0, 0]
    stripes = np.eye(3, dtype=bool)[:, None, :]
    assert PingPongMasks(ArrayMasks(stripes), num_frames=7).read([2, 4, 5]).argmax(axis=2).ravel().tolist() == [2, 0, 1]


def test_a_shadow_lies_below_its_object_and_keeps_it() -> None:
    mask = np.zeros((1, 40, 60), dtype=bool)
    mask[0, 10:20, 20:30] = True
    (shadowed,) = ShadowMasks(ArrayMasks(mask), drop=0.1, lean=0.5).read([0])
    assert shadowed[mask[0]].all()
    rows, columns = np.nonzero(shadowed & ~mask[0])
    assert rows.max() == 23  # 4 rows further down
    assert columns.max() > 29  # leans to the right
    empty = np.zeros((1, 40, 60), dtype=bool)
    assert not ShadowMasks(ArrayMasks(empty), drop=0.1, lean=0.5).read([0]).any()


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MaskError, match=r"areas 0\.5 to 0\.4: expected"):
        ObjectMotionMask(min_area=0.5)
    with pytest.raises(MaskError, match="static_probability 2: expected 0 to 1"):
        ObjectMotionMask(static_probability=2)
    with pytest.raises(MaskError, match="objects 0 to 3"):
        ObjectMotionMask(min_objects=0)
    with pytest.raises(MaskError, match="expected 0 or more, scale and anisotropy below 1"):
        AffineRange(scale=1.0)
    for generator in (ObjectMotionMask(tmp_path / "nowhere"), ObjectMask(tmp_path / "nowhere")):
        with pytest.raises(MaskError, match="no such folder; name one that holds a folder per mask sequence"):
            generator(2, 16, 16, np.random.default_rng(0))
    (tmp_path / "black").mkdir()
    Image.new("1", (20, 20)).save(tmp_path / "black" / "0.png")
    with pytest.raises(MaskError, match="held no object; are the masks black"):
        ObjectMotionMask(tmp_path)(2, 16, 16, np.random.default_rng(0))
