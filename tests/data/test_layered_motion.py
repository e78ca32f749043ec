"""Cut-outs that move over each other: their true motion, what is hidden, and their chance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import default_collate

from vinpaint.batch import check_batch
from vinpaint.data import DataError, LayeredMotion, VideoInpaintingDataModule, Window, WindowRequest, WindowSource
from vinpaint.data.moving_layers import Drift, MovingLayer, draw_layers, layered_flow
from vinpaint.masks import AffineRange, BoxMask
from vinpaint.ops.warp import backward_warp

H, W = 64, 96


def layered(**arguments: Any) -> LayeredMotion:
    return LayeredMotion(**{"textures": 4, "noise": 0.0, "jitter_probability": 0.0, **arguments})


def windows(source: LayeredMotion, count: int = 4, **wanted: Any) -> list[Window]:
    request = WindowRequest(**{"num_frames": 2, "height": H, "width": W, "motion": "flow", **wanted})
    return [source.draw(index, np.random.default_rng([3, index]), request) for index in range(count)]


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    y, x = np.mgrid[:90, :120] / 12.0
    for number in range(2):
        picture = np.uint8(127.5 + 110 * np.stack([np.sin(x + number), np.cos(y - x / 2), np.sin(y)], axis=2))
        Image.fromarray(picture).save(tmp_path / f"photo{number}.png")
    return tmp_path


@pytest.mark.parametrize("num_frames", [2, 5])
def test_a_frame_warped_by_the_true_flow_is_the_other_frame_where_it_is_seen(num_frames: int) -> None:
    for window in windows(layered(), 6, num_frames=num_frames):
        frames = window["frames"]
        for first, second, way in ((frames[:-1], frames[1:], "forward"), (frames[1:], frames[:-1], "backward")):
            flow, seen = window[f"flow_{way}"], window[f"seen_{way}"] > 0  # type: ignore[literal-required]
            assert flow.shape == (num_frames - 1, 2, H, W)
            warped, inside = backward_warp(second, flow, padding_mode="border")
            assert (inside[seen] == 1).float().mean() > 0.99
            error = (warped - first).abs().mean(dim=1, keepdim=True)
            moving = (second - first).abs().mean(dim=1, keepdim=True)
            assert error[seen].mean() < 0.4 * moving[seen].mean()  # resampling blurs what is fine
            assert error[seen].median() < 0.02
            assert error[~seen].mean() > 2 * error[seen].mean()


def test_what_a_cut_out_covers_is_not_seen() -> None:
    """A square of 4x4 over a backdrop that stands still steps two pixels to the right."""
    square = np.full((4, 4, 4), 255, np.uint8)
    maps = []
    for left in (2, 4):
        place = np.eye(3)
        place[:2, 2] = left, 3
        maps.append(place)
    layers = [MovingLayer(np.zeros((10, 12, 3), np.uint8), [np.eye(3)] * 2), MovingLayer(square, maps)]
    drawn = [draw_layers(layers, time, 10, 12) for time in (0, 1)]
    labels = [seen for _, seen in drawn]
    assert (drawn[1][0][3:7, 4:8] == 255).all()
    assert labels[0].sum() == labels[1].sum() == 16
    flow, seen = layered_flow(layers, labels, 0, 1)
    assert (flow[0][labels[0] == 1] == 2).all()
    assert (flow[:, labels[0] == 0] == 0).all()
    hidden = np.zeros((10, 12), bool)
    hidden[3:7, 6:8] = True  # where the square comes to lie and was not before
    assert np.array_equal(~seen, hidden)
    _, seen = layered_flow(layers, labels, 1, 0)
    hidden = np.zeros((10, 12), bool)
    hidden[3:7, 2:4] = True
    assert np.array_equal(~seen, hidden)


def test_paths_are_smooth_and_start_from_where_things_are() -> None:
    steps = AffineRange(rotation=5.0)
    path = Drift(steps, np.array([3.0, -1.0]), strength=1.0, curve=0.1, rng=np.random.default_rng(0))
    middle = np.array([20.0, 10.0, 1.0])
    places = np.stack([(path.matrix(time, (20.0, 10.0)) @ middle)[:2] for time in range(-3, 4)])
    assert np.array_equal(path.matrix(0, (20.0, 10.0)), np.eye(3))
    speeds = np.diff(places, axis=0)
    assert np.allclose(speeds[:, 0], -3 * speeds[:, 1])  # in a line
    assert np.allclose(np.diff(speeds[:, 0]), 0.1 * 3.0)


def test_most_motion_is_small_and_some_is_large() -> None:
    source = layered(shift=2.0, max_shift=30.0, steps=AffineRange(rotation=0.0, scale=0.0, anisotropy=0.0, shear=0.0))
    lengths = np.array([np.hypot(*source._drift(np.random.default_rng(seed)).shift) for seed in range(3000)])
    assert 1.8 < np.median(lengths) < 2.2
    assert lengths.max() == pytest.approx(30.0)
    assert 0.01 < (lengths > 15).mean() < 0.1


def test_it_works_with_photographs_and_without_holes_or_with(photographs: Path) -> None:
    (window,) = windows(layered(root=photographs, texture_probability=0.0), 1, motion=None)
    assert set(window) == {"frames", "masks", "name"}
    assert not window["masks"].any()
    (window,) = windows(layered(root=photographs, mask=BoxMask()), 1, num_frames=3)
    assert window["masks"].any()
    check_batch(default_collate([window, window]))


def test_a_window_of_one_frame_has_no_flow() -> None:
    (window,) = windows(layered(), 1, num_frames=1)
    assert window["flow_forward"].shape == (0, 2, H, W)
    assert window["seen_backward"].shape == (0, 1, H, W)


def test_a_window_depends_on_its_chance_alone() -> None:
    together = windows(layered(noise=4.0, jitter_probability=1.0), 3)
    alone = layered(noise=4.0, jitter_probability=1.0).draw(
        2, np.random.default_rng([3, 2]), WindowRequest(2, H, W, "flow")
    )
    assert torch.equal(together[2]["frames"], alone["frames"])
    assert torch.equal(together[2]["flow_forward"], alone["flow_forward"])
    assert not torch.equal(together[1]["frames"], alone["frames"])


def test_light_and_noise_leave_the_motion_as_it_is() -> None:
    (plain,) = windows(layered(tone=0.0), 1)
    (changed,) = windows(layered(tone=0.25, noise=4.0, jitter=0.1, jitter_probability=1.0), 1)
    assert torch.equal(plain["flow_forward"], changed["flow_forward"])
    assert not torch.equal(plain["frames"], changed["frames"])


def test_validation_windows_are_always_the_same_and_never_trained_on() -> None:
    source: WindowSource = layered()
    data = VideoInpaintingDataModule(
        train=source, val=source, mask=BoxMask(), height=H, width=W, num_frames=2, motion="flow", samples_per_epoch=4,
        batch_size=2, num_workers=0,
    )  # fmt: skip
    first, again = (next(iter(data.val_dataloader())) for _ in range(2))
    assert torch.equal(first["frames"], again["frames"])
    assert first["flow_forward"].shape == (2, 1, 2, H, W)
    trained = torch.cat([batch["frames"] for batch in data.train_dataloader()])
    assert not any(torch.equal(a, b) for a in trained for b in first["frames"])
    with pytest.raises(DataError, match="no clips for val"):
        data.evaluation_set("val")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layered(min_layers=5, max_layers=4), "layers 5 to 4"),
        (lambda: layered(max_layers=256), "layers 4 to 256: expected 0 <= low <= high <= 255"),
        (lambda: layered(shift=9.0, max_shift=4.0), "shifts 9.0 to 4.0"),
        (lambda: layered(min_cover=0.5), "covers 0.5"),
        (lambda: layered(texture_probability=2), "texture_probability 2: expected 0 to 1"),
        (lambda: layered(textures=0), "textures 0"),
        (lambda: windows(layered(), motion="affine"), "by no one affine map: set motion to flow or null"),
        (lambda: windows(layered(root="nowhere"), 9), "no such folder; name one that holds photographs"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()
