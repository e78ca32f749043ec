"""Data sets made of others: some clips of one, or several one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from vinpaint.data.sources import ClipList, ClipSource, DataError


class ChosenClips(ClipList):
    """The clips of a data set that are named, such as those whose licence allows what is meant to be done with them.

    Args:
        clips: the data set.
        names: of the clips wanted, in the order wanted.

    Raises:
        DataError: on first use, if there is no clip of a name.
    """

    def __init__(self, clips: Sequence[ClipSource], *, names: Sequence[str]) -> None:
        self.clips = clips
        self.names = list(names)

    def list_clips(self) -> Sequence[ClipSource]:
        """List the clips in the order of the names given."""
        found = {clip.name: clip for clip in self.clips}
        missing = [name for name in self.names if name not in found]
        if missing:
            raise DataError(f"no clip named {missing[0]} among {len(found)}: check names and root")
        return [found[name] for name in self.names]


class JoinedClips(ClipList):
    """Several data sets as one.

    Args:
        sets: the data sets; their clips follow each other.
        repeats: how often each set is listed; once when not given.

    Raises:
        DataError: if there is not one number of 1 or more for each set.
    """

    def __init__(self, sets: Sequence[Sequence[ClipSource]], *, repeats: Sequence[int] | None = None) -> None:
        self.sets = list(sets)
        self.repeats = [1] * len(self.sets) if repeats is None else list(repeats)
        if len(self.repeats) != len(self.sets) or any(times < 1 for times in self.repeats):
            raise DataError(f"repeats {self.repeats} for {len(self.sets)} sets: give one number of 1 or more for each")

    def list_clips(self) -> Sequence[ClipSource]:
        """List the clips of the first set, as often as it is repeated, then those of the second and so on."""
        return [
            clip for clips, times in zip(self.sets, self.repeats, strict=True) for _ in range(times) for clip in clips
        ]
