"""One open video file read by decord, for the files that it gets right."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vinpaint.video.packet_index import PacketIndex

# decord turns 4:2:0 into RGB by swscale's shortest way, which repeats chroma and truncates: 1.1 levels too dark on
# average. These formats it converts to the bit as PyAVDecoder does.
_EXACT_FORMATS = frozenset({"yuv444p", "gbrp"})


def decord_is_installed() -> bool:
    """Whether decord can be imported; it has no wheels for some platforms."""
    return importlib.util.find_spec("decord") is not None


def misread_by_decord(codec: str, index: PacketIndex) -> str | None:
    """Tell why decord would return wrong frames of a file without a word; none if it would not."""
    if codec not in ("h264", "hevc", "mpeg4"):
        return f"it does not decode {codec} everywhere"
    if index.cut_short:
        return "the file is cut short"
    if not index.plain:
        return "the file has open groups of pictures or an edit list"
    return None


def coloured_exactly_by_decord(pixel_format: str | None, *, full_range: bool, untagged: bool) -> bool:
    """Whether decord's RGB equals PyAVDecoder's bit for bit."""
    return pixel_format == "gbrp" or (pixel_format in _EXACT_FORMATS and not full_range and not untagged)


class DecordDecoder:
    """Reads frames of one file through decord.

    Args:
        path: the file.
        index: its displayed frames.

    Raises:
        RuntimeError: if decord cannot open it or counts its frames differently.
    """

    def __init__(self, path: Path, index: PacketIndex) -> None:
        import decord

        decord.logging.set_level(decord.logging.QUIET)
        try:
            self._reader = decord.VideoReader(str(path), num_threads=1)
        except decord.DECORDError as error:
            raise RuntimeError(str(error).partition("\n")[0]) from error
        if len(self._reader) != len(index.pts):
            raise RuntimeError(f"decord counts {len(self._reader)} frames of {len(index.pts)}")

    def frame(self, number: int) -> NDArray[np.uint8]:
        """Decode frame ``number`` to ``(H, W, 3)`` uint8 RGB.

        Raises:
            RuntimeError: if decord cannot decode it.
        """
        import decord

        try:
            picture = self._reader[number]
        except decord.DECORDError as error:
            raise RuntimeError(str(error).partition("\n")[0]) from error
        # A bridge that the program has set makes it another library's array.
        return np.asarray(picture.asnumpy() if hasattr(picture, "asnumpy") else picture, dtype=np.uint8)

    def close(self) -> None:
        """Release the file."""
        del self._reader
