"""Opening a video file with PyAV, the same way everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_TEXT_CODECS = frozenset({"ansi", "bintext", "xbin", "idf"})  # FFmpeg paints text files as pictures


def open_container(path: Path) -> InputContainer:
    """Open a file for demuxing."""
    import av

    return av.open(str(path), metadata_errors="ignore")


def video_stream(container: InputContainer) -> VideoStream | None:
    """Find the moving pictures of an open file, passing over cover art and text, ready to decode.

    Decoding uses one thread: it is a fraction of what completing a frame costs, and forks and many readers stay cheap.
    """
    from av.stream import Disposition

    for stream in container.streams.video:
        codec = stream.codec_context
        # a damaged header can name a codec that FFmpeg does not know; there is no context then, whatever its type says
        if codec is None or stream.disposition & Disposition.attached_pic or codec.name in _TEXT_CODECS:
            continue
        stream.thread_type = "NONE"
        return stream
    return None
