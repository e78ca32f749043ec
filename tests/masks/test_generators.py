"""Masks that are drawn: their statistics, and that they come from the given generator alone."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import ks_2samp

from vinpaint.masks import (
    BoxMask,
    BrushMask,
    MaskError,
    MaskGenerator,
    MixtureMask,
    MovingMask,
    ObjectMask,
    StationaryMask,
)

GENERATORS = [
    StationaryMask(),
    MovingMask(),
    BrushMask(),
    BoxMask(),
    MixtureMask([StationaryMask(), MovingMask(), BrushMask()], weights=[1, 2, 1]),
]
each_generator = pytest.mark.parametrize("generator", GENERATORS, ids=lambda g: type(g).__name__)


def bounding_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return rows[0], columns[0], rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


@each_generator
def test_the_same_seed_draws_the_same_holes_and_another_seed_others(generator: MaskGenerator) -> None:
    first, again, other = (generator(6, 60, 108, np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@each_generator
def test_no_global_random_state_is_read_or_moved(generator: MaskGenerator) -> None:
    np.random.seed(1)  # noqa: NPY002 - the global state is what is tested
    before = np.random.get_state()[1].copy()  # type: ignore[index,union-attr]  # noqa: NPY002
    generator(3, 48, 80, np.random.default_rng(0))
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002


@settings(max_examples=40, deadline=None)
@given(
    which=st.integers(0, len(GENERATORS) - 1),
    num_frames=st.integers(1, 6),
    height=st.integers(8, 300),
    width=st.integers(8, 500),
    seed=st.integers(0, 2**32),
)
def test_every_size_gets_holes_of_its_shape_and_type(
    which: int, num_frames: int, height: int, width: int, seed: int
) -> None:
    masks = GENERATORS[which](num_frames, height, width, np.random.default_rng(seed))
    assert masks.shape == (num_frames, height, width)
    assert masks.dtype == np.bool_


@pytest.mark.parametrize(
    ("generator", "low", "high"),
    [(StationaryMask(), 0.07, 0.1), (MovingMask(), 0.07, 0.085), (BrushMask(), 0.11, 0.18), (BoxMask(), 0.10, 0.145)],
    ids=["stationary", "moving", "brush", "box"],
)
def test_holes_cover_the_share_of_the_frame_that_the_documentation_names(
    generator: MaskGenerator, low: float, high: float
) -> None:
    shares = [generator(1, 240, 432, np.random.default_rng(seed)).mean() for seed in range(300)]
    assert low < np.mean(shares) < high
    assert min(shares) > 0


@pytest.mark.parametrize("generator", [StationaryMask(), BrushMask(), BoxMask()], ids=["stationary", "brush", "box"])
def test_a_stationary_hole_is_the_same_in_every_frame(generator: MaskGenerator) -> None:
    masks = generator(8, 60, 108, np.random.default_rng(3))
    assert (masks == masks[:1]).all()


def test_a_stationary_hole_is_one_smooth_shape() -> None:
    for seed in range(20):
        mask = StationaryMask()(1, 240, 432, np.random.default_rng(seed))[0].astype(np.uint8)
        assert cv2.connectedComponents(mask)[0] == 2
        # a corner of a polygon is lost when rounded by a disc, a smooth contour is not
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
        assert cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc).sum() > 0.97 * mask.sum()


def test_a_moving_hole_agrees_with_the_public_shape_in_size_and_motion(golden_dir: Path) -> None:
    stored = np.load(golden_dir / "mask_stats.npz")
    table = dict(zip(stored["columns"].tolist(), stored["rows"].T, strict=True))
    reference_steps = stored["step_dy_dx"][table["all_frames_identical"] == 0].astype(float)
    measured: dict[str, list[float]] = {name: [] for name in ("area_frac_first", "bbox_h", "bbox_w", "fill_of_bbox")}
    steps, static = [], 0
    for seed in range(500):
        masks = MovingMask()(10, 240, 432, np.random.default_rng([2020, seed]))
        _, _, height, width = bounding_box(masks[0])
        for name, value in zip(
            measured, (masks[0].mean(), height, width, masks[0].sum() / (height * width)), strict=True
        ):
            measured[name].append(float(value))
        corners = np.array([bounding_box(mask)[:2] for mask in masks])
        if (corners == corners[0]).all():
            static += 1
        else:
            steps.append(np.diff(corners, axis=0))
    for name, values in measured.items():
        assert ks_2samp(values, table[name]).pvalue > 1e-3, name
    lengths, reference = (np.hypot(s[..., 0], s[..., 1]).ravel() for s in (np.stack(steps), reference_steps))
    assert ks_2samp(lengths, reference).pvalue > 1e-3
    assert abs(static / 500 - 0.5) <= 0.07


def test_a_moving_hole_keeps_its_shape_and_stays_inside() -> None:
    for seed in range(30):
        masks = MovingMask(static_probability=0.0)(40, 60, 108, np.random.default_rng(seed))
        shapes = set()
        for mask in masks:
            row, column, height, width = bounding_box(mask)
            shapes.add(mask[row : row + height, column : column + width].tobytes())
        assert len(shapes) == 1


def test_a_moving_hole_of_a_longer_clip_begins_as_that_of_a_shorter_one() -> None:
    short, long = (MovingMask(static_probability=0.0)(n, 60, 108, np.random.default_rng(5)) for n in (4, 12))
    assert np.array_equal(short, long[:4])


def test_a_mixture_chooses_by_weight() -> None:
    mixture = MixtureMask([BoxMask(min_side=1, max_side=1), StationaryMask()], weights=[3, 1])
    full = [mixture(1, 24, 24, np.random.default_rng(seed)).all() for seed in range(400)]
    assert abs(np.mean(full) - 0.75) < 0.07


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    """Two sequences whose hole is a column that moves one pixel per frame."""
    for name, offset in (("a", 0), ("b", 20)):
        (tmp_path / name).mkdir()
        for index in range(6):
            mask = np.zeros((20, 40), np.uint8)
            mask[:, offset + index] = 3
            Image.fromarray(mask).save(tmp_path / name / f"{index:05d}.png")
    (tmp_path / "licence.txt").write_text("free")
    return tmp_path


def test_object_holes_are_windows_of_the_recorded_sequences(bank: Path) -> None:
    generator = ObjectMask(bank, flip_probability=0.0)
    starts = set()
    for seed in range(60):
        masks = generator(3, 20, 40, np.random.default_rng(seed))
        columns = [int(np.flatnonzero(mask.all(axis=0))[0]) for mask in masks]
        assert np.diff(columns).tolist() == [1, 1]
        starts.add(columns[0])
    assert starts == {0, 1, 2, 3, 20, 21, 22, 23}


def test_object_holes_are_mirrored_resized_and_played_back_and_forth(bank: Path) -> None:
    mirrored = ObjectMask(bank, flip_probability=1.0)(1, 20, 40, np.random.default_rng(0))[0]
    assert np.flatnonzero(mirrored.all(axis=0))[0] in {*range(14, 20), *range(34, 40)}
    masks = ObjectMask(bank, flip_probability=0.0)(25, 40, 80, np.random.default_rng(1))
    columns = np.array([np.flatnonzero(mask.all(axis=0))[0] // 2 for mask in masks])
    assert (np.abs(np.diff(columns)) == 1).all()
    assert columns.max() - columns.min() == 5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StationaryMask(min_points=2), "expected 3 <= min_points"),
        (lambda: StationaryMask(min_length=0.5, max_length=0.2), "0.5 to 0.2"),
        (lambda: MovingMask(min_speed=3, max_speed=1), "speeds 3 to 1"),
        (lambda: MovingMask(turn=-1), "spreads of 0 or more"),
        (lambda: MovingMask(static_probability=2), "expected 0 to 1"),
        (lambda: BrushMask(min_strokes=4), "strokes 4 to 3"),
        (lambda: BoxMask(max_side=1.2), "max_side <= 1"),
        (lambda: MixtureMask([]), "at least one"),
        (lambda: MixtureMask([BoxMask()], weights=[1, 2]), "for 1 generators"),
        (lambda: ObjectMask("bank", flip_probability=-1), "expected 0 to 1"),
        (lambda: ObjectMask("no/such/bank")(1, 8, 8, np.random.default_rng(0)), "no such folder"),
    ],
)
def test_settings_without_sense_are_refused(make: object, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        make()  # type: ignore[operator]


def test_a_bank_without_holes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "empty" / "0.png")
    with pytest.raises(MaskError, match="no hole"):
        ObjectMask(tmp_path)(2, 8, 8, np.random.default_rng(0))
