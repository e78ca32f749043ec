"""Video files: any codec and container, exact at any frame."""

from __future__ import annotations

import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vinpaint.video.clip import ClipError, check_indices, one_line
from vinpaint.video.container import open_container, video_stream
from vinpaint.video.decord_decoder import (
    DecordDecoder,
    coloured_exactly_by_decord,
    decord_is_installed,
    misread_by_decord,
)
from vinpaint.video.packet_index import NotIndexableError, PacketIndex, build_index
from vinpaint.video.pyav_decoder import PyAVDecoder

if TYPE_CHECKING:
    from av.container import InputContainer

_CACHED_FRAMES = 16
_CACHED_BYTES = 64 << 20
_BROADCAST = frozenset({"mpegts", "mpeg"})  # their clock may start anywhere
# Handles inherited through a fork. Closing one could wait for threads that live in the parent only, or move the file
# offset under it, so a child keeps them untouched.
_inherited: list[object] = []


class _Decoder(Protocol):
    """One open file."""

    def frame(self, number: int) -> NDArray[np.uint8] | None:
        """Decode a frame to RGB; none if the file is damaged there."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


class VideoFile:
    """A video file, decoded lazily and exact at any frame.

    The file's packets are walked once when it is opened; afterwards a read goes to the right keyframe and decodes
    forward, and reads in order decode on without seeking. Edit lists, open groups of pictures, varying frame rates,
    rotation, 10-bit samples, alpha (dropped) and every codec that PyAV carries are handled. A few decoded frames are
    kept; with the length memory grows by 40 bytes a frame only.

    Reads from several threads are safe (one at a time). A copy that reaches another process, by fork or pickle,
    opens the file again for itself.

    Args:
        path: the file.
        reader: who decodes. ``auto`` takes decord where frames and colours are the same to the bit (closed groups of
            pictures, no edit list or rotation, no chroma subsampling) and PyAV everywhere else. ``decord`` insists
            on it, which darkens 4:2:0 video by 1.1 levels on average, and is refused where it misreads frames.

    Attributes:
        path: the file.
        reader: who decodes, ``pyav`` or ``decord``.
        index: its displayed frames and keyframes.
        timestamps: presentation time of every frame in units of ``time_base``, ascending, ``(num_frames,)`` int64.
        time_base: seconds per unit of ``timestamps``.
        clock_start: what the file's clock shows at the first frame where it may start anywhere (broadcast), else 0.
        colour_tags: primaries and transfer as the file tells them (ISO/IEC 23091-2 numbers; 2 = not told).
        pixel_aspect: width of a pixel over its height where the file tells, else 1.

    Raises:
        FileNotFoundError: if there is no such file.
        ClipError: if it is no video, no frame of it can be decoded, or ``decord`` would misread it.
    """

    pixel_aspect: Fraction
    _stored_upright: bool
    _decoder: _Decoder | None
    _cache: OrderedDict[int, NDArray[np.uint8]]

    def __init__(self, path: str | os.PathLike[str], *, reader: Literal["auto", "decord", "pyav"] = "auto") -> None:
        from av.error import FFmpegError

        self.path = Path(path)
        self.name = self.path.stem
        try:
            with open_container(self.path) as container:
                average = self._read_header(container)
            self.index = build_index(partial(open_container, self.path), frame_rate=average or Fraction(24))
        except NotIndexableError as error:
            raise ClipError(f"{self.path}: {error}; give a video that plays") from error
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.path}: no such file; check the path") from None
        except FFmpegError as error:
            raise ClipError(
                f"{self.path}: not a video that can be read ({one_line(error)}); if it is cut short, copy it again"
            ) from error
        self.time_base = self.index.time_base
        self.timestamps = self.index.pts
        self.num_frames = len(self.index.pts)
        self.clock_start = int(self.timestamps[0]) if self._broadcast else 0
        self.frame_rate = _frame_rate(self.index, average)
        self.reader: Literal["decord", "pyav"] = "pyav"
        self._start_without_handles()
        first = self._frame(0)
        self.height, self.width = int(first.shape[0]), int(first.shape[1])
        if (self.height > self.width) != self._stored_upright:
            self.pixel_aspect = 1 / self.pixel_aspect  # turned by a quarter
        self._choose(reader)
        if self.index.cut_short:
            warnings.warn(f"{self.path} is cut short; {self.num_frames} frames of it can be read", stacklevel=2)

    def _choose(self, reader: Literal["auto", "decord", "pyav"]) -> None:
        if reader == "pyav" or (reader == "auto" and not self._coloured_exactly_by_decord):
            return
        fault = misread_by_decord(self.codec, self.index) if decord_is_installed() else "decord is not installed"
        if fault is None:
            try:
                decoder = DecordDecoder(self.path, self.index)
                first = decoder.frame(0)
            except RuntimeError as error:
                fault = one_line(error)
            else:
                largest = 0 if reader == "auto" else 8  # levels; a turned picture differs by more than a darkened one
                if first.shape == self._frame(0).shape and _difference(first, self._frame(0)) <= largest:
                    self.close()
                    self._decoder, self.reader = decoder, "decord"
                    return
                fault = "its first frame comes out otherwise"
        if reader == "decord":
            raise ClipError(f"{self.path}: cannot be read exactly by decord ({fault}); use reader=auto or reader=pyav")

    def _read_header(self, container: InputContainer) -> Fraction | None:
        stream = video_stream(container)
        if stream is None:
            raise ClipError(f"{self.path}: no moving pictures in it that can be decoded; give a video")
        codec = stream.codec_context
        self.codec = codec.name
        self._coloured_exactly_by_decord = coloured_exactly_by_decord(
            codec.pix_fmt, full_range=int(codec.color_range) == 2, untagged=int(codec.colorspace) == 2
        )
        self.colour_tags = int(codec.color_primaries), int(codec.color_trc)
        self.pixel_aspect = Fraction(stream.sample_aspect_ratio or 1)
        self._stored_upright = codec.height > codec.width
        self._broadcast = not _BROADCAST.isdisjoint(container.format.name.split(","))
        average = stream.average_rate or stream.guessed_rate
        return Fraction(average) if average else None

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Decode frames ``(len(indices), H, W, 3)`` uint8 RGB; the indices may repeat and come in any order."""
        numbers = check_indices(self, indices)
        frames = np.empty((len(numbers), self.height, self.width, 3), np.uint8)
        if self._owner != os.getpid():
            self._leave_handles_to_parent()
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
            self._leave_handles_to_parent()
        with self._lock:
            if self._decoder is not None:
                self._decoder.close()
            self._decoder = None
            self._cache.clear()

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        handles = ("_decoder", "_cache", "_lock")
        return {name: value for name, value in vars(self).items() if name not in handles}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._start_without_handles()

    def _start_without_handles(self) -> None:
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._decoder = None
        self._cache = OrderedDict()

    def _leave_handles_to_parent(self) -> None:
        _inherited.append(self._decoder)
        self._start_without_handles()

    def _frame(self, number: int) -> NDArray[np.uint8]:
        cached = self._cache.get(number)
        if cached is not None:
            self._cache.move_to_end(number)
            return cached
        frame = self._decode(number)
        self._cache[number] = frame
        if len(self._cache) > max(1, min(_CACHED_FRAMES, _CACHED_BYTES // frame.nbytes)):
            self._cache.popitem(last=False)
        return frame

    def _decode(self, number: int) -> NDArray[np.uint8]:
        from av.error import FFmpegError

        try:
            if self._decoder is None:
                kind = PyAVDecoder if self.reader == "pyav" else DecordDecoder
                self._decoder = kind(self.path, self.index)
            frame = self._decoder.frame(number)
        except (FFmpegError, RuntimeError, OSError) as error:
            raise ClipError(
                f"{self.path}: frame {number} cannot be read ({one_line(error)}); was the file moved or replaced?"
            ) from error
        if frame is None:
            raise ClipError(
                f"{self.path}: frame {number} cannot be decoded, the file is damaged there; cut it before that frame"
            )
        return frame


def _difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())


_COARSE = Fraction(1, 1000)  # seconds: the clock of matroska, which rounds the times of most rates


def _frame_rate(index: PacketIndex, told: Fraction | None) -> Fraction:
    """Tell the rate: exact where all steps are equal, the container's where most steps are its own, else the mean."""
    if len(index.pts) < 2:
        return told or Fraction(24)
    if (
        told is not None
        and index.time_base >= _COARSE
        and evenly_spaced(index.pts - index.pts[0], told, index.time_base)
    ):
        return told  # few frames may be equally far apart by the clock alone
    steps = np.diff(index.pts)
    if np.all(steps == steps[0]):
        return 1 / (int(steps[0]) * index.time_base)
    # Steps differ by a tick where a coarse clock rounds them, and by frames where a cut or a camera lost some.
    if told is not None and np.mean(np.abs(steps - float(1 / (told * index.time_base))) <= 1) > 0.8:
        return told
    return (len(steps) / (int(steps.sum()) * index.time_base)).limit_denominator(1_000_000)


def evenly_spaced(times: NDArray[np.int64], frame_rate: Fraction, time_base: Fraction) -> bool:
    """Whether times are those of a constant rate from zero on, rounded to the clock's ticks."""
    return bool(np.all(np.abs(times - np.arange(len(times)) * float(1 / (frame_rate * time_base))) <= 1))
