"""YouTube-VOS in its published layout, or in that of the public inpainting code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from vinpaint.data.sources import ClipList, ClipSource, DataError, FileSource
from vinpaint.data.split_files import check_size, missing_names, read_split


class YouTubeVOSClips(ClipList):
    """Clips of YouTube-VOS at their full frame rate.

    Two layouts are read: the published one (``train_all_frames/JPEGImages/<clip>/``, ``test_all_frames/…``) and that of
    STTN's public code (``JPEGImages/<clip>.zip`` with ``train.json`` and ``test.json``).

    Args:
        root: the folder that holds either.
        split: ``train`` (3471 clips) or ``test`` (508).

    Raises:
        DataError: on first use, if the clips are not there.

    Source: YouTube-VOS 2018 (arXiv:1809.03327); STTN (arXiv:2007.10247), section 4.1.
    """

    def __init__(self, root: str | Path, *, split: Literal["train", "test"] = "train") -> None:
        if split not in ("train", "test"):
            raise DataError(f"YouTube-VOS split {split}: expected train or test")
        self.root = Path(root).expanduser()
        self.split = split

    def list_clips(self) -> Sequence[ClipSource]:
        """List the clips in the order of the split."""
        written = self.root / f"{self.split}.json"
        frames = self.root / f"{self.split}_all_frames" / "JPEGImages"
        if not frames.is_dir():
            frames = self.root / "JPEGImages"
        if not frames.is_dir():
            raise DataError(self._absent())
        if written.is_file():
            names = list(read_split(written))
        elif frames.parent.name == f"{self.split}_all_frames":
            names = sorted({path.name if path.is_dir() else path.stem for path in _entries(frames)})
        else:
            raise DataError(
                f"YouTube-VOS: {written} is not there; it says which clips of {frames} are for {self.split}. Write it "
                f"with python -m vinpaint.data.splits {frames} -o {written} --names LIST (see --help)"
            )
        paths = [frames / name if (frames / name).is_dir() else frames / f"{name}.zip" for name in names]
        # One listing instead of thousands of look-ups: the set often lies on a network disk.
        there = {path.name for path in _entries(frames)}
        missing = [name for name, path in zip(names, paths, strict=True) if path.name not in there]
        if missing:
            raise DataError(
                f"YouTube-VOS {self.split} in {frames}: {missing_names(missing, len(names))}; download them"
            )
        check_size(f"youtube-vos/{self.split}", len(names), where=f"YouTube-VOS in {self.root}")
        return [FileSource(name, path) for name, path in zip(names, paths, strict=True)]

    def _absent(self) -> str:
        sparse = self.root / self.split / "JPEGImages"
        if sparse.is_dir():
            return (
                f"YouTube-VOS: {sparse} holds every fifth frame only; download {self.split}_all_frames and put it "
                f"into {self.root}"
            )
        return (
            f"YouTube-VOS: neither {self.split}_all_frames/JPEGImages nor JPEGImages is in {self.root}; set "
            "paths.data_dir, or download YouTube-VOS there"
        )


def _entries(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")]
