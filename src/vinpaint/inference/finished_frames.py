"""What is finished of a clip, kept on disk from one start of a run to the next."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vinpaint.errors import UserError
from vinpaint.inference.inpainter import MaskedClip
from vinpaint.video.clip import ClipError, one_line

_FORMAT = 2
_RECORD = struct.Struct("<II")  # number of the frame, bytes that follow
_COMPRESSION = 1  # zlib level: the checksum is what matters, and half the size comes for little time


class FinishedFrames:
    """The completed holes of the first frames of a clip, in one file that a killed process leaves readable.

    The file begins with a line of JSON that says what run it belongs to; then come the frames in order, each as the
    compressed levels of its hole alone, since everything else is in the clip, and behind them, where they differ, those
    that it hands on to the next frame. A record that was not written to its end
    is forgotten. While it is open the file is locked, so that two processes cannot complete the same clip.

    Args:
        path: the file; made when it is entered.
        clip: the clip and its holes.
        identity: what the result depends on, by name, as short texts; an earlier run that differs is refused.

    Raises:
        UserError: on entering, if the file is another run's or another process holds it.
    """

    def __init__(self, path: Path, clip: MaskedClip, identity: Mapping[str, str]) -> None:
        self.path = path
        self._clip = clip
        self._identity = {"format": str(_FORMAT), **identity}
        self._where: list[tuple[int, int]] = []
        self._file: BinaryIO | None = None

    @classmethod
    def beside(cls, output: Path, clip: MaskedClip, identity: Mapping[str, str]) -> FinishedFrames:
        """Those of a result: in a hidden file in the same folder."""
        return cls(output.with_name(f".{output.name}.unfinished"), clip, identity)

    def __len__(self) -> int:
        """How many frames are kept: numbers 0 to this, exclusive."""
        return len(self._where)

    def __enter__(self) -> FinishedFrames:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("r+b" if self.path.exists() else "w+b")
            self._lock(self._file)
            self._take_up(self._file)
        except OSError as error:
            self.close()
            raise self._failure(error) from error
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Release the file and leave it where it is; leaving the context without an exception removes it."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # what found no room was told when it was added
                file.close()

    def add(self, frame: NDArray[np.uint8], carried: NDArray[np.uint8] | None = None) -> None:
        """Keep the next frame.

        Args:
            frame: completed, ``(H, W, 3)`` uint8 RGB.
            carried: what it hands on to the next frame, likewise; None: itself.

        Raises:
            ClipError: if there is no room for it.
        """
        file, index = self._opened(), len(self._where)
        hole = self._clip.masks.read([index])[0]
        levels = frame[hole].tobytes()
        handed_on = levels if carried is None else carried[hole].tobytes()
        data = zlib.compress(levels if handed_on == levels else levels + handed_on, _COMPRESSION)
        try:
            start = file.seek(0, os.SEEK_END)
            file.write(_RECORD.pack(index, len(data)) + data)
            file.flush()
        except OSError as error:
            raise self._failure(error) from error
        self._where.append((start + _RECORD.size, len(data)))

    def read(self, index: int) -> NDArray[np.uint8]:
        """Put a kept frame together with what is known of it: ``(H, W, 3)`` uint8 RGB.

        Raises:
            UserError: if the file is damaged there.
        """
        frame, hole, levels = self._record(index)
        frame[hole] = levels[: hole.sum()]
        return frame

    def read_carried(self, index: int) -> NDArray[np.uint8]:
        """What a kept frame hands on to the next, ``(H, W, 3)`` uint8 RGB; see :meth:`read`."""
        frame, hole, levels = self._record(index)
        frame[hole] = levels[len(levels) - hole.sum() :]
        return frame

    def _record(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.uint8]]:
        """A frame as it is in the clip, its hole, and the levels that are kept of it, ``(N, 3)`` or ``(2 N, 3)``."""
        file, (start, length) = self._opened(), self._where[index]
        frames, holes = self._clip.read([index])
        file.seek(start)
        try:
            levels = np.frombuffer(zlib.decompress(file.read(length)), np.uint8).reshape(-1, 3)
        except (zlib.error, ValueError) as error:
            raise self._damage(index, one_line(error)) from error
        if len(levels) not in (holes[0].sum(), 2 * holes[0].sum()):
            raise self._damage(index, f"levels of {len(levels)} pixels for a hole of {holes[0].sum()}")
        return frames[0], holes[0], levels

    def _damage(self, index: int, what: str) -> UserError:
        return UserError(f"{self.path}: frame {index} is damaged ({what}); delete it to begin anew")

    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise ValueError(f"{self.path} is not open: use it as a context manager")
        return self._file

    def _lock(self, file: BinaryIO) -> None:
        try:
            import fcntl
        except ImportError:  # a system without such locks
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{self.path}: another process is completing this clip; wait for it or end it") from error
        except OSError:  # a file system without such locks
            return

    def _take_up(self, file: BinaryIO) -> None:
        line = file.readline()
        if not line.endswith(b"\n"):  # a new file, or one whose first line was cut off
            file.seek(0)
            file.truncate()
            file.write(json.dumps(self._identity).encode() + b"\n")
            file.flush()
            return
        try:
            earlier = json.loads(line)
        except ValueError as error:
            raise UserError(f"{self.path} is not what an interrupted run leaves; delete it to begin anew") from error
        for key in {**self._identity, **earlier}:
            if earlier.get(key) != self._identity.get(key):
                raise UserError(
                    f"{self.path} is of a run with another {key}; give the same one, or delete the file to begin anew"
                )
        end, size = file.tell(), file.seek(0, os.SEEK_END)
        while end + _RECORD.size <= size:
            file.seek(end)
            index, length = _RECORD.unpack(file.read(_RECORD.size))
            if index != len(self._where) or end + _RECORD.size + length > size:
                break
            self._where.append((end + _RECORD.size, length))
            end += _RECORD.size + length
        file.truncate(end)

    def _failure(self, error: OSError) -> ClipError:
        return ClipError(f"{self.path}: cannot be written ({one_line(error)}); choose another place or make room")
