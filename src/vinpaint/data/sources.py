"""What a data set is to everything that reads one: named clips that are opened when they are needed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, overload

from vinpaint.errors import UserError
from vinpaint.masks import MaskSequence, open_masks
from vinpaint.video import ClipReader, open_clip

_SUFFIXES = ".zip .mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .m2ts .mts .wmv .flv .ogv .3gp .gif .y4m .mxf"


class DataError(UserError):
    """A data set that is not there, or is not laid out as expected; the message is one line a user can act on."""


class ClipSource(Protocol):
    """One clip of a data set, not yet opened.

    Attributes:
        name: unique in its data set; validation masks are seeded by it.
    """

    @property
    def name(self) -> str: ...

    def open(self) -> ClipReader:
        """Open the clip, in the process that reads it."""
        ...

    def open_masks(self, clip: ClipReader) -> MaskSequence | None:
        """Open the masks that come with the opened ``clip``, of its length and size; none if there are none."""
        ...


@dataclass(frozen=True)
class FileSource:
    """A clip on disk.

    Attributes:
        name: unique in its data set.
        path: a video file, a folder of frames or a zip of frames.
        masks: the clip's own masks, of its length and size, or none.
    """

    name: str
    path: Path
    masks: Path | None = None

    def open(self) -> ClipReader:
        """Open the clip.

        Raises:
            DataError: if it is not there.
            ClipError: if it cannot be read.
        """
        try:
            # Sizes are compared when frames are read: looking at all of them would cost more than reading five.
            return open_clip(self.path, verify=False)
        except FileNotFoundError as error:
            raise DataError(f"{self.name}: {self.path} is gone; list the data set again") from error

    def open_masks(self, clip: ClipReader) -> MaskSequence | None:
        """Open the clip's own masks.

        Raises:
            MaskError: if they do not fit the clip.
        """
        if self.masks is None:
            return None
        return open_masks(self.masks, num_frames=clip.num_frames, height=clip.height, width=clip.width)


class ClipList(ABC, Sequence[ClipSource]):
    """The clips of a data set, listed when first asked for, so that a configuration can name sets that are absent."""

    @abstractmethod
    def list_clips(self) -> Sequence[ClipSource]:
        """List the clips in a fixed order.

        Raises:
            DataError: if they are not there.
        """

    @cached_property
    def _clips(self) -> Sequence[ClipSource]:
        return self.list_clips()

    def __len__(self) -> int:
        return len(self._clips)

    @overload
    def __getitem__(self, index: int) -> ClipSource: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[ClipSource]: ...

    def __getitem__(self, index: int | slice) -> ClipSource | Sequence[ClipSource]:
        return self._clips[index]


def is_clip(path: Path) -> bool:
    """Whether a path may be a clip, by its kind and name: a folder, a zip or a file that is no note or hidden file."""
    if path.name.startswith("."):
        return False
    return path.is_dir() or path.suffix.lower() in _SUFFIXES.split()
