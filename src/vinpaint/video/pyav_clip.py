"""Video files read through PyAV: any codec and container, exact at any frame."""

from __future__ import annotations

import os
import threading
import warnings
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vinpaint.video.clip import ClipError, check_indices, one_line
from vinpaint.video.colour import RgbConverter
from vinpaint.video.packet_index import NotIndexableError, PacketIndex, build_index

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer

_CACHED_FRAMES = 16
_CACHED_BYTES = 64 << 20
_BROADCAST = frozenset({"mpegts", "mpeg"})  # their clock may start anywhere
# Handles inherited through a fork. Closing one would wait for threads that live in the parent only, or move the file
# offset under it, so a child keeps them untouched.
_abandoned: list[object] = []


class _Decoder:
    """One open file that yields decoded pictures from a keyframe on."""

    def __init__(self, path: Path, index: PacketIndex) -> None:
        self.path = path
        self.index = index
        self.damaged_at: set[int] = set()  # places in the file of packets that the decoder refused
        self._open()

    def _open(self) -> None:
        self.container = open_container(self.path)
        self.stream = self.container.streams.video[0]
        # One thread: decoding is a fraction of what completing a frame costs, and forks and many readers stay cheap.
        self.stream.thread_type = "NONE"
        self._packets: Iterator[Packet] = iter(self.container.demux(self.stream))
        self._ready: deque[VideoFrame] = deque()
        self.place = 0  # of the next packet in the file
        self.pictures = 0  # yielded since the start of the file; counted on only where frames have no times

    def start_at(self, key: int) -> None:
        """Go to keyframe number ``key``, or to one before it."""
        from av.error import FFmpegError

        step = 1
        while key > 0:
            try:
                self.container.seek(int(self.index.key_pts[key]), stream=self.stream)
            except FFmpegError:
                break
            self._packets = iter(self.container.demux(self.stream))
            self._ready.clear()
            landed = self._skip_to_keyframe()
            if landed is not None and landed <= key:
                return
            key, step = key - step, 2 * step
        self.container.close()
        self._open()

    def _skip_to_keyframe(self) -> int | None:
        for packet in self._packets:
            if not packet.is_keyframe or packet.pts is None:
                continue
            key = int(np.searchsorted(self.index.key_pts, packet.pts))
            if key == len(self.index.key_pts) or self.index.key_pts[key] != packet.pts:
                return None
            self.place = int(self.index.key_order[key])
            self._decode(packet)
            return key
        return None

    def _decode(self, packet: Packet) -> None:
        from av.error import FFmpegError

        try:
            self._ready += packet.decode()
        except FFmpegError:
            self.damaged_at.add(self.place)
        self.place += bool(packet.size)

    def next_picture(self) -> VideoFrame | None:
        """Decode the next picture in the order of display; none at the end."""
        from av.error import FFmpegError

        while not self._ready:
            try:
                packet = next(self._packets, None)
            except FFmpegError:
                return None
            if packet is None:
                return None
            self._decode(packet)
        self.pictures += 1
        return self._ready.popleft()

    def close(self) -> None:
        self._ready.clear()
        self.container.close()


class PyAVClip:
    """A video file, decoded lazily through PyAV and exact at any frame.

    The file's packets are walked once when it is opened; afterwards a read goes to the right keyframe and decodes
    forward, and reads in order decode on without seeking. Edit lists, open groups of pictures, varying frame rates,
    rotation, 10-bit samples, alpha (dropped) and every codec that PyAV carries are handled. A few decoded frames are
    kept, so memory does not grow with the length beyond 40 bytes a frame.

    Reads from several threads are safe (one at a time). A copy that reaches another process, by fork or pickle,
    opens the file again for itself.

    Args:
        path: the file.

    Attributes:
        path: the file.
        timestamps: presentation time of every frame in units of ``time_base``, ascending, ``(num_frames,)`` int64.
        time_base: seconds per unit of ``timestamps``.
        clock_start: what the file's clock shows at the first frame where it may start anywhere (broadcast), else 0.
        colour_tags: primaries and transfer as the file tells them (ISO/IEC 23091-2 numbers; 2 = not told).

    Raises:
        FileNotFoundError: if there is no such file.
        ClipError: if it is no video, or no frame of it can be decoded.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        from av.error import FFmpegError

        self.path = Path(path)
        self.name = self.path.stem
        self._forget_handles()
        try:
            with open_container(self.path) as container:
                if not container.streams.video:
                    raise ClipError(f"{self.path}: no pictures in it (sound only); give a video")
                stream = container.streams.video[0]
                stream.thread_type = "NONE"
                self.index = build_index(container, stream)
                average = stream.average_rate or stream.guessed_rate
                codec = stream.codec_context
                self.colour_tags = int(codec.color_primaries), int(codec.color_trc)
                broadcast = not _BROADCAST.isdisjoint(container.format.name.split(","))
        except NotIndexableError as error:
            raise ClipError(f"{self.path}: {error}; give a video that plays") from error
        except FFmpegError as error:
            raise ClipError(f"{self.path}: cannot be read ({one_line(error)}); give a video that plays") from error
        self.time_base = self.index.time_base
        self.timestamps = self.index.pts
        self.num_frames = len(self.index.pts)
        self.clock_start = int(self.timestamps[0]) if broadcast else 0
        self.frame_rate = _frame_rate(self.index, average)
        first = self._frame(0)
        self.height, self.width = first.shape[:2]
        if self.index.cut_short:
            warnings.warn(f"{self.path} is cut short; {self.num_frames} frames of it can be read", stacklevel=2)

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Decode frames ``(len(indices), H, W, 3)`` uint8 RGB; the indices may repeat and come in any order."""
        numbers = check_indices(self, indices)
        frames = np.empty((len(numbers), self.height, self.width, 3), np.uint8)
        if self._owner != os.getpid():
            self._forget_handles()
        with self._lock:
            for number in np.unique(numbers).tolist():
                frame = self._frame(number)
                if frame.shape[:2] != (self.height, self.width):
                    raise ClipError(
                        f"{self.path}: frame {number} is {frame.shape[1]}x{frame.shape[0]}, the first "
                        f"{self.width}x{self.height}; convert the file to one size"
                    )
                frames[numbers == number] = frame
        return frames

    def close(self) -> None:
        """Release the file; safe to call twice, and a later read opens it again."""
        if self._owner != os.getpid():
            self._forget_handles()
        with self._lock:
            if self._decoder is not None:
                self._decoder.close()
            self._decoder = None
            self._cache.clear()

    def __enter__(self) -> PyAVClip:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget_handles()

    def _forget_handles(self) -> None:
        """Start without an open file, as a new object or in a new process."""
        if getattr(self, "_decoder", None) is not None:
            _abandoned.append((self._decoder, self._convert))
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._decoder: _Decoder | None = None
        self._convert = RgbConverter()
        self._next = 0  # the frame that the decoder yields next
        self._cache: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()

    def _frame(self, number: int) -> NDArray[np.uint8]:
        cached = self._cache.get(number)
        if cached is not None:
            self._cache.move_to_end(number)
            return cached
        frame = self._convert(self._picture(number))
        self._cache[number] = frame
        if len(self._cache) > max(1, min(_CACHED_FRAMES, _CACHED_BYTES // frame.nbytes)):
            self._cache.popitem(last=False)
        return frame

    def _picture(self, number: int) -> VideoFrame:
        """Decode one picture, on from where the decoder stands or from the keyframe it needs."""
        start = int(self.index.start[number])
        if self._decoder is None:
            self._decoder = _Decoder(self.path, self.index)
            if start > 0:
                self._decoder.start_at(start)
        elif not self._is_ahead(number):
            self._decoder.start_at(start)
        picture = self._advance_to(number)
        step = 1
        while picture is None and start > 0:
            # A keyframe that decoding cannot really start from (gradual refresh): begin earlier.
            start, step = max(start - step, 0), 2 * step
            self._decoder.start_at(start)
            picture = self._advance_to(number)
        if picture is None or self._is_damaged(number):
            self._next = self.num_frames
            raise ClipError(
                f"{self.path}: frame {number} cannot be decoded, the file is damaged there; cut or convert it first"
            )
        return picture

    def _is_ahead(self, number: int) -> bool:
        if not self._next <= number:
            return False
        starts = self.index.start
        return number == self._next or starts[number] == starts[self._next]

    def _advance_to(self, number: int) -> VideoFrame | None:
        """Decode forward to a frame; none if it does not come out of the decoder."""
        decoder, index = self._decoder, self.index
        assert decoder is not None
        self._next = self.num_frames  # until the frame is found, nothing is ahead
        wanted = number if index.by_order else int(index.pts[number])
        while (picture := decoder.next_picture()) is not None:
            here = decoder.pictures - 1 if index.by_order else picture.pts
            if here is None:
                continue
            if picture.is_corrupt:
                place = here if index.by_order else int(np.searchsorted(index.pts, here))
                decoder.damaged_at.add(int(index.decode_order[min(place, self.num_frames - 1)]))
            if here == wanted:
                self._next = number + 1
                return picture
            if here > wanted:
                return None
        return None

    def _is_damaged(self, number: int) -> bool:
        """Whether a frame depends on a packet that could not be decoded: all that follow it up to a keyframe do."""
        index = self.index
        assert self._decoder is not None
        for place in self._decoder.damaged_at:
            key = int(np.searchsorted(index.key_order, place, side="right"))
            if index.decode_order[number] < place:
                continue
            if key == len(index.key_order) or index.decode_order[number] < index.key_order[key]:
                return True
            if index.pts[number] < index.key_pts[key]:
                return True
        return False


def open_container(path: Path) -> InputContainer:
    """Open a file for demuxing."""
    import av

    return av.open(str(path), metadata_errors="ignore")


def _frame_rate(index: PacketIndex, average: Fraction | None) -> Fraction:
    """Tell the rate from equal steps where they are equal, else the average that the file tells or shows."""
    steps = np.diff(index.pts)
    if len(steps) and not index.by_order and np.all(steps == steps[0]):
        return 1 / (int(steps[0]) * index.time_base)
    if average:
        return Fraction(average)
    if len(steps) and not index.by_order:
        return len(steps) / (int(index.pts[-1] - index.pts[0]) * index.time_base)
    return Fraction(24)
