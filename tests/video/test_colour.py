"""RGB comes out as the standards' matrices say, whatever the file's matrix, range and depth."""

from __future__ import annotations

import gc
from pathlib import Path

import av
import numpy as np
import pytest

from vinpaint.video import open_clip
from vinpaint.video.colour import display_matrix

# Luma weights of red and blue: ITU-R BT.601, BT.709, BT.2020 (non-constant luminance), SMPTE 240M.
_WEIGHTS = {6: (0.299, 0.114), 5: (0.299, 0.114), 1: (0.2126, 0.0722), 9: (0.2627, 0.0593), 7: (0.212, 0.087)}
_COLOURS = [(255, 255, 255), (0, 0, 0), (200, 30, 40), (20, 180, 60), (30, 40, 220), (128, 128, 128), (250, 220, 10)]


def _ycbcr(rgb: tuple[int, int, int], matrix: int, *, full: bool, bits: int = 8) -> list[int]:
    """The standard's own equations."""
    kr, kb = _WEIGHTS[matrix]
    red, green, blue = (value / 255 for value in rgb)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = [(blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))]
    scale = 1 << bits - 8
    top = (1 << bits) - 1
    if full:
        return [round(top * luma), *(round(top * value + (128 * scale)) for value in chroma)]
    return [round((219 * luma + 16) * scale), *(round((224 * value + 128) * scale) for value in chroma)]


def _flat_video(
    path: Path, planes: list[list[int]], pix_fmt: str, *, matrix: int, full: bool, size: tuple[int, int] = (32, 32)
) -> Path:
    """Store flat frames of given samples without any conversion."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = 2 if full else 1
        for place, samples in enumerate(planes):
            frame = av.VideoFrame(size[1], size[0], pix_fmt)
            for plane, sample in zip(frame.planes, samples, strict=True):
                kind = np.uint16 if "10" in pix_fmt else np.uint8
                count = plane.buffer_size // np.dtype(kind).itemsize
                plane.update(np.full(count, sample, kind).tobytes())
            frame.pts = place
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p10le"])
@pytest.mark.parametrize("matrix", [1, 5, 6, 7, 9])
def test_colours_follow_the_matrix_and_range_of_the_file(
    tmp_path: Path, matrix: int, pix_fmt: str, *, full: bool
) -> None:
    bits = 10 if "10" in pix_fmt else 8
    planes = [_ycbcr(colour, matrix, full=full, bits=bits) for colour in _COLOURS]
    frames = open_clip(_flat_video(tmp_path / "flat.mkv", planes, pix_fmt, matrix=matrix, full=full)).read(range(7))
    np.testing.assert_allclose(frames[:, 16, 16].astype(int), _COLOURS, atol=2)
    assert np.ptp(frames, axis=(1, 2)).max() <= 1, "a flat frame stays flat"


@pytest.mark.parametrize(("size", "matrix"), [((64, 64), 6), ((578, 64), 1), ((64, 1280), 1)])
def test_untagged_video_is_bt601_when_small_and_bt709_when_large(
    tmp_path: Path, size: tuple[int, int], matrix: int
) -> None:
    planes = [_ycbcr(colour, matrix, full=False) for colour in _COLOURS]
    frames = open_clip(_flat_video(tmp_path / "untagged.mkv", planes, "yuv420p", matrix=2, full=False, size=size)).read(
        range(7)
    )
    np.testing.assert_allclose(frames[:, 16, 16].astype(int), _COLOURS, atol=2)


def test_the_mean_of_a_picture_survives_reading(tmp_path: Path) -> None:
    """Against the standard's equations in floating point: no darkening from truncation."""
    rng = np.random.default_rng(0)
    luma = np.clip(np.cumsum(rng.normal(0, 3, (64, 64)), axis=1) + 120, 40, 200).astype(np.uint8)
    path = tmp_path / "grey.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.colorspace = 1
        frame = av.VideoFrame.from_ndarray(
            np.concatenate([luma, np.full((32, 64), 128, np.uint8)]).astype(np.uint8), format="yuv420p"
        )
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    expected = (luma.astype(float) - 16) * 255 / 219
    got = open_clip(path).read([0])[0].astype(float)
    assert abs((got - expected[..., None]).mean()) < 0.1
    assert np.abs(got - expected[..., None]).max() < 1


def test_reading_the_display_matrix_does_not_keep_the_picture(tmp_path: Path) -> None:
    """A picture of a cycle of references would stay in memory until Python looks for cycles."""

    def alive() -> int:
        return sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())

    path = _flat_video(tmp_path / "flat.mkv", [[60, 90, 100]] * 3, "yuv420p", matrix=1, full=False)
    gc.collect()
    before = alive()
    gc.disable()
    try:
        with av.open(str(path)) as container:
            for picture in container.decode(video=0):
                display_matrix(picture)
            del picture
        assert alive() == before
    finally:
        gc.enable()
