"""What a video file holds, found by walking its packets once without decoding them."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vinpaint.video.container import video_stream

if TYPE_CHECKING:
    from av.container import InputContainer

# Codecs whose files hold one displayed frame per packet and flag as key only packets that decoding can start from.
# (Counter-examples: VP8 may store hidden frames as packets, every packet of some animations is flagged as key.)
_ONE_FRAME_PER_PACKET = frozenset(
    {
        "h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg", "ffv1", "prores", "dnxhd",
        "rawvideo", "huffyuv", "ffvhuff", "utvideo", "png",
    }
)  # fmt: skip
_SEEKABLE = _ONE_FRAME_PER_PACKET | {"vp8"}
# Containers that may hold packets of several frames, or frames without a time of their own.
_LOOSE_CONTAINERS = frozenset({"avi", "mpeg", "h264", "hevc", "m4v", "mjpeg", "asf", "ogg"})


@dataclass(frozen=True)
class PacketIndex:
    """The displayed frames of a file and where decoding has to start for each.

    Attributes:
        pts: presentation time of every displayed frame in units of ``time_base``, ascending, ``(num_frames,)``.
        decode_order: place of each displayed frame's packet in the file, ``(num_frames,)``.
        start: number of the keyframe to start from for each displayed frame, ``(num_frames,)``.
        key_pts: presentation times of the keyframes, ascending, ``(num_keys,)``.
        key_order: places of the keyframes in the file, ``(num_keys,)``.
        damaged: places of packets that the container itself reports as damaged.
        time_base: seconds per unit of ``pts``.
        by_order: frames are found by counting from the start, because the packets' times are missing or not theirs.
        plain: closed groups of pictures, no edit list, nothing missing: what every reader gets right.
        cut_short: the file ends before its last frame.
    """

    pts: NDArray[np.int64]
    decode_order: NDArray[np.int64]
    start: NDArray[np.int64]
    key_pts: NDArray[np.int64]
    key_order: NDArray[np.int64]
    damaged: NDArray[np.int64]
    time_base: Fraction
    by_order: bool
    plain: bool
    cut_short: bool


class NotIndexableError(ValueError):
    """A file without a frame that can be decoded."""


def build_index(open_file: Callable[[], InputContainer], *, frame_rate: Fraction) -> PacketIndex:
    """Walk the packets of a file.

    Packets that an edit list hides are left out of the displayed frames but kept as places to start from. Packets
    that may not come out of a decoder (shown before the first keyframe, or behind a damaged end) are tried. Where
    packets do not tell the frames at all (see ``_LOOSE_CONTAINERS``) the whole file is decoded once instead.

    Args:
        open_file: opens the file anew.
        frame_rate: frames per second as the container tells; used where frames have no times.

    Raises:
        NotIndexableError: if no frame can be decoded.
    """
    with open_file() as container:
        packets = _walk(container)
        stream = video_stream(container)
        assert stream is not None  # the caller looked
        codec = stream.codec_context.codec.canonical_name
        formats = frozenset(container.format.name.split(","))
    keys = np.flatnonzero(packets.key)
    shown = packets.shown()
    if not (
        codec in _ONE_FRAME_PER_PACKET
        and formats.isdisjoint(_LOOSE_CONTAINERS)
        and packets.timed
        and len(keys)
        and len(shown)
        and _ascending(packets.pts[keys])
        and _ascending(packets.pts[shown])
    ):
        return _index_by_decoding(open_file, packets, frame_rate, seekable=codec in _SEEKABLE)

    pts = packets.pts[shown]
    key_pts = packets.pts[keys]
    doubtful = pts < key_pts[0]
    if doubtful.any():
        times, sound = _decode_times(open_file, until=key_pts[0])
        doubtful &= ~np.isin(pts, times[sound])
    if packets.cut_short or "mpegts" in formats:
        tail = key_pts[: np.searchsorted(key_pts, pts[-1], side="right")]
        doubtful |= (pts >= tail[-1]) & ~np.isin(pts, _tail_times(open_file, tail))
    shown = shown[~doubtful]
    if not len(shown):
        raise NotIndexableError("no frame of it can be decoded")
    return _assemble(packets, shown, keys)


@dataclass(frozen=True)
class _Packets:
    """The packets of a stream in the order of the file."""

    pts: NDArray[np.int64]
    key: NDArray[np.bool_]
    discard: NDArray[np.bool_]
    damaged: NDArray[np.bool_]
    timed: bool
    cut_short: bool
    time_base: Fraction

    def shown(self) -> NDArray[np.intp]:
        """Places of the packets that are displayed, in the order of display."""
        shown = np.flatnonzero(~self.discard)
        if len(shown) and self.damaged[-1]:
            shown = shown[shown < len(self.pts) - 1]  # the last packet is not all there
        return shown[np.argsort(self.pts[shown], kind="stable")]


def _walk(container: InputContainer) -> _Packets:
    from av.error import FFmpegError

    stream = video_stream(container)
    assert stream is not None
    times, keys, discards, damaged = array("q"), array("b"), array("b"), array("b")
    timed, broken, end = True, False, 0
    try:
        for packet in container.demux(stream):
            if not packet.size:  # the flush packet at the end
                continue
            timed &= packet.pts is not None
            times.append(packet.pts or 0)
            keys.append(packet.is_keyframe)
            discards.append(packet.is_discard)
            damaged.append(packet.is_corrupt)
            end = max(end, (packet.pts or 0) + 2 * (packet.duration or 0))
    except FFmpegError:
        broken = True
    if container.format.name == "gif" and damaged:
        damaged[-1] |= not _has_gif_trailer(Path(container.name))
    # A file cut exactly between two packets shows only in what its header promises.
    promised = stream.frames > len(times) and stream.duration is not None and end < stream.duration
    return _Packets(
        pts=np.array(times, np.int64),
        key=np.array(keys, bool),
        discard=np.array(discards, bool),
        damaged=np.array(damaged, bool),
        timed=timed,
        cut_short=broken or promised or bool(damaged and damaged[-1]),
        time_base=stream.time_base or Fraction(1),
    )


def _has_gif_trailer(path: Path) -> bool:
    """Whether a GIF ends as it should; its decoder paints what is there of a picture without complaint."""
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\x3b"


def _assemble(packets: _Packets, shown: NDArray[np.intp], keys: NDArray[np.intp]) -> PacketIndex:
    pts, key_pts = packets.pts[shown], packets.pts[keys]
    # A frame shown before a keyframe but stored behind it (open group of pictures) needs the keyframe before: start
    # from the last one that is not shown later than the frame.
    start = np.maximum(np.searchsorted(key_pts, pts, side="right") - 1, 0)
    closed = np.array_equal(start, np.searchsorted(keys, shown, side="right") - 1)
    return PacketIndex(
        pts=pts,
        decode_order=shown.astype(np.int64),
        start=start.astype(np.int64),
        key_pts=key_pts,
        key_order=keys.astype(np.int64),
        damaged=np.flatnonzero(packets.damaged).astype(np.int64),
        time_base=packets.time_base,
        by_order=False,
        plain=closed and len(shown) == len(packets.pts) and not packets.cut_short and not packets.damaged.any(),
        cut_short=packets.cut_short,
    )


def _index_by_decoding(
    open_file: Callable[[], InputContainer], packets: _Packets, frame_rate: Fraction, *, seekable: bool
) -> PacketIndex:
    """Decode the whole file once and number what comes out; seek only where the packets' times are the frames'."""
    times, sound = _decode_times(open_file)
    # What is damaged at the end does not count; damage before the end is told when it is read.
    end = int(np.flatnonzero(sound).max(initial=-1)) + 1
    times = times[: min(end, len(packets.pts) - 1) if packets.damaged[-1:].any() else end]
    if not len(times):
        raise NotIndexableError("no frame of it can be decoded")
    keys, shown = np.flatnonzero(packets.key), packets.shown()
    if (
        seekable
        and packets.timed
        and len(keys)
        and _ascending(packets.pts[keys])
        and np.array_equal(packets.pts[shown], times)
    ):
        return _assemble(packets, shown, keys)
    ordinals = np.arange(len(times))
    timed = _ascending(times)
    return PacketIndex(
        pts=times if timed else ordinals,
        decode_order=ordinals,
        start=np.zeros_like(ordinals),
        key_pts=times[:1],
        key_order=ordinals[:1],
        damaged=np.empty(0, np.int64),
        time_base=packets.time_base if timed else 1 / frame_rate,
        by_order=True,
        plain=False,
        cut_short=packets.cut_short,
    )


def _tail_times(open_file: Callable[[], InputContainer], key_pts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Decode from the last keyframe to the end and tell the times of the sound frames."""
    step = 1
    while step <= len(key_pts):
        times, sound = _decode_times(open_file, start=key_pts[-step])
        if len(times) and times.min() <= key_pts[-1]:  # else the container seeks coarsely: begin earlier
            return times[sound]
        step *= 2
    times, sound = _decode_times(open_file)
    return times[sound]


def _decode_times(
    open_file: Callable[[], InputContainer], *, start: int | None = None, until: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Decode from a keyframe's time up to a time; tell the time of each frame and whether it came out sound.

    Frames without a time get the time 0, so that times of several such frames do not ascend.
    """
    from av.error import FFmpegError

    times, sound = array("q"), array("b")
    with open_file() as container:
        stream = video_stream(container)
        try:
            if start is not None:
                container.seek(int(start), stream=stream)
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except FFmpegError:
                    continue
                for frame in frames:
                    times.append(frame.pts or 0)
                    sound.append(not frame.is_corrupt)
                if until is not None and times and times[-1] >= until:
                    break
        except FFmpegError:
            pass  # what came out so far is what there is
    return np.array(times, np.int64), np.array(sound, bool)


def _ascending(values: NDArray[np.int64]) -> bool:
    return bool(np.all(np.diff(values) > 0))
