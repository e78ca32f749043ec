"""DAVIS in its published layout, or in that of the public inpainting code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from vinpaint.data.sources import ClipList, ClipSource, DataError, FileSource
from vinpaint.data.split_files import check_size, missing_names, read_split

_NAMES_2016 = (
    "bear blackswan bmx-bumps bmx-trees boat breakdance breakdance-flare bus camel car-roundabout car-shadow car-turn "
    "cows dance-jump dance-twirl dog dog-agility drift-chicane drift-straight drift-turn elephant flamingo goat hike "
    "hockey horsejump-high horsejump-low kite-surf kite-walk libby lucia mallard-fly mallard-water motocross-bumps "
    "motocross-jump motorbike paragliding paragliding-launch parkour rhino rollerblade scooter-black scooter-gray "
    "soapbox soccerball stroller surf swing tennis train"
)

DAVIS_2016 = tuple(_NAMES_2016.split())
"""The 50 clips of DAVIS 2016, on which FuseFormer, E2FGVI and ProPainter report."""


def names_2016() -> tuple[str, ...]:
    """Name the clips of DAVIS 2016, for configurations."""
    return DAVIS_2016


DavisSplit = Literal["2016", "2017_train", "2017_val", "2017_trainval", "train", "test"]

_IMAGE_SETS: dict[str, tuple[str, ...]] = {
    "2017_train": ("train",),
    "2017_val": ("val",),
    "2017_trainval": ("train", "val"),
    # STTN trains on the clips without public annotations and tests on those with them.
    "train": ("test-dev", "test-challenge"),
    "test": ("train", "val"),
}


class DavisClips(ClipList):
    """Clips of DAVIS, with their object annotations as masks where they are public.

    Two layouts are read: the published one (``JPEGImages/480p/<clip>/``, ``Annotations/480p/<clip>/``,
    ``ImageSets/2017/*.txt``) and that of STTN's public code (``JPEGImages/<clip>.zip``, ``train.json``, ``test.json``).

    Args:
        root: the folder that holds ``JPEGImages``.
        split: ``2016`` (50 clips), ``2017_train`` (60), ``2017_val`` (30), ``2017_trainval`` (90), or STTN's ``train``
            (the 60 of test-dev and test-challenge) and ``test`` (the 90 of trainval). A file ``<split>.json`` in
            ``root`` takes precedence.
        resolution: folder of frames in the published layout.

    Raises:
        DataError: on first use, if the folder or a clip of the split is not there.

    Source: DAVIS 2016 and 2017 (davischallenge.org); STTN (arXiv:2007.10247), section 4.1.
    """

    def __init__(self, root: str | Path, *, split: DavisSplit = "2017_trainval", resolution: str = "480p") -> None:
        if split != "2016" and split not in _IMAGE_SETS:
            raise DataError(f"DAVIS split {split}: expected one of 2016, {', '.join(_IMAGE_SETS)}")
        self.root = Path(root).expanduser()
        self.split = split
        self.resolution = resolution

    def list_clips(self) -> Sequence[ClipSource]:
        """List the clips in the order of the split."""
        frames = self.root / "JPEGImages"
        if not frames.is_dir():
            raise DataError(f"DAVIS: {frames} is not there; set paths.data_dir, or download DAVIS to {self.root}")
        annotations = self.root / "Annotations"
        if (frames / self.resolution).is_dir():
            frames, annotations = frames / self.resolution, annotations / self.resolution
        names = self._names()
        paths = [frames / f"{name}.zip" if not (frames / name).is_dir() else frames / name for name in names]
        missing = [name for name, path in zip(names, paths, strict=True) if not path.exists()]
        if missing:
            raise DataError(
                f"DAVIS {self.split} in {frames}: {missing_names(missing, len(names))}; download them, or list those "
                f"that are there with python -m vinpaint.data.splits {frames} -o {self.root / self.split}.json"
            )
        check_size(f"davis/{self.split}", len(names), where=f"DAVIS in {self.root}")
        return [
            FileSource(name, path, annotations / name if (annotations / name).is_dir() else None)
            for name, path in zip(names, paths, strict=True)
        ]

    def _names(self) -> list[str]:
        written = self.root / f"{self.split}.json"
        if written.is_file():
            return list(read_split(written))
        if self.split == "2016":
            return list(DAVIS_2016)
        lists = [self.root / "ImageSets" / "2017" / f"{part}.txt" for part in _IMAGE_SETS[self.split]]
        absent = [str(path) for path in lists if not path.is_file()]
        if absent:
            raise DataError(
                f"DAVIS {self.split}: neither {written} nor {' and '.join(absent)} is there; write the first with "
                "python -m vinpaint.data.splits (see --help)"
            )
        return sorted(name for path in lists for name in path.read_text(encoding="utf-8").split())
