"""Video files written: size, colours, times and sound survive, and a file is whole or not there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace
from numpy.typing import NDArray

from video.conftest import GOP, add_sound, copy_from, number_of, numbered_frame, numbered_video, numbers_of, turn
from vinpaint.video import ArrayClip, ClipError, ClipWriter, ResizedClip, open_clip, open_writer
from vinpaint.video.video_file import VideoFile


def _textured(num_frames: int = 8, height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    """Moving blobs of colour with fine grain, like a photographed texture."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    noise = rng.standard_normal((height, width + num_frames, 3))
    blobs = gaussian_filter(noise, (6, 6, 0)) * 900 + gaussian_filter(noise, (1.2, 1.2, 0.6)) * 25 + 128
    still = blobs.clip(0, 255).astype(np.uint8)
    return np.stack([still[:, shift : shift + width] for shift in range(num_frames)])


def _write(path: Path, frames: Sequence[NDArray[np.uint8]], **how: Any) -> Path:
    how = {"frame_rate": 25, "height": frames[0].shape[0], "width": frames[0].shape[1], **how}
    with open_writer(path, **how) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def _left_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_what_is_written_is_read_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    with open_writer(path, frame_rate=Fraction(30000, 1001), height=64, width=96) as writer:
        assert isinstance(writer, ClipWriter)
        for number in range(30):
            writer.write(numbered_frame(number))
        assert writer.num_frames == 30
        assert not path.exists(), "the name appears when the file is complete"
    clip = open_clip(path)
    assert (clip.num_frames, clip.height, clip.width) == (30, 64, 96)
    assert clip.frame_rate == Fraction(30000, 1001)
    assert numbers_of(clip.read(range(30))) == list(range(30))
    assert _left_in(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("size", [(64, 96), (47, 95)])
def test_lossless_is_equal_to_the_bit(tmp_path: Path, suffix: str, size: tuple[int, int]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (4, *size, 3), dtype=np.uint8)
    path = _write(tmp_path / f"out{suffix}", list(frames), lossless=True)
    for reader in ("auto", "pyav"):
        np.testing.assert_array_equal(open_clip(path, reader=reader).read(range(4)), frames)


def test_colours_survive_the_round_trip(tmp_path: Path) -> None:
    frames = _textured()
    again = open_clip(_write(tmp_path / "out.mp4", list(frames))).read(range(len(frames)))
    error = again.astype(int) - frames
    assert np.abs(error).mean() < 1.5
    assert np.abs(error.mean((0, 1, 2))).max() < 0.3, "no channel drifts"


def test_generations_do_not_drift(tmp_path: Path) -> None:
    """Chroma that is read where it was not written moves by half a pixel each time: 10 levels after five."""
    frames = first = _textured(3)
    for generation in range(5):
        frames = open_clip(_write(tmp_path / f"{generation}.mp4", list(frames), quality=1)).read(range(3))
    assert np.abs(frames.astype(int) - first).mean() < 1.5
    assert np.abs((frames.astype(int) - first).mean((0, 1, 2))).max() < 0.5


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["tennis", "blackswan", "field", "dogs_jump"])
def test_colours_of_a_real_clip_survive_the_round_trip(tmp_path: Path, real_data_dir: Path, name: str) -> None:
    frames = open_clip(real_data_dir / "dev" / name / "frames").read(range(24))
    again = open_clip(_write(tmp_path / "out.mp4", list(frames))).read(range(24))
    error = again.astype(int) - frames
    assert np.abs(error).mean() < 1.5
    assert np.abs(error.mean((0, 1, 2))).max() < 0.3


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["motorway_1080", "crowd_market_1080", "dog_720"])
def test_colours_of_a_real_video_survive_the_round_trip(tmp_path: Path, real_data_dir: Path, name: str) -> None:
    clip = open_clip(real_data_dir / "dev" / name / "frames.mp4")
    frames = clip.read(range(6))
    again = open_clip(_write(tmp_path / "out.mp4", list(frames), frame_rate=clip.frame_rate, like=clip))
    assert np.abs(again.read(range(6)).astype(int) - frames).mean() < 1


def test_video_is_tagged_and_plays_everywhere(tmp_path: Path) -> None:
    path = _write(tmp_path / "out.mp4", [numbered_frame(0)])
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")
        assert (codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range) == (1, 1, 1, 1)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat"), "playback can start before the file is loaded"


@pytest.mark.parametrize("size", [(239, 431), (48, 431), (47, 96)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_odd_sizes_are_kept(tmp_path: Path, size: tuple[int, int], suffix: str) -> None:
    frames = _textured(3, *size)
    clip = open_clip(_write(tmp_path / f"odd{suffix}", list(frames)))
    assert (clip.height, clip.width) == size
    assert np.abs(clip.read(range(3)).astype(int) - frames).mean() < 1.5


def test_quality_trades_size_for_error(tmp_path: Path) -> None:
    frames = list(_textured())
    sizes = [_write(tmp_path / f"{q}.mp4", frames, quality=q).stat().st_size for q in (4, 16, 30)]
    assert sizes[0] > 1.5 * sizes[1] > 2 * sizes[2]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"quality": 60}, "quality 60; give a constant rate factor from 0"),
        ({"preset": "fats"}, "preset 'fats'; give one of ultrafast, .*veryslow"),
        ({"frame_rate": 0}, "0 frames per second; give a rate above zero"),
    ],
)
def test_wrong_options_are_told(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ClipError, match=message):
        open_writer(tmp_path / "out.mp4", **{"frame_rate": 25, "height": 64, "width": 96, **wrong})
    assert _left_in(tmp_path) == []


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (2, 6), (16, 2)])
def test_the_smallest_frames_can_be_written(tmp_path: Path, size: tuple[int, int]) -> None:
    frames = np.full((3, *size, 3), 90, np.uint8)
    np.testing.assert_allclose(open_clip(_write(tmp_path / "out.mp4", list(frames))).read(range(3)), frames, atol=2)


def _times(path: Path) -> list[Fraction]:
    clip = VideoFile(path)
    return [tick * clip.time_base for tick in clip.timestamps.tolist()]


_UNEVEN = [0, 40, 50, 200, 210, 220, 500, 501, 900, 1000]


def test_varying_times_of_the_source_are_kept_exactly(tmp_path: Path) -> None:
    source = numbered_video(tmp_path / "vfr.mp4", 10, pts=_UNEVEN, time_base=Fraction(1, 1000))
    clip = open_clip(source)
    out = _write(tmp_path / "out.mp4", list(clip.read(range(10))), frame_rate=clip.frame_rate, like=clip)
    assert _times(out) == [Fraction(tick, 1000) for tick in _UNEVEN]
    assert open_clip(out).frame_rate == clip.frame_rate
    assert numbers_of(open_clip(out).read(range(10))) == list(range(10))


@pytest.mark.parametrize("start", [0, 7])
def test_a_late_start_and_broadcast_rates_are_kept(tmp_path: Path, start: int) -> None:
    rate = Fraction(24000, 1001)
    source = numbered_video(
        tmp_path / "late.mp4", 20, rate=rate, pts=[1001 * (n + start) for n in range(20)], time_base=Fraction(1, 24000)
    )
    clip = open_clip(source)
    assert clip.frame_rate == rate
    out = _write(tmp_path / "out.mp4", list(clip.read(range(20))), frame_rate=rate, like=clip)
    assert _times(out) == _times(source)
    assert open_clip(out).frame_rate == rate


def test_the_clock_of_a_broadcast_starts_anew(tmp_path: Path) -> None:
    clip = VideoFile(numbered_video(tmp_path / "broadcast.ts", 10))
    assert clip.timestamps[0] > 0
    out = _write(tmp_path / "out.mp4", list(clip.read(range(10))), like=clip)
    assert _times(out) == [Fraction(n, 25) for n in range(10)]


def test_milliseconds_of_matroska_become_the_exact_rate_again(tmp_path: Path) -> None:
    rate = Fraction(30000, 1001)
    clip = open_clip(numbered_video(tmp_path / "rounded.mkv", 20, rate=rate))
    out = _write(tmp_path / "out.mp4", list(clip.read(range(20))), frame_rate=clip.frame_rate, like=clip)
    assert _times(out) == [n / rate for n in range(20)]


def test_another_rate_than_the_sources_wins(tmp_path: Path) -> None:
    source = numbered_video(tmp_path / "vfr.mp4", 10, pts=_UNEVEN, time_base=Fraction(1, 1000))
    out = _write(tmp_path / "out.mp4", [numbered_frame(n) for n in range(10)], frame_rate=50, like=source)
    assert _times(out) == [Fraction(n, 50) for n in range(10)]


def test_more_frames_than_the_source_has_times_for_are_refused(tmp_path: Path) -> None:
    clip = open_clip(numbered_video(tmp_path / "vfr.mp4", 10, pts=_UNEVEN, time_base=Fraction(1, 1000)))
    with pytest.raises(ClipError, match=r"out\.mp4: .*frame 10 .*10 frames"):
        _write(tmp_path / "out.mp4", [numbered_frame(0)] * 11, frame_rate=clip.frame_rate, like=clip)
    assert _left_in(tmp_path) == ["vfr.mp4"]


def _sound(path: Path) -> list[tuple[str, str | None, list[tuple[Fraction, bytes]]]]:
    tracks = []
    with av.open(str(path)) as container:
        count = len(container.streams.audio)
    for track in range(count):
        with av.open(str(path)) as container:
            stream = container.streams.audio[track]
            packets = [(p.pts * p.time_base, bytes(p)) for p in container.demux(stream) if p.size]
            tracks.append((stream.codec_context.name, stream.metadata.get("language"), packets))
    return tracks


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("wrap", [str, lambda path: path, open_clip, lambda p: ResizedClip(open_clip(p), 32, 48)])
def test_sound_is_copied_packet_by_packet(tmp_path: Path, suffix: str, wrap: Callable[[Path], Any]) -> None:
    source = add_sound(numbered_video(tmp_path / "mute.mp4", 50), tmp_path / "source.mp4", ["eng", "deu"])
    out = _write(tmp_path / f"out{suffix}", [numbered_frame(n) for n in range(50)], like=wrap(source))
    before, after = _sound(source), _sound(out)
    assert len(before) == 2
    for (codec, language, packets), (codec_after, language_after, packets_after) in zip(before, after, strict=True):
        assert codec_after == codec
        assert language_after == ("ger" if (language, suffix) == ("deu", ".mov") else language), "two codes of German"
        assert [data for _, data in packets_after] == [data for _, data in packets]
        # Matroska rounds to milliseconds and starts at zero, the lead of the sound included.
        rounding, lead = (Fraction(2, 1000), _times(out)[0]) if suffix == ".mkv" else (0, 0)
        assert all(abs(a - lead - b) <= rounding for (a, _), (b, _) in zip(packets_after, packets, strict=True))


def test_sound_of_a_cut_file_keeps_its_lead(tmp_path: Path) -> None:
    whole = add_sound(numbered_video(tmp_path / "mute.mp4", 50, options=GOP), tmp_path / "whole.mp4", ["eng"])
    out = _write(tmp_path / "out.mp4", [numbered_frame(n) for n in range(50)], like=whole)
    again = _write(tmp_path / "again.mp4", [numbered_frame(n) for n in range(50)], like=out)
    assert _sound(again) == _sound(whole)


def test_sound_may_be_left_out(tmp_path: Path) -> None:
    source = add_sound(numbered_video(tmp_path / "mute.mp4", 10), tmp_path / "source.mp4", ["eng"])
    assert _sound(_write(tmp_path / "out.mp4", [numbered_frame(0)], like=source, copy_audio=False)) == []


def test_sound_that_the_container_cannot_hold_is_told(tmp_path: Path) -> None:
    source = tmp_path / "source.mkv"
    with av.open(str(source), "w") as container:
        pictures = container.add_stream("libx264", rate=25)
        pictures.height, pictures.width, pictures.pix_fmt = 64, 96, "yuv420p"
        sound = container.add_stream("tta", rate=16000, layout="mono")
        frame = av.VideoFrame.from_ndarray(numbered_frame(0), format="rgb24")
        container.mux(pictures.encode(frame))
        noise = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.uint8), format="u8", layout="mono")
        noise.sample_rate = 16000
        container.mux(sound.encode(noise))
        container.mux(pictures.encode(None))
        container.mux(sound.encode(None))
    with pytest.raises(ClipError, match=r"\A[^\n]*tta[^\n]*\.mkv[^\n]*\Z"):
        _write(tmp_path / "out.mp4", [numbered_frame(0)], like=source)
    assert _left_in(tmp_path) == ["source.mkv"]
    assert len(_sound(_write(tmp_path / "out.mkv", [numbered_frame(0)], like=source))) == 1


def test_images_and_arrays_have_no_sound_to_copy(tmp_path: Path) -> None:
    frames = _textured(2)
    assert open_clip(_write(tmp_path / "out.mp4", list(frames), like=ArrayClip(frames))).num_frames == 2


@pytest.mark.skipif(not hasattr(Colorspace, "BT2020"), reason="PyAV before 18 does not convert BT.2020")
def test_a_wide_gamut_stays_tagged(tmp_path: Path) -> None:
    source = tmp_path / "hdr.mkv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p10le"
        codec = stream.codec_context
        codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range = 9, 9, 16, 1
        frame = av.VideoFrame.from_ndarray(numbered_frame(3), format="rgb24").reformat(
            format="yuv420p10le", dst_colorspace="BT2020", dst_color_range="MPEG"
        )
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    before = open_clip(source).read([0])
    out = _write(tmp_path / "out.mp4", list(before), like=source)
    with av.open(str(out)) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.colorspace, codec.color_primaries, codec.color_trc) == (9, 9, 16)
    assert np.abs(open_clip(out).read([0]).astype(int) - before).mean() < 1.5


@pytest.mark.parametrize("matrix", [None, (0, 1, -1, 0)], ids=["upright", "turned"])
def test_pixels_that_are_not_square_stay_so(tmp_path: Path, matrix: tuple[int, int, int, int] | None) -> None:
    source = tmp_path / "wide.mp4"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_frame(0), format="rgb24")))
        container.mux(stream.encode(None))
    clip = VideoFile(source if matrix is None else turn(source, matrix))
    out = VideoFile(_write(tmp_path / "out.mp4", list(clip.read([0])), like=clip))
    assert out.pixel_aspect == (Fraction(4, 3) if matrix is None else Fraction(3, 4))
    smaller = VideoFile(_write(tmp_path / "small.mp4", [numbered_frame(0, 32, 96)], like=clip))
    assert smaller.pixel_aspect == 1, "another size has its own shape"


def test_a_turned_source_is_written_upright(tmp_path: Path) -> None:
    source = turn(numbered_video(tmp_path / "turned.mp4", 4, options=GOP), (0, 1, -1, 0))
    clip = open_clip(source)
    out = open_clip(_write(tmp_path / "out.mp4", list(clip.read(range(4))), like=clip))
    assert (out.height, out.width) == (96, 64)
    assert np.abs(out.read(range(4)).astype(int) - clip.read(range(4))).mean() < 2


def test_a_source_with_an_edit_list_keeps_its_times(tmp_path: Path) -> None:
    whole = numbered_video(tmp_path / "whole.mp4", options=GOP)
    clip = open_clip(copy_from(whole, tmp_path / "cut.mp4", 20))
    out = _write(tmp_path / "out.mp4", list(clip.read(range(40))), like=clip)
    assert numbers_of(open_clip(out).read(range(40))) == list(range(20, 60))
    assert _times(out) == [Fraction(n, 25) for n in range(40)]


def _break_off(path: Path, kind: type[BaseException], **how: Any) -> None:
    with open_writer(path, frame_rate=25, height=64, width=96, **how) as writer:
        writer.write(numbered_frame(0))
        raise kind


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_leaving_with_an_exception_leaves_nothing(tmp_path: Path, kind: type[BaseException]) -> None:
    with pytest.raises(kind):
        _break_off(tmp_path / "deep" / "out.mp4", kind)
    assert _left_in(tmp_path / "deep") == []


def test_a_writer_that_is_forgotten_leaves_nothing(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "out.mp4", frame_rate=25, height=64, width=96)
    writer.write(numbered_frame(0))
    del writer
    assert _left_in(tmp_path) == []


def test_an_existing_file_is_kept_unless_allowed(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"precious")
    with pytest.raises(ClipError, match=r"out\.mp4: exists already;.*overwrite=true"):
        _write(path, [numbered_frame(0)])
    assert path.read_bytes() == b"precious"
    with pytest.raises(RuntimeError):
        _break_off(path, RuntimeError, overwrite=True)
    assert path.read_bytes() == b"precious", "what is replaced stays until the new file is complete"
    _write(path, [numbered_frame(9)], overwrite=True)
    assert number_of(open_clip(path).read([0])[0]) == 9
    assert _left_in(tmp_path) == ["out.mp4"]


def test_a_name_taken_while_writing_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    writer = open_writer(path, frame_rate=25, height=64, width=96)
    writer.write(numbered_frame(0))
    path.write_bytes(b"precious")
    with pytest.raises(ClipError, match="exists already"):
        writer.close()
    assert path.read_bytes() == b"precious"
    assert _left_in(tmp_path) == ["out.mp4"]


def test_a_folder_of_that_name_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").mkdir()
    with pytest.raises(ClipError, match=r"out\.mp4: is a folder"):
        _write(tmp_path / "out.mp4", [numbered_frame(0)], overwrite=True)


def test_no_frame_is_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(ClipError, match="no frame was written"),
        open_writer(tmp_path / "out.mp4", frame_rate=25, height=64, width=96),
    ):
        pass
    assert _left_in(tmp_path) == []


def test_frames_of_another_size_or_type_are_refused(tmp_path: Path) -> None:
    for frame in (numbered_frame(0, 60, 96), numbered_frame(0).astype(np.float32)):
        with pytest.raises(ClipError, match=r"out\.mp4: frame is .*; give uint8 \(64, 96, 3\)"):
            _write(tmp_path / "out.mp4", [frame], height=64, width=96)
    assert _left_in(tmp_path) == []


def test_writing_after_the_end_is_refused(tmp_path: Path) -> None:
    with open_writer(tmp_path / "out.mp4", frame_rate=25, height=64, width=96) as writer:
        writer.write(numbered_frame(0))
    writer.close()
    with pytest.raises(ClipError, match="closed"):
        writer.write(numbered_frame(1))
    assert open_clip(tmp_path / "out.mp4").num_frames == 1


def test_a_place_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ClipError, match=r"\A[^\n]*out\.mp4: cannot be written \([^\n]*\); choose[^\n]*\Z"):
        open_writer(tmp_path / "file" / "out.mp4", frame_rate=25, height=64, width=96)


_FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from vinpaint.video import ClipError, open_writer

resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
rng = np.random.default_rng(0)
try:
    with open_writer(sys.argv[1], frame_rate=25, height=256, width=256, lossless=True) as writer:
        for _ in range(int(sys.argv[2])):
            writer.write(rng.integers(0, 256, (256, 256, 3), dtype=np.uint8))
except ClipError as error:
    print("told:", error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are a POSIX matter")
@pytest.mark.parametrize("num_frames", [1, 60])
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "frames"])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, name: str, num_frames: int) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(tmp_path / name), str(num_frames)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(f"told: {tmp_path / name}: cannot be written ("), run.stdout + run.stderr
    assert run.stdout.count("\n") == 1
    assert _left_in(tmp_path) == []


@pytest.mark.parametrize(("width", "lookahead"), [(96, 30), (15_008, 4)])
def test_large_frames_do_not_wait_for_many_others(tmp_path: Path, width: int, lookahead: int) -> None:
    """x264 holds the frames it looks ahead, and writes into the file how many those are."""
    path = _write(tmp_path / "clip.mp4", np.zeros((2, 64, width, 3), np.uint8))
    assert f"rc_lookahead={lookahead} ".encode() in path.read_bytes()
