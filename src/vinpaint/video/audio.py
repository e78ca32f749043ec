"""Sound carried over from a source, packet by packet and undecoded."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vinpaint.video.clip import ClipError, one_line
from vinpaint.video.container import open_container

if TYPE_CHECKING:
    from av.container import OutputContainer


# QuickTime knows some languages only by their bibliographic code (ISO 639-2/B) and drops the other.
_BIBLIOGRAPHIC = {
    "sqi": "alb", "hye": "arm", "eus": "baq", "mya": "bur", "zho": "chi", "ces": "cze", "nld": "dut", "fra": "fre",
    "kat": "geo", "deu": "ger", "ell": "gre", "isl": "ice", "mkd": "mac", "mri": "mao", "msa": "may", "fas": "per",
    "ron": "rum", "slk": "slo", "bod": "tib", "cym": "wel",
}  # fmt: skip


class AudioCopy:
    """Copies every sound track of a file into another, in step with the pictures.

    Args:
        source: the file to copy from; it may have no sound.
        output: the container to write to, before its header is.
        shift: seconds to take off every time.

    Raises:
        ClipError: if the container cannot hold a codec; the message names one that can.
    """

    def __init__(self, source: Path, output: OutputContainer, *, shift: Fraction) -> None:
        self._output = output
        self._shift = shift
        self._input = open_container(source)
        tracks = self._input.streams.audio
        self._copies: dict[int, Any] = {}
        for track in tracks:
            try:
                copy = output.add_stream_from_template(track)
            except ValueError as error:
                raise ClipError(
                    f"{source}: its {track.codec_context.name} sound does not fit this kind of file "
                    f"({one_line(error)}); write .mkv, or leave the sound out"
                ) from error
            copy.metadata.update(track.metadata)
            if output.format.name == "mov" and "language" in track.metadata:
                language = track.metadata["language"]
                copy.metadata["language"] = _BIBLIOGRAPHIC.get(language, language)
            self._copies[track.index] = copy
        self._packets: Iterator[Any] = iter(self._input.demux(*tracks)) if tracks else iter(())
        self._waiting: Any = None

    def copy_until(self, seconds: Fraction | None) -> None:
        """Write the packets up to a time, or all that remain."""
        while (packet := self._waiting or self._next()) is not None:
            if seconds is not None and packet.dts * packet.time_base > seconds:
                self._waiting = packet
                return
            self._waiting = None
            packet.stream = self._copies[packet.stream_index]
            self._output.mux(packet)

    def _next(self) -> Any:
        from av.error import FFmpegError

        try:
            for packet in self._packets:
                if packet.dts is None or packet.pts is None:  # the flush packet at the end
                    continue
                ticks = round(self._shift / packet.time_base)
                packet.dts -= ticks
                packet.pts -= ticks
                return packet
        except FFmpegError:
            return None  # the source ends here
        return None

    def close(self) -> None:
        """Release the source."""
        self._input.close()
