"""What a fusion is trained on: the offers of ``flow_guided`` for clips whose truth is known, kept in files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from vinpaint.errors import UserError
from vinpaint.inference.flow_guided import FlowGuidedInpainter
from vinpaint.inference.flow_guided_fields import Bools, Floats, Levels
from vinpaint.inference.flow_guided_offer import Offer, nothing_judged, offer_box
from vinpaint.inference.flow_guided_sources import Box
from vinpaint.inference.inpainter import MaskedClip
from vinpaint.masks import ArrayMasks, MaskGenerator, dilate
from vinpaint.video import ArrayClip, ClipReader

_FINISHED = "finished"


class ClipOpener(Protocol):
    """A clip of a data set, not yet opened."""

    @property
    def name(self) -> str: ...

    def open(self) -> ClipReader:
        """Open the clip."""
        ...


HoleDrawer = MaskGenerator
"""What draws the holes of a clip, for rooms that know engines and not masks."""


class _Listener:
    """A fusion that leaves the plain mean and keeps what it was offered."""

    def __init__(self) -> None:
        self.heard: Offer | None = None

    def __call__(self, offer: Offer) -> tuple[Floats, Floats]:
        self.heard = offer
        return nothing_judged(offer)


@dataclass(frozen=True, kw_only=True)
class Recording:
    """How clips whose truth is known become records: ``flow_guided`` runs over a part of each, under drawn holes.

    Args:
        mask: draws the holes.
        num_frames: length of a part; the whole clip if it is shorter.
        max_step: frames between two that are taken, at most; drawn.
        dilation: times the holes grow by a 3x3 cross.
        max_side: pixels of the longer side; larger frames are reduced.

    Raises:
        UserError: if an argument is out of its range.
    """

    mask: MaskGenerator
    num_frames: int = 40
    max_step: int = 2
    dilation: int = 4
    max_side: int = 480

    def __post_init__(self) -> None:
        for name, least in (("num_frames", 1), ("max_step", 1), ("dilation", 0), ("max_side", 16)):
            if getattr(self, name) < least:
                raise UserError(f"{name}={getattr(self, name)}: expected {least} or more")

    def record(
        self, clip: ClipOpener, folder: Path, *, seed: Sequence[int], crop: int | None = None, limit: int | None = None
    ) -> None:
        """Keep every offer for a part of a clip, with the truth beside it.

        Args:
            clip: shows what holes hide.
            folder: gets one ``<frame>.npz`` per frame with a hole; a folder that is finished is left alone.
            seed: of everything drawn.
            crop: pixels of the side of a square around a random pixel of the hole that is kept; all when not given.
            limit: frames after which it ends; none when not given.
        """
        if (folder / _FINISHED).is_file():
            return
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(list(seed))
        frames = self._part(clip, rng)
        holes = dilate(self.mask(len(frames), frames.shape[1], frames.shape[2], rng), self.dilation)
        listener = _Listener()
        engine = FlowGuidedInpainter(fusion=listener, max_flow_side=self.max_side)
        completed = engine.stream(MaskedClip(ArrayClip(frames), ArrayMasks(holes)))
        for index, _ in enumerate(islice(completed, limit)):
            if listener.heard is None:
                continue
            offer, listener.heard = listener.heard, None
            box = offer_box(holes[index])
            if crop is not None:
                part = random_square(offer.hole, crop, rng)
                offer, box = offer.cut(part), part.within(box)
            place = np.array([box.top, box.left, *frames.shape[1:3]])
            write_record(folder / f"{index:05d}.npz", offer, frames[index][box.slices], place)
        (folder / _FINISHED).touch()

    def _part(self, clip: ClipOpener, rng: np.random.Generator) -> Levels:
        with clip.open() as reader:
            step = int(rng.integers(1, self.max_step + 1))
            step = max(1, min(step, reader.num_frames // self.num_frames))
            reach = min(self.num_frames, reader.num_frames // step) * step
            start = int(rng.integers(reader.num_frames - reach + 1))
            frames = reader.read(range(start, start + reach, step))
        H, W = frames.shape[1:3]
        ratio = self.max_side / max(H, W)
        if ratio >= 1:
            return frames
        size = (round(W * ratio), round(H * ratio))
        return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]).astype(np.uint8)


def random_square(hole: Bools, side: int, rng: np.random.Generator) -> Box:
    """A square around a random pixel of a hole ``(h, w)``, moved inside and cut to what there is."""
    rows, columns = np.nonzero(hole)
    chosen = int(rng.integers(len(rows)))
    h, w = hole.shape
    top = int(np.clip(rows[chosen] - side // 2, 0, max(h - side, 0)))
    left = int(np.clip(columns[chosen] - side // 2, 0, max(w - side, 0)))
    return Box(top, min(top + side, h), left, min(left + side, w))


def write_record(path: Path, offer: Offer, truth: Levels, place: np.ndarray) -> None:
    """Write one offer, the truth ``(b, d, 3)`` beside it and its place: top, left, height and width of the frame."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, **{**vars(offer), "shares": offer.shares.astype(np.float16)}, truth=truth, place=place)
    os.replace(partial, path)


def record_files(folder: Path) -> list[Path]:
    """The records of a folder in the order of their frames."""
    return sorted(folder.glob("*.npz"))


def read_record(path: Path) -> tuple[Offer, Levels, np.ndarray]:
    """Read what :func:`write_record` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        fields = {key: stored[key] for key in stored.files}
    truth, place = fields.pop("truth"), fields.pop("place")
    return Offer(**{**fields, "shares": fields["shares"].astype(np.float32)}), truth, place


def plain_error(folder: Path) -> float:
    """Mean squared error of the plain mean in the holes of all records of a folder, colours in [0, 1]."""
    total, count = 0.0, 0
    for path in record_files(folder):
        with np.load(path, allow_pickle=False) as stored:
            hole = stored["hole"]
            error = stored["plain"][hole].astype(np.float32) - stored["truth"][hole]
        total, count = total + float(np.square(error).sum()), count + error.size
    return total / max(count, 1) / 255**2
