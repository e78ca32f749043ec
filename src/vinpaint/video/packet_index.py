"""What a video file holds, found by walking its packets once without decoding them."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Codecs whose files hold one displayed frame per packet and flag as key only packets that decoding can start from.
# (Counter-examples: VP8 stores hidden frames as packets, every packet of a GIF is flagged as key.)
_ONE_FRAME_PER_PACKET = frozenset(
    {
        "h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg", "ffv1", "prores", "dnxhd",
        "rawvideo", "huffyuv", "ffvhuff", "utvideo", "png",
    }
)  # fmt: skip
# Containers that may hold packets of several frames, or frames without a time of their own.
_LOOSE_CONTAINERS = frozenset({"avi", "mpeg", "h264", "hevc", "m4v", "asf", "ogg"})


@dataclass(frozen=True)
class PacketIndex:
    """The displayed frames of a file and where decoding has to start for each.

    Attributes:
        pts: presentation time of every displayed frame in units of ``time_base``, ascending, ``(num_frames,)``; the
            frame's ordinal where the file tells no times (``by_order``).
        decode_order: place of each displayed frame's packet in the file, ``(num_frames,)``.
        start: number of the keyframe to start from for each displayed frame, ``(num_frames,)``.
        key_pts: presentation times of the keyframes, ascending, ``(num_keys,)``.
        key_order: places of the keyframes in the file, ``(num_keys,)``.
        time_base: seconds per unit of ``pts``.
        by_order: frames are found by counting from the start, because times are missing or ambiguous.
        plain: closed groups of pictures, no edit list, nothing missing: what every reader gets right.
        cut_short: the file ends before its last frame.
    """

    pts: NDArray[np.int64]
    decode_order: NDArray[np.int64]
    start: NDArray[np.int64]
    key_pts: NDArray[np.int64]
    key_order: NDArray[np.int64]
    time_base: Fraction
    by_order: bool
    plain: bool
    cut_short: bool


class NotIndexableError(ValueError):
    """The stream holds no frame that can be decoded."""


def build_index(container: InputContainer, stream: VideoStream) -> PacketIndex:
    """Walk the packets of a freshly opened file.

    Packets that an edit list hides are left out of the displayed frames but kept as places to start from, and so are
    packets before the first keyframe, which nothing can decode. Where packets do not tell the frames (see
    ``_LOOSE_CONTAINERS``) the file is decoded once instead, and where its end is damaged the last group of pictures
    is, so that the count is that of frames which come out.

    Args:
        container: an open file, at its start; left at an arbitrary place.
        stream: its video stream.

    Raises:
        NotIndexableError: if no frame can be decoded.
    """
    packets = _walk(container, stream)
    if not len(packets.pts):
        raise NotIndexableError("no frames in it")
    codec = stream.codec_context.codec.canonical_name
    formats = set(container.format.name.split(","))
    trusted = codec in _ONE_FRAME_PER_PACKET and not formats & _LOOSE_CONTAINERS
    keys = np.flatnonzero(packets.key)
    shown = np.flatnonzero(~packets.discard & ~packets.corrupt)
    if trusted and len(keys):
        shown = shown[(shown >= keys[0]) & (packets.pts[shown] >= packets.pts[keys[0]])]
    if not (
        trusted and packets.timed and len(keys) and _ascending(packets.pts[keys]) and _distinct(packets.pts[shown])
    ):
        return _index_by_decoding(container, stream, packets, random_access=codec in _ONE_FRAME_PER_PACKET | {"vp8"})

    shown = shown[np.argsort(packets.pts[shown], kind="stable")]
    if packets.cut_short or "mpegts" in formats:
        last_key = keys[packets.pts[keys] <= packets.pts[shown[-1]]][-1]
        times, sound = _decode_times(container, stream, start=int(packets.pts[last_key]))
        in_doubt = packets.pts[shown] >= packets.pts[last_key]
        shown = shown[~in_doubt | np.isin(packets.pts[shown], times[sound])]
    if not len(shown):
        raise NotIndexableError("no frame of it can be decoded")
    return _assemble(packets, shown, keys)


@dataclass(frozen=True)
class _Packets:
    """The packets of a stream in the order of the file."""

    pts: NDArray[np.int64]
    key: NDArray[np.bool_]
    discard: NDArray[np.bool_]
    corrupt: NDArray[np.bool_]
    timed: bool
    cut_short: bool
    time_base: Fraction


def _walk(container: InputContainer, stream: VideoStream) -> _Packets:
    from av.error import FFmpegError

    times, keys, discards, corrupts = array("q"), array("b"), array("b"), array("b")
    timed, cut_short, end = True, False, 0
    try:
        for packet in container.demux(stream):
            if not packet.size:  # the flush packet at the end
                continue
            timed &= packet.pts is not None
            times.append(packet.pts or 0)
            keys.append(packet.is_keyframe)
            discards.append(packet.is_discard)
            corrupts.append(packet.is_corrupt)
            end = max(end, (packet.pts or 0) + 2 * (packet.duration or 0))
    except FFmpegError:
        cut_short = True
    # A file cut exactly between two packets shows only in what its header promises.
    promised = stream.frames > len(times) and stream.duration is not None and end < stream.duration
    return _Packets(
        pts=np.frombuffer(times, np.int64) if times else np.empty(0, np.int64),
        key=np.array(keys, bool),
        discard=np.array(discards, bool),
        corrupt=np.array(corrupts, bool),
        timed=timed,
        cut_short=cut_short or any(corrupts) or promised,
        time_base=stream.time_base or Fraction(1, 1),
    )


def _index_by_decoding(
    container: InputContainer, stream: VideoStream, packets: _Packets, *, random_access: bool
) -> PacketIndex:
    """Decode the whole file once and number what comes out."""
    decoded, sound = _decode_times(container, stream, start=None)
    if not sound.any():
        raise NotIndexableError("no frame of it can be decoded")
    decoded = decoded[: np.flatnonzero(sound)[-1] + 1]  # damage before the end is told when it is read
    # Seeking is trusted only where the packets' own times are those of the frames.
    displayed = np.flatnonzero(~packets.discard)
    displayed = displayed[np.argsort(packets.pts[displayed], kind="stable")]
    keys = np.flatnonzero(packets.key)
    if (
        random_access
        and packets.timed
        and len(keys)
        and _ascending(packets.pts[keys])
        and np.array_equal(packets.pts[displayed], decoded)
    ):
        return _assemble(packets, displayed, keys)
    ordinals = np.arange(len(decoded))
    return PacketIndex(
        pts=decoded if _ascending(decoded) else ordinals,
        decode_order=ordinals,
        start=np.zeros_like(ordinals),
        key_pts=decoded[:1],
        key_order=ordinals[:1],
        time_base=packets.time_base,
        by_order=True,
        plain=False,
        cut_short=packets.cut_short,
    )


def _assemble(packets: _Packets, shown: NDArray[np.intp], keys: NDArray[np.intp]) -> PacketIndex:
    pts, key_pts = packets.pts[shown], packets.pts[keys]
    # A frame shown before a keyframe but stored behind it (open group of pictures) needs the keyframe before: start
    # from the last one that is not shown later than the frame.
    start = np.maximum(np.searchsorted(key_pts, pts, side="right") - 1, 0)
    stored_after = np.searchsorted(keys, shown, side="right") - 1
    closed = bool(np.array_equal(start, stored_after))
    return PacketIndex(
        pts=pts,
        decode_order=shown.astype(np.int64),
        start=start.astype(np.int64),
        key_pts=key_pts,
        key_order=keys.astype(np.int64),
        time_base=packets.time_base,
        by_order=False,
        plain=closed and len(shown) == len(packets.pts) and not packets.cut_short,
        cut_short=packets.cut_short,
    )


def _decode_times(
    container: InputContainer, stream: VideoStream, *, start: int | None
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Decode to the end; tell the time of each frame (a count where it has none) and whether it came out sound."""
    from av.error import FFmpegError

    times, sound = array("q"), array("b")
    try:
        container.seek((stream.start_time or 0) if start is None else start, stream=stream)
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except FFmpegError:
                continue
            for frame in frames:
                times.append(len(times) if frame.pts is None else frame.pts)
                sound.append(not frame.is_corrupt)
    except FFmpegError:
        pass  # what came out so far is what there is
    return np.array(times, np.int64), np.array(sound, bool)


def _ascending(values: NDArray[np.int64]) -> bool:
    return bool(np.all(np.diff(values) > 0))


def _distinct(values: NDArray[np.int64]) -> bool:
    return len(np.unique(values)) == len(values)
