"""Video files read exactly, however awkward; the files are made here and every frame carries its number."""

from __future__ import annotations

import multiprocessing
import pickle
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from child_process import read_numbers
from video.conftest import (
    GOP,
    OPEN_GOP,
    OPEN_GOP_HEVC,
    copy_from,
    number_of,
    numbered_frame,
    numbered_video,
    numbers_of,
    turn,
    write_video,
)
from vinpaint.video import ClipError, ClipReader, open_clip, open_writer
from vinpaint.video.video_file import VideoFile

Check = Callable[[Any, Any], None]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".ts", ".flv"])
def test_every_frame_is_found_in_every_container(tmp_path: Path, is_everywhere_right: Check, suffix: str) -> None:
    with open_clip(numbered_video(tmp_path / f"clip{suffix}", options=GOP)) as clip:
        is_everywhere_right(clip, range(60))
        assert isinstance(clip, ClipReader)
        assert (clip.name, clip.height, clip.width, clip.frame_rate) == ("clip", 64, 96, 25)


@pytest.mark.parametrize(("codec", "options"), [("libx264", OPEN_GOP), ("libx265", OPEN_GOP_HEVC)])
def test_open_groups_of_pictures_are_read_exactly(
    tmp_path: Path, is_everywhere_right: Check, codec: str, options: dict[str, str]
) -> None:
    clip = VideoFile(numbered_video(tmp_path / "open.mp4", codec=codec, options=options))
    assert not clip.index.plain, "the file was to have leading pictures"
    is_everywhere_right(clip, range(60))


@pytest.mark.parametrize("first", [15, 20, 24])
@pytest.mark.parametrize("options", [GOP, OPEN_GOP], ids=["closed", "open"])
def test_frames_hidden_by_an_edit_list_do_not_count(
    tmp_path: Path, is_everywhere_right: Check, options: dict[str, str], first: int
) -> None:
    whole = numbered_video(tmp_path / "whole.mp4", options=options)
    clip = VideoFile(copy_from(whole, tmp_path / "cut.mp4", first))
    is_everywhere_right(clip, range(first, 60))
    assert clip.frame_rate == 25


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "name"),
    [
        ("libx264", "yuv420p10le", "ten.mp4"),
        ("libx265", "yuv420p10le", "ten_hevc.mp4"),
        ("libsvtav1", "yuv420p10le", "av1.mp4"),
        ("libvpx", "yuv420p", "vp8.webm"),
        ("libvpx-vp9", "yuva420p", "alpha.webm"),
        ("prores_ks", "yuva444p10le", "alpha.mov"),
        ("png", "rgba", "rgba.mov"),
        ("ffv1", "bgr0", "lossless.mkv"),
        ("mpeg4", "yuv420p", "divx.avi"),
        ("libx264", "yuv420p", "b_frames.avi"),
        ("mjpeg", "yuvj420p", "full_range.avi"),
        ("mpeg2video", "yuv420p", "broadcast.ts"),
        ("wmv2", "yuv420p", "windows.wmv"),
        ("gif", "rgb8", "animated.gif"),
        ("libx264", "yuv420p", "raw.h264"),
    ],
)
def test_every_codec_becomes_8_bit_rgb(
    tmp_path: Path, is_everywhere_right: Check, codec: str, pix_fmt: str, name: str
) -> None:
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    clip = open_clip(numbered_video(tmp_path / name, 40, codec=codec, pix_fmt=pix_fmt, options=quiet))
    is_everywhere_right(clip, range(40))
    # A GIF has 256 colours and lossy codecs their blocks, but a wrong matrix, range or depth is off by far more.
    error = clip.read([7])[0].astype(int) - numbered_frame(7)
    assert abs(error.mean()) < 1
    assert np.abs(error).mean() < (14 if pix_fmt == "rgb8" else 6)


@pytest.mark.parametrize(
    ("matrix", "turned"),
    [
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
        ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
        ((0, -1, 1, 0), lambda image: np.rot90(image, 1)),
        ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
        ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
    ],
    ids=["right", "half", "left", "mirrored", "transposed"],
)
def test_rotation_is_applied(
    tmp_path: Path, matrix: tuple[int, int, int, int], turned: Callable[[np.ndarray], np.ndarray]
) -> None:
    upright = numbered_video(tmp_path / "upright.mp4", 5, options=GOP)
    stored = open_clip(upright).read([3])[0]
    clip = open_clip(turn(upright, matrix))
    expected = turned(stored)
    assert (clip.height, clip.width) == expected.shape[:2]
    np.testing.assert_array_equal(clip.read([3])[0], expected)


def test_rotation_agrees_with_pyav(tmp_path: Path) -> None:
    path = turn(numbered_video(tmp_path / "turned.mp4", 3, options=GOP), (0, 1, -1, 0))
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        expected = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
    np.testing.assert_allclose(open_clip(path).read([0])[0].astype(int), expected, atol=30)
    assert open_clip(path).height == 96


def test_varying_frame_rate_keeps_its_times(tmp_path: Path, is_everywhere_right: Check) -> None:
    times = [0, 40, 50, 200, 210, 220, 500, 501, 900, 1000]
    path = numbered_video(tmp_path / "vfr.mp4", 10, pts=times, time_base=Fraction(1, 1000))
    clip = VideoFile(path)
    is_everywhere_right(clip, range(10))
    assert [tick * clip.time_base for tick in clip.timestamps.tolist()] == [Fraction(t, 1000) for t in times]
    assert clip.frame_rate == 9, "nine steps in a second"


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(25), Fraction(12)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_rate_is_an_exact_ratio(tmp_path: Path, rate: Fraction, suffix: str) -> None:
    assert open_clip(numbered_video(tmp_path / f"rate{suffix}", 12, rate=rate)).frame_rate == rate


@pytest.mark.parametrize("num_frames", [1, 2, 3])
@pytest.mark.parametrize("rate", [Fraction(24), Fraction(30000, 1001), Fraction(60)])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_few_frames_have_the_exact_rate_too(tmp_path: Path, suffix: str, rate: Fraction, num_frames: int) -> None:
    with open_writer(tmp_path / f"clip{suffix}", frame_rate=rate, height=16, width=16) as writer:
        for level in range(num_frames):
            writer.write(np.full((16, 16, 3), level, np.uint8))
    assert VideoFile(tmp_path / f"clip{suffix}").frame_rate == rate


@pytest.mark.parametrize("size", [(47, 97), (64, 97), (49, 96)])
def test_odd_sizes_are_read_whole(tmp_path: Path, size: tuple[int, int]) -> None:
    height, width = size
    clip = open_clip(numbered_video(tmp_path / "odd.mkv", 6, height=height, width=width, pix_fmt="yuv444p"))
    assert clip.read([0, 5]).shape == (2, height, width, 3)
    assert numbers_of(clip.read(range(6))) == list(range(6))


def test_one_frame_is_a_clip(tmp_path: Path) -> None:
    clip = open_clip(numbered_video(tmp_path / "one.mp4", 1))
    assert clip.num_frames == 1
    assert clip.read([0, 0]).shape == (2, 64, 96, 3)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts", "clip.webm", "clip.gif"])
def test_a_truncated_file_has_the_frames_that_decode(tmp_path: Path, name: str) -> None:
    codec, pix_fmt = {"webm": ("libvpx", "yuv420p"), "gif": ("gif", "rgb8")}.get(name[5:], ("libx264", "yuv420p"))
    muxing = {"movflags": "faststart"} if name.endswith("mp4") else {}
    options = GOP if codec == "libx264" else {}
    whole = numbered_video(tmp_path / name, codec=codec, pix_fmt=pix_fmt, options=options, muxing=muxing)
    reference = VideoFile(whole)
    shown_at = {tick: frame for frame, tick in enumerate(reference.timestamps.tolist())}
    content = whole.read_bytes()
    counts = []
    for part in (0.45, 0.6, 0.61, 0.83, 0.97):
        cut = tmp_path / f"cut_{name}"
        cut.write_bytes(content[: int(len(content) * part)])
        with pytest.warns(UserWarning, match="cut short") if name[5:] in ("mp4", "gif") else _nothing():
            clip = VideoFile(cut)
        counts.append(clip.num_frames)
        assert clip.frame_rate == 25
        frames = clip.read(range(clip.num_frames))
        for place, tick in enumerate(clip.timestamps.tolist()):
            np.testing.assert_array_equal(frames[place], reference.read([shown_at[tick]])[0])
    assert counts == sorted(counts)
    assert 10 < counts[0] < counts[-1] < 61


class _nothing:  # noqa: N801  # a context that checks nothing
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def test_damage_in_the_middle_is_told_and_what_is_whole_is_read(tmp_path: Path, closed_gop: Path) -> None:
    with av.open(str(closed_gop)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        hit = next(place for place, packet in enumerate(packets) if packet.is_keyframe and place > 20)
        at, size = packets[hit].pos, packets[hit].size
    content = bytearray(closed_gop.read_bytes())
    content[at : at + size] = bytes(size)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    reference, clip = VideoFile(closed_gop), VideoFile(path)
    told = []
    for place in random.Random(0).sample(range(60), 60):
        try:
            np.testing.assert_array_equal(clip.read([place])[0], reference.read([place])[0])
        except ClipError:
            told.append(place)
    assert set(range(24, 36)) <= set(told), "the group of pictures that lost its keyframe"
    assert set(told) <= set(range(20, 36)), "and at most what was still in the decoder"
    with pytest.raises(
        ClipError, match=r"\A[^\n]*damaged\.mp4: frame 30 cannot be decoded, .* damaged there; cut .*\Z"
    ):
        clip.read([30])


def test_frames_asked_for_outside_the_clip_are_an_index_error(closed_gop: Path) -> None:
    clip = open_clip(closed_gop)
    for outside in (60, -1):
        with pytest.raises(IndexError, match=rf"frame {outside} .* frames 0 to 59"):
            clip.read([0, outside])


def test_reading_nothing_gives_an_empty_array(closed_gop: Path) -> None:
    assert open_clip(closed_gop).read([]).shape == (0, 64, 96, 3)


def test_reads_in_order_do_not_seek(closed_gop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vinpaint.video.pyav_decoder import PyAVDecoder

    clip = VideoFile(closed_gop, reader="pyav")
    started: list[int] = []
    start_at = PyAVDecoder._start_at
    monkeypatch.setattr(PyAVDecoder, "_start_at", lambda self, key: (started.append(key), start_at(self, key))[1])
    for place in range(60):
        clip.read([place])
    clip.read([59, 58, 57])  # still kept
    assert started == []
    clip.read([3])
    assert started == [0]


def test_a_read_after_close_opens_the_file_again(closed_gop: Path) -> None:
    clip = open_clip(closed_gop)
    clip.close()
    clip.close()
    assert number_of(clip.read([33])[0]) == 33


def test_threads_share_a_clip(closed_gop: Path) -> None:
    clip = open_clip(closed_gop)
    wrong: list[int] = []

    def work(seed: int) -> None:
        for place in random.Random(seed).choices(range(60), k=40):
            if number_of(clip.read([place])[0]) != place:
                wrong.append(place)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("reader", ["pyav", "decord"])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_clip_opened_before_a_new_process_reads_right_in_both(closed_gop: Path, method: str, reader: Any) -> None:
    if reader == "decord":
        pytest.importorskip("decord")
    clip = open_clip(closed_gop, reader=reader)
    assert number_of(clip.read([7])[0]) == 7
    context = multiprocessing.get_context(method)
    answer = context.Queue()
    child = context.Process(target=read_numbers, args=(clip, [41, 8, 9, 59], answer))
    child.start()
    assert number_of(clip.read([8])[0]) == 8
    assert answer.get(timeout=60) == [41, 8, 9, 59]
    child.join(60)
    assert number_of(clip.read([9])[0]) == 9


def test_a_pickled_clip_keeps_its_index(closed_gop: Path, is_everywhere_right: Check) -> None:
    copy = pickle.loads(pickle.dumps(open_clip(closed_gop)))
    is_everywhere_right(copy, range(60))


def test_decord_is_taken_only_where_it_is_exact(tmp_path: Path, closed_gop: Path) -> None:
    pytest.importorskip("decord")
    full = numbered_video(tmp_path / "rgb.mkv", codec="libx264rgb", pix_fmt="rgb24", options={"crf": "0", **GOP})
    assert VideoFile(full).reader == "decord"
    np.testing.assert_array_equal(
        VideoFile(full).read(range(60)), VideoFile(full, reader="pyav").read(range(60)), strict=True
    )
    assert VideoFile(closed_gop).reader == "pyav", "decord darkens 4:2:0"
    assert VideoFile(closed_gop, reader="decord").reader == "decord"
    open_gop = numbered_video(tmp_path / "open.mp4", options=OPEN_GOP)
    assert VideoFile(open_gop).reader == "pyav"
    with pytest.raises(ClipError, match=r"open groups of pictures.*reader=auto"):
        VideoFile(open_gop, reader="decord")


def test_decord_is_refused_where_a_picture_is_mirrored(tmp_path: Path) -> None:
    pytest.importorskip("decord")
    path = turn(numbered_video(tmp_path / "mirrored.mp4", 5, options=GOP), (-1, 0, 0, 1))
    with pytest.raises(ClipError, match=r"cannot be read exactly by decord \(its first frame comes out otherwise\)"):
        VideoFile(path, reader="decord")


def test_an_index_takes_few_bytes_a_frame_and_few_frames_are_kept(closed_gop: Path) -> None:
    clip = VideoFile(closed_gop)
    arrays = [value for value in vars(clip.index).values() if isinstance(value, np.ndarray)]
    assert sum(array.nbytes for array in arrays) <= 40 * clip.num_frames
    clip.read(range(60))
    assert len(clip._cache) <= 16


_PEAK = """
import resource, sys
from vinpaint.video import open_clip
with open_clip(sys.argv[1]) as clip:
    for place in range(clip.num_frames):
        clip.read([place])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    peaks = []
    for num_frames in (100, 2000):
        frames = [numbered_frame(number % 256, 240, 432) for number in range(50)] * (num_frames // 50)
        path = write_video(tmp_path / f"{num_frames}.mp4", frames, options={"preset": "ultrafast"})
        run = subprocess.run([sys.executable, "-c", _PEAK, str(path)], capture_output=True, text=True, check=True)
        peaks.append(int(run.stdout))
    assert peaks[1] < 1.05 * peaks[0]


def test_decord_reads_any_frame(closed_gop: Path, is_everywhere_right: Check) -> None:
    pytest.importorskip("decord")
    is_everywhere_right(open_clip(closed_gop, reader="decord"), range(60))


def test_cover_art_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("libmp3lame", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.int16), format="s16p", layout="mono")
        frame.sample_rate = 16000
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    with pytest.raises(ClipError, match=r"song\.mp3: no moving pictures"):
        open_clip(path)


def test_a_change_of_size_inside_a_file_is_told(tmp_path: Path) -> None:
    small = write_video(tmp_path / "small.ts", [numbered_frame(n) for n in range(12)], options=GOP)
    large = write_video(tmp_path / "large.ts", [numbered_frame(n, 80, 128) for n in range(12)], options=GOP)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    clip = open_clip(joined)
    assert number_of(clip.read([3])[0]) == 3
    with pytest.raises(ClipError, match=r"128x80.*96x64|cannot be decoded"):
        clip.read([clip.num_frames - 1])
