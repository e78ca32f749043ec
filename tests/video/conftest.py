"""Video files made by program, awkward on purpose; every frame carries its number as bars of black and white."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

_BITS = 8
_ROWS = 16  # of the bars, at the top of the frame


def numbered_frame(number: int, height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    """A smooth moving picture with ``number`` (0 to 255) as eight bars along its top."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    shift = 3 * number
    layers = [128 + 60 * np.sin((x + shift) / 9 + c) + 50 * np.cos((y - shift) / 7 - c) for c in range(3)]
    frame = np.stack(layers, -1).clip(0, 255).astype(np.uint8)
    bar = width // _BITS
    for bit in range(_BITS):
        frame[:_ROWS, bit * bar : (bit + 1) * bar] = 255 * (number >> bit & 1)
    return frame


def number_of(frame: NDArray[np.uint8]) -> int:
    """Read the bars of ``numbered_frame`` after any coding."""
    bar = frame.shape[1] // _BITS
    lit = [frame[4 : _ROWS - 4, bit * bar + 3 : (bit + 1) * bar - 3].mean() > 128 for bit in range(_BITS)]
    return sum(int(on) << bit for bit, on in enumerate(lit))


def numbers_of(frames: Iterable[NDArray[np.uint8]]) -> list[int]:
    return [number_of(frame) for frame in frames]


def write_video(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
    rate: Fraction | int = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
) -> Path:
    """Encode RGB frames with PyAV alone."""
    with av.open(str(path), "w", options=muxing or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.options = options or {}
        base = time_base or 1 / Fraction(rate)
        stream.codec_context.time_base = base
        for place, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
            frame.pts = place if pts is None else pts[place]
            frame.time_base = base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def numbered_video(path: Path, num_frames: int = 60, *, height: int = 64, width: int = 96, **how: Any) -> Path:
    return write_video(path, [numbered_frame(number, height, width) for number in range(num_frames)], **how)


GOP = {"x264-params": "keyint=12:min-keyint=12:scenecut=0:bframes=3:open-gop=0"}
OPEN_GOP = {"x264-params": "keyint=12:min-keyint=12:scenecut=0:bframes=3:open-gop=1"}
OPEN_GOP_HEVC = {"x265-params": "keyint=12:min-keyint=12:scenecut=0:bframes=3:open-gop=1:log-level=none"}


def copy_from(source: Path, target: Path, first_frame: int) -> Path:
    """Cut a file by stream copy: the packets from the keyframe before on, shown from ``first_frame`` on."""
    with av.open(str(source)) as original, av.open(str(target), "w") as cut:
        stream = original.streams.video[0]
        copy = cut.add_stream_from_template(stream)
        packets = [packet for packet in original.demux(stream) if packet.size]
        start = sorted(packet.pts for packet in packets)[first_frame]
        keys = [place for place, packet in enumerate(packets) if packet.is_keyframe and packet.pts <= start]
        for packet in packets[keys[-1] :]:
            packet.pts -= start
            packet.dts -= start
            packet.stream = copy
            cut.mux(packet)
    return target


def turn(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Patch the display matrix ``(a, b, c, d)`` of an mp4's track header."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 44
    a, b, c, d = (value << 16 for value in matrix)
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def add_sound(source: Path, target: Path, languages: Sequence[str], seconds: float = 2.0) -> Path:
    """Copy the pictures of a file and add one AAC track of noise per language."""
    rng = np.random.default_rng(0)
    with av.open(str(source)) as original, av.open(str(target), "w") as out:
        pictures = original.streams.video[0]
        copy = out.add_stream_from_template(pictures)
        tracks = []
        for language in languages:
            track = out.add_stream("aac", rate=16000, layout="mono")
            track.metadata["language"] = language
            tracks.append(track)
        for packet in original.demux(pictures):
            if packet.size:
                packet.stream = copy
                out.mux(packet)
        for track in tracks:
            for start in range(0, int(seconds * 16000), 1024):
                samples = (rng.standard_normal((1, 1024)) * 2000).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
                out.mux(track.encode(frame))
            out.mux(track.encode(None))
    return target


@pytest.fixture(scope="session")
def closed_gop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty numbered frames, a keyframe every twelfth, nothing special."""
    return numbered_video(tmp_path_factory.mktemp("video") / "closed.mp4", options=GOP)


@pytest.fixture
def is_everywhere_right() -> Callable[..., None]:
    """Check that a clip shows the expected numbers in order, at random and backwards."""

    def check(clip: Any, expected: Sequence[int]) -> None:
        assert clip.num_frames == len(expected)
        for place, number in enumerate(expected):
            assert number_of(clip.read([place])[0]) == number, f"frame {place} read in order"
        rng = np.random.default_rng(0)
        for place in rng.integers(0, len(expected), 80).tolist():
            assert number_of(clip.read([place])[0]) == expected[place], f"frame {place} read at random"
        backwards = list(reversed(range(len(expected))))
        assert numbers_of(clip.read(backwards)) == [expected[place] for place in backwards]

    return check
