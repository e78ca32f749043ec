"""Video files written through PyAV."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vinpaint.video.audio import AudioCopy
from vinpaint.video.clip import ClipError, ClipReader, check_frame
from vinpaint.video.colour import YuvConverter
from vinpaint.video.partial import PartialOutput
from vinpaint.video.timing import timing_of, video_source

if TYPE_CHECKING:
    from av import VideoFrame

VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".mov"})
_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
_LOOKAHEAD, _LARGE = 4, 1280 * 720
"""Frames that x264 looks ahead where they have more pixels than that. At 1920x1080 it then holds 0.12 GB, with its own
20 to 60 up to 0.4 GB; files of this quality are as large either way."""
_BT709, _BT2020, _UNKNOWN = 1, 9, 2  # AVCOL_PRI_*, AVCOL_TRC_* and AVCOL_SPC_* share these numbers
_IDENTITY = 0  # AVCOL_SPC_RGB
_LIMITED, _FULL = 1, 2  # AVCOL_RANGE_*


class VideoWriter:
    """Writes frames as h264 into ``.mp4``, ``.mkv`` or ``.mov``.

    Even sizes become 4:2:0, which plays everywhere; odd ones 4:4:4, which keeps the exact size (many browsers do
    not play it). Colours are tagged and converted as bt709, limited range; transfer and primaries of a source that
    tells other ones (HDR) are carried over, because RGB values pass through unchanged. The file appears under its
    name when ``close`` succeeds; leaving the context with an exception removes it.

    Args:
        path: the file to write.
        frame_rate: frames per second.
        height: rows of a frame in pixels.
        width: columns of a frame in pixels.
        quality: x264's constant rate factor, 0 (best) to 51; no meaning if ``lossless``.
        lossless: store RGB so that it reads back bit for bit (h264 RGB: mpv, VLC and FFmpeg play it, browsers no).
        preset: x264's trade of time for size, ``ultrafast`` to ``veryslow``.
        like: the clip or file that is being rewritten. Its sound tracks are copied packet by packet, and its times
            exactly if ``frame_rate`` is its own. (Matroska rounds times to milliseconds, and moves all of them where
            sound starts before zero, as AAC does by one packet.)
        copy_audio: whether to copy the sound.
        overwrite: whether an existing file may be replaced.

    Raises:
        ClipError: if the file cannot be written; the message is one line.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        frame_rate: Fraction | int,
        height: int,
        width: int,
        quality: float = 7,
        lossless: bool = False,
        preset: str = "fast",
        like: ClipReader | Path | str | None = None,
        copy_audio: bool = True,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        self.height, self.width = height, width
        self.num_frames = 0
        if not 0 <= quality <= 51:
            raise ClipError(f"{self.path}: quality {quality}; give a constant rate factor from 0 (best) to 51")
        if preset not in _PRESETS:
            raise ClipError(f"{self.path}: preset {preset!r}; give one of {', '.join(_PRESETS)}")
        if frame_rate <= 0:
            raise ClipError(f"{self.path}: {frame_rate} frames per second; give a rate above zero")
        source = video_source(like)
        self._timing = timing_of(source, Fraction(frame_rate))
        self._lossless = lossless
        self._audio: AudioCopy | None = None
        self._container: Any = None
        self._output = PartialOutput(self.path, overwrite=overwrite)
        try:
            self._open(quality, preset, source, copy_audio=copy_audio)
        except BaseException as error:
            self.abort()
            if _is_writing_error(error):
                raise self._output.failure(error) from error
            raise

    def _open(self, quality: float, preset: str, source: Any, *, copy_audio: bool) -> None:
        import av

        muxing = {} if self.path.suffix.lower() == ".mkv" else {"movflags": "+faststart"}
        self._container = av.open(str(self._output.partial), "w", options=muxing)
        stream = self._container.add_stream("libx264rgb" if self._lossless else "libx264", rate=self._timing.frame_rate)
        stream.width, stream.height = self.width, self.height
        even = self.height % 2 == 0 and self.width % 2 == 0
        stream.pix_fmt = "rgb24" if self._lossless else "yuv420p" if even else "yuv444p"
        stream.options = {"crf": "0" if self._lossless else f"{quality:g}", "preset": preset}
        if self.height * self.width > _LARGE and _PRESETS.index(preset) > _PRESETS.index("veryfast"):
            stream.options |= {"rc-lookahead": str(_LOOKAHEAD)}
        codec = stream.codec_context
        codec.time_base = stream.time_base = self._timing.time_base
        primaries, transfer = (_BT709, _BT709) if source is None else source.colour_tags
        codec.color_primaries = _BT709 if primaries == _UNKNOWN else primaries
        codec.color_trc = _BT709 if transfer == _UNKNOWN else transfer
        wide = codec.color_primaries == _BT2020
        codec.colorspace = _IDENTITY if self._lossless else _BT2020 if wide else _BT709
        codec.color_range = _FULL if self._lossless else _LIMITED
        if source is not None and (source.height, source.width) == (self.height, self.width):
            codec.sample_aspect_ratio = source.pixel_aspect
        self._stream = stream
        self._to_yuv = YuvConverter(stream.pix_fmt, _BT2020 if wide else _BT709)
        if source is not None and copy_audio:
            self._audio = AudioCopy(source.path, self._container, shift=source.clock_start * source.time_base)
        self._container.start_encoding()

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Append a frame.

        Args:
            frame: ``(height, width, 3)`` uint8 RGB.

        Raises:
            ClipError: if it has another shape or type, or the file cannot be written; the file is then removed.
        """
        try:
            check_frame(self.path, frame, self.height, self.width)
            if self._container is None:
                raise ClipError(f"{self.path}: the file is closed; open another writer")
            picture = self._picture(frame)
            try:
                picture.pts = self._timing(self.num_frames)
            except ValueError as error:
                raise ClipError(f"{self.path}: {error}; write no more, or leave out like=") from error
            picture.time_base = self._timing.time_base
            if self._audio is not None:
                self._audio.copy_until(picture.pts * self._timing.time_base)
            for packet in self._stream.encode(picture):
                self._container.mux(packet)
            self.num_frames += 1
        except BaseException as error:
            self.abort()
            if _is_writing_error(error):
                raise self._output.failure(error) from error
            raise

    def _picture(self, frame: NDArray[np.uint8]) -> VideoFrame:
        import av

        frame = np.ascontiguousarray(frame)
        return av.VideoFrame.from_ndarray(frame, format="rgb24") if self._lossless else self._to_yuv(frame)

    def close(self) -> None:
        """Finish the file and give it its name; safe to call twice.

        Raises:
            ClipError: if nothing was written or the file cannot be completed; it is then removed.
        """
        if self._container is None:
            return
        try:
            if not self.num_frames:
                raise ClipError(f"{self.path}: no frame was written; nothing is kept")
            for packet in self._stream.encode(None):
                self._container.mux(packet)
            if self._audio is not None:
                self._audio.copy_until(None)
                self._audio.close()
            self._container.close()
            self._container = None
            self._output.commit()
        except BaseException as error:
            self.abort()
            if _is_writing_error(error):
                raise self._output.failure(error) from error
            raise

    def abort(self) -> None:
        """Remove what was written so far; safe to call twice."""
        container, self._container = self._container, None
        try:
            if self._audio is not None:
                self._audio.close()
            if container is not None:
                container.close()
        except Exception as error:
            # The trailer of a file that is thrown away need not fit the disk; anything else is a fault of ours.
            if not _is_writing_error(error):
                raise
        finally:
            self._output.discard()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def _is_writing_error(error: BaseException) -> bool:
    from av.error import FFmpegError

    return isinstance(error, (FFmpegError, OSError))
