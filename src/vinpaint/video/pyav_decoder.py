"""One open video file that decodes forward from any keyframe."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vinpaint.video.colour import RgbConverter
from vinpaint.video.container import open_container, video_stream
from vinpaint.video.packet_index import PacketIndex

if TYPE_CHECKING:
    from av import VideoFrame


class PyAVDecoder:
    """Finds any frame: decodes on where that is shortest, else goes to the keyframe the frame needs.

    Args:
        path: the file.
        index: its displayed frames.
    """

    def __init__(self, path: Path, index: PacketIndex) -> None:
        self._path = path
        self._index = index
        self._to_rgb = RgbConverter()
        self._damaged = set(index.damaged.tolist())  # places in the file of packets that cannot be decoded
        self._open()

    def frame(self, number: int) -> NDArray[np.uint8] | None:
        """Decode frame ``number`` to upright ``(H, W, 3)`` uint8 RGB; none if it cannot be had whole."""
        picture = self._picture(number)
        return None if picture is None or self._is_damaged(number) else self._to_rgb(picture)

    def _picture(self, number: int) -> VideoFrame | None:
        start = int(self._index.start[number])
        if not self._is_ahead(number):
            self._start_at(start)
        picture = self._advance_to(number)
        step = 1
        while picture is None and start > 0:
            # A keyframe that decoding cannot really start from (gradual refresh): begin earlier.
            start, step = max(start - step, 0), 2 * step
            self._start_at(start)
            picture = self._advance_to(number)
        return picture

    def close(self) -> None:
        """Release the file."""
        self._ready.clear()
        self._container.close()

    def _open(self) -> None:
        self._container = open_container(self._path)
        self._stream = video_stream(self._container)
        self._packets: Iterator[Any] = iter(self._container.demux(self._stream))
        self._ready: deque[VideoFrame] = deque()
        self._place = 0  # of the next packet in the file
        self._pictures = 0  # decoded since the start of the file; relied on only where frames have no times
        self._next = 0  # the frame that comes out next

    def _is_ahead(self, number: int) -> bool:
        if self._next > number:
            return False
        start = self._index.start
        return number == self._next or bool(start[number] == start[self._next])

    def _start_at(self, key: int) -> None:
        """Go to keyframe number ``key``, or to one before it."""
        from av.error import FFmpegError

        step = 1
        while key > 0:
            try:
                self._container.seek(int(self._index.key_pts[key]), stream=self._stream)
                self._packets = iter(self._container.demux(self._stream))
                self._ready.clear()
                landed = self._skip_to_keyframe()
            except FFmpegError:
                break
            if landed is not None and landed <= key:
                return
            key, step = key - step, 2 * step
        self.close()
        self._open()

    def _skip_to_keyframe(self) -> int | None:
        keys = self._index.key_pts
        for packet in self._packets:
            if not packet.is_keyframe or packet.pts is None:
                continue
            key = int(np.searchsorted(keys, packet.pts))
            if key == len(keys) or keys[key] != packet.pts:
                return None
            self._place = int(self._index.key_order[key])
            self._decode(packet)
            return key
        return None

    def _decode(self, packet: Any) -> None:
        from av.error import FFmpegError

        try:
            self._ready += packet.decode()
        except FFmpegError:
            self._damaged.add(self._place)
        self._place += bool(packet.size)

    def _next_picture(self) -> VideoFrame | None:
        from av.error import FFmpegError

        while not self._ready:
            try:
                packet = next(self._packets, None)
            except FFmpegError:
                return None  # the file ends here
            if packet is None:
                return None
            self._decode(packet)
        self._pictures += 1
        return self._ready.popleft()

    def _advance_to(self, number: int) -> VideoFrame | None:
        """Decode forward to a frame; none if it does not come out of the decoder."""
        index = self._index
        self._next = len(index.pts)  # until the frame is found, none is ahead
        wanted = number if index.by_order else int(index.pts[number])
        while (picture := self._next_picture()) is not None:
            here = self._pictures - 1 if index.by_order else picture.pts
            if here is None:
                continue
            if picture.is_corrupt:
                known = here if index.by_order else int(np.searchsorted(index.pts, here))
                self._damaged.add(int(index.decode_order[min(known, len(index.pts) - 1)]))
            if here == wanted:
                self._next = number + 1
                return picture
            if here > wanted:
                return None
        return None

    def _is_damaged(self, number: int) -> bool:
        """Whether a frame may depend on a damaged packet: every frame stored after it does, up to a keyframe."""
        index = self._index
        order = index.decode_order[number]
        for place in self._damaged:
            key = int(np.searchsorted(index.key_order, place, side="right"))  # the first keyframe behind it
            leads_into_key = key < len(index.key_order) and index.pts[number] < index.key_pts[key]
            if order >= place and (key == len(index.key_order) or order < index.key_order[key] or leads_into_key):
                return True
        return False
