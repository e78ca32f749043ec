"""Any folder of clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vinpaint.data.name_patterns import select_names
from vinpaint.data.sources import ClipList, ClipSource, DataError, FileSource, is_clip


class FolderClips(ClipList):
    """Clips that lie in a folder: video files, folders of frames, zips of frames.

    Args:
        root: the folder.
        clips: which of its entries are clips, as a pattern relative to ``root``. A clip is named by what its first
            ``*`` stands for: ``*`` and ``clips/*`` name ``clips/dog.mp4`` "dog", and ``*/frames`` names a folder
            ``dog/frames`` "dog" too.
        masks: where the masks of a clip lie, relative to ``root``, with ``{name}`` for its name, such as
            ``masks/{name}`` or ``{name}/masks_imposed``; none when not given.
        include: only clips whose name matches one of these names or patterns, such as ``davis_*``; all when not given.
        exclude: none of the clips whose name matches one of these.

    Raises:
        DataError: on first use, if the folder is not there, no clip is in it, two clips have one name, or a clip has
            no masks where they were named.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        clips: str = "*",
        masks: str | None = None,
        include: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
    ) -> None:
        if "*" not in clips:
            raise DataError(f"clips {clips}: expected a pattern with a *, which stands for the name of a clip")
        self.root = Path(root).expanduser()
        self.clips = clips
        self.masks = masks
        self.include = include
        self.exclude = exclude

    def list_clips(self) -> Sequence[ClipSource]:
        """List the clips in the order of their names."""
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder; name one that holds clips")
        depth = next(place for place, part in enumerate(Path(self.clips).parts) if "*" in part)
        found: dict[str, Path] = {}
        for path in sorted(self.root.glob(self.clips)):
            if not is_clip(path):
                continue
            part = path.relative_to(self.root).parts[depth]
            name = part if (path.is_dir() or part != path.name) else path.stem
            if name in found:
                raise DataError(f"{found[name]} and {path} are both named {name}; rename one")
            found[name] = path
        if not found:
            raise DataError(
                f"{self.root}: nothing matches {self.clips}; expected video files, folders of frames or zips of frames"
            )
        names = select_names(list(found), include=self.include, exclude=self.exclude, where=str(self.root))
        return [FileSource(name, found[name], self._masks_of(name)) for name in names]

    def _masks_of(self, name: str) -> Path | None:
        if self.masks is None:
            return None
        path = self.root / self.masks.format(name=name)
        if not path.exists():
            raise DataError(f"{name}: no masks at {path}; add them, or name where they lie as masks=…{{name}}…")
        return path
