"""From file to file on drawn clips: size, length, frame rate and every known pixel of the input come out again."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine_promises import noise
from vinpaint import inpaint_video
from vinpaint.video import open_clip, open_writer

RATES = [Fraction(24), Fraction(25), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60), Fraction(25, 2)]
MODELS = ["identity", "telea", "navier_stokes", "temporal_median"]


class Drawn(NamedTuple):
    """A clip and its holes, and how they are kept in files."""

    frames: np.ndarray
    holes: np.ndarray
    rate: Fraction
    clip: str
    masks: str
    output: str
    model: str


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    """Small clips of any size, holes of every kind that files hold."""
    num_frames, height, width = draw(st.integers(1, 7)), draw(st.integers(2, 40)), draw(st.integers(2, 40))
    frames = noise(num_frames, height, width, seed=draw(st.integers(0, 99)))
    masks = draw(st.sampled_from(["bool", "grey", "soft", "grey16", "palette", "still", "box", "video"]))
    holes = np.zeros(frames.shape[:3], bool)
    for index in range(num_frames):
        if index == 0 or masks not in ("still", "box"):
            top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
            bottom, right = draw(st.integers(top + 1, height)), draw(st.integers(left + 1, width))
        holes[index, top:bottom, left:right] = True
    return Drawn(
        frames, holes, draw(st.sampled_from(RATES)), draw(st.sampled_from(["mkv", "mp4", "folder"])), masks,
        draw(st.sampled_from(["done.mkv", "done.mp4", "done.mov", "done"])), draw(st.sampled_from(MODELS)),
    )  # fmt: skip


def write_clip(folder: Path, example: Drawn) -> Path:
    """Write the frames without loss; what is read back is the truth, since video keeps no exact RGB."""
    path = folder / ("clip" if example.clip == "folder" else f"clip.{example.clip}")
    _, height, width, _ = example.frames.shape
    with open_writer(path, frame_rate=example.rate, height=height, width=width, lossless=True) as writer:
        for frame in example.frames:
            writer.write(frame)
    return path


def write_masks(folder: Path, example: Drawn) -> Path | tuple[int, int, int, int]:
    """Write the holes as the kind of mask that was drawn."""
    levels = example.holes.astype(np.uint8) * 255
    if example.masks == "box":
        rows, columns = (np.flatnonzero(example.holes[0].any(axis=axis)) for axis in (1, 0))
        return int(columns[0]), int(rows[0]), len(columns), len(rows)
    if example.masks == "still":
        Image.fromarray(levels[0]).save(folder / "masks.png")
        return folder / "masks.png"
    if example.masks == "video":
        _, height, width = levels.shape
        path = folder / "masks.mkv"
        with open_writer(path, frame_rate=25, height=height, width=width, lossless=True) as writer:
            for level in levels:
                writer.write(np.repeat(level[..., None], 3, axis=2))
        return path
    (folder / "masks").mkdir()
    for index, level in enumerate(levels):
        image = {
            "bool": lambda level: Image.fromarray(level).convert("1"),
            "grey": Image.fromarray,
            "soft": lambda level: Image.fromarray(level // 255 * 200),
            "grey16": lambda level: Image.fromarray(level.astype(np.uint16) * 257),
            "palette": lambda level: Image.fromarray(level).convert("P"),
        }[example.masks](level)
        image.save(folder / "masks" / f"{index:05d}.png")
    return folder / "masks"


def check(example: Drawn) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path, masks = write_clip(folder, example), write_masks(folder, example)
        written = inpaint_video(
            path, masks, folder / example.output, model=example.model, lossless=True, frame_rate=example.rate
        )
        with open_clip(path, frame_rate=example.rate) as before, open_clip(written, frame_rate=example.rate) as after:
            num_frames, height, width, _ = example.frames.shape
            assert (after.num_frames, after.height, after.width) == (num_frames, height, width)
            assert (before.num_frames, before.height, before.width) == (num_frames, height, width)
            assert after.frame_rate == before.frame_rate
            known, found = before.read(range(num_frames)), after.read(range(num_frames))
        outside = ~example.holes
        if path.is_dir() and not written.is_dir():  # RGB to lossless YUV: within a level
            assert np.abs(found[outside].astype(int) - known[outside]).max(initial=0) <= 2
        else:
            np.testing.assert_array_equal(found[outside], known[outside])


FEW = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@FEW
@given(example=drawn())
def test_what_is_known_comes_out_of_files_as_it_went_in(example: Drawn) -> None:
    check(example)


@pytest.mark.faults
@MANY
@given(example=drawn())
def test_what_is_known_comes_out_of_many_files_as_it_went_in(example: Drawn) -> None:
    check(example)
