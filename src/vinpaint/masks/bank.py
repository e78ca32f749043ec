"""Object-shaped holes that move as real objects move: recorded mask sequences laid over other clips."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vinpaint.masks.files import open_sequence
from vinpaint.masks.imposed import back_and_forth
from vinpaint.masks.protocols import MaskError, MaskSequence
from vinpaint.masks.sequences import resize_masks

_DRAWS = (
    20  # windows tried before a bank is called empty: objects leave the frame, whole sequences without one are rare
)


class ObjectMask:
    """Holes taken from a bank of recorded mask sequences, such as the annotations of a segmentation data set.

    A sequence is chosen, stretched to the frame, begun at a random time, played forwards and backwards where it is
    shorter than the clip, and mirrored half of the time.

    Args:
        folder: holds one folder of pictures, zip or mask video per sequence.
        flip_probability: share of the clips whose holes are mirrored left to right, 0 to 1.

    Raises:
        MaskError: if the probability lies outside 0 to 1; on the first draw, if the folder holds no sequence.
    """

    def __init__(self, folder: str | Path, *, flip_probability: float = 0.5) -> None:
        if not 0 <= flip_probability <= 1:
            raise MaskError(f"flip_probability {flip_probability}: expected 0 to 1")
        self.folder = Path(folder).expanduser()
        self.flip_probability = flip_probability

    @cached_property
    def _sequences(self) -> list[Path]:
        return list_bank(self.folder)

    def __call__(self, num_frames: int, height: int, width: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Choose a sequence and a time: ``(num_frames, height, width)`` bool, true = hole."""
        for _ in range(_DRAWS):
            sequence = open_sequence(self._sequences[int(rng.integers(len(self._sequences)))], verify=False)
            masks = sequence.read(_times(sequence, num_frames, rng))
            if rng.random() < self.flip_probability:
                masks = masks[:, :, ::-1]
            masks = resize_masks(masks, height, width)
            if masks.any():
                return masks
        raise MaskError(f"mask bank {self.folder}: {_DRAWS} draws in a row held no hole; are the masks drawn in black?")


def list_bank(folder: Path) -> list[Path]:
    """List the mask sequences of a folder by name, without opening one: folders, zips, pictures and videos.

    Raises:
        MaskError: if the folder is not there or holds nothing.
    """
    if not folder.is_dir():
        raise MaskError(f"mask bank {folder}: no such folder; name one that holds a folder per mask sequence")
    found = sorted(p for p in folder.iterdir() if not p.name.startswith(".") and _may_hold_masks(p))
    if not found:
        raise MaskError(f"mask bank {folder}: nothing in it; expected a folder, zip or video per sequence")
    return found


def _times(sequence: MaskSequence, num_frames: int, rng: np.random.Generator) -> list[int]:
    """Frame numbers of a window, back and forth where the sequence is too short."""
    last = sequence.num_frames - 1
    if num_frames <= sequence.num_frames:
        start = int(rng.integers(sequence.num_frames - num_frames + 1))
        return list(range(start, start + num_frames))
    start = int(rng.integers(max(2 * last, 1)))
    return back_and_forth(range(start, start + num_frames), sequence.num_frames)


def _may_hold_masks(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() not in {".json", ".txt", ".md", ".csv"}
