"""What an evaluation leaves to look at: per clip some stills and three short videos, masked, completed and true."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vinpaint.video import open_writer
from vinpaint.video.film_strip import tint_hole

PICTURES = "pictures"
KINDS = ("masked", "completed", "truth")
_MAX_WIDTH = 432  # pixels: of the videos, so that a page of many stays light
_MAX_FRAMES = 48  # of a video
_JPEG_QUALITY = 88
_VIDEO_QUALITY = 23  # constant rate factor


def picture_folder(index: int, name: str) -> Path:
    """Where the pictures of a clip lie, relative to the folder of its evaluation.

    Args:
        index: which clip of the evaluation.
        name: of the clip.
    """
    safe_name = re.sub(r"[^\w.-]+", "_", name)
    return Path(PICTURES) / f"{index:05d}_{safe_name}"


def leave_pictures(
    folder: Path,
    *,
    truth: NDArray[np.uint8],
    holes: NDArray[np.bool_],
    completed: NDArray[np.uint8],
    frame_rate: Fraction | int,
    num_stills: int,
) -> None:
    """Write stills and, where PyAV is installed, three short videos of a clip.

    Args:
        folder: of the clip; made if it is not there.
        truth: true frames, ``(T, H, W, 3)`` RGB.
        holes: ``(T, H, W)``, true = hole.
        completed: completed frames, ``(T, H, W, 3)`` RGB.
        frame_rate: of the videos, frames per second.
        num_stills: pictures of each kind: the frame with the largest hole of each of so many parts of the clip.
    """
    folder.mkdir(parents=True, exist_ok=True)
    areas = holes.mean(axis=(1, 2))
    for part in np.array_split(np.arange(len(truth)), min(num_stills, len(truth))):
        number = int(part[areas[part].argmax()])
        kinds = _kinds(truth[number], holes[number], completed[number])
        for kind, frame in zip(KINDS, kinds, strict=True):
            Image.fromarray(frame).save(folder / f"{number:05d}_{kind}.jpg", quality=_JPEG_QUALITY)
    if find_spec("av") is None:
        return
    scale = min(1.0, _MAX_WIDTH / truth.shape[2])
    # Even sizes: of what browsers play, colours have half the resolution.
    height, width = (max(round(side * scale / 2) * 2, 2) for side in truth.shape[1:3])
    shown = slice(0, _MAX_FRAMES)
    for at, kind in enumerate(KINDS):
        path = folder / f"{kind}.mp4"
        with open_writer(
            path, frame_rate=frame_rate, height=height, width=width, overwrite=True, quality=_VIDEO_QUALITY
        ) as writer:
            for frames in zip(truth[shown], holes[shown], completed[shown], strict=True):
                small = cv2.resize(_kinds(*frames)[at], (width, height), interpolation=cv2.INTER_AREA)
                writer.write(np.asarray(small, np.uint8))


def found_pictures(folder: Path, names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """List the stills and videos of an evaluation.

    Args:
        folder: of the evaluation.
        names: of its clips, in their order.

    Returns:
        ``pictures`` (``clip``, ``frame`` and a path per kind) and ``videos`` (``clip`` and a path per kind), paths
        relative to the folder.
    """
    pictures: list[dict[str, Any]] = []
    videos: list[dict[str, Any]] = []
    for index, name in enumerate(names):
        place = picture_folder(index, name)
        for still in sorted((folder / place).glob(f"*_{KINDS[-1]}.jpg")):
            number = still.name.partition("_")[0]
            paths = {kind: str(place / f"{number}_{kind}.jpg") for kind in KINDS}
            pictures.append({"clip": name, "frame": int(number), **paths})
        if (folder / place / f"{KINDS[-1]}.mp4").is_file():
            videos.append({"clip": name, **{kind: str(place / f"{kind}.mp4") for kind in KINDS}})
    return {"pictures": pictures, "videos": videos}


def _kinds(
    truth: NDArray[np.uint8], hole: NDArray[np.bool_], completed: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    return tint_hole(truth, hole, opacity=1.0), completed, truth
