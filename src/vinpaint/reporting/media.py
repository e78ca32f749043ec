"""Pictures and videos of the jobs, packed into the page until it is as large as it may be."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from vinpaint.reporting.jobs import Job, Row
from vinpaint.reporting.tables import Table

EXPLAINED = ("attention", "alignment", "borrowing")
"""Folders of a training that hold pictures of how its network completes a clip."""

_MAX_WIDTH = 864  # pixels: twice what a card of the page is wide
_QUALITY = 86  # of JPEG
_TYPES = {".mp4": "video/mp4", ".jpg": "image/jpeg", ".png": "image/png"}


@dataclass
class Shelf:
    """Files as ``data:`` addresses, each once, whichever jobs left it.

    Args:
        max_bytes: of all addresses together; what does not fit is counted and left out.
    """

    max_bytes: int
    addresses: dict[str, str] = field(default_factory=dict)
    used: int = 0
    left_out: int = 0

    def add(self, file: Path) -> str | None:
        """Put a file on the shelf.

        Returns:
            The key of its address; none if it is not there, cannot be read as a picture, or would be too much.
        """
        try:
            content, kind = _content(file)
        except OSError:
            return None
        key = hashlib.sha256(content).hexdigest()[:16]
        if key in self.addresses:
            return key
        address = f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
        if self.used + len(address) > self.max_bytes:
            self.left_out += 1
            return None
        self.used += len(address)
        self.addresses[key] = address
        return key


@dataclass(frozen=True)
class View:
    """One picture or video.

    Attributes:
        label: what is shown.
        key: of its address on the shelf.
        note: numbers of the clip, to stand beside.
        kind: ``masked``, ``completed`` or ``truth``; empty for anything else.
    """

    label: str
    key: str
    note: str = ""
    kind: str = ""


@dataclass(frozen=True)
class ClipPage:
    """Everything to look at of one clip.

    Attributes:
        name: of the clip.
        stills: per frame its views: holes, every row's completion, truth.
        videos: the same, moving.
    """

    name: str
    stills: list[tuple[int, list[View]]]
    videos: list[View]


def clip_pages(table: Table, shelf: Shelf, *, num_clips: int, num_frames: int) -> list[ClipPage]:
    """Gather what the rows of a table left of the same clips; of a row, its first job with pictures.

    Args:
        table: whose rows are compared.
        shelf: where pictures go; stills of all clips come before any video.
        num_clips: the first ones.
        num_frames: stills of each.
    """
    shown = [(row, job) for row in table.rows if (job := _with_pictures(row.finished)) is not None]
    kinds = {"pictures": num_frames, "videos": 1}
    found: dict[str, dict[str, list[tuple[int, list[View]]]]] = {}
    for kind, most in kinds.items():
        entries: dict[str, dict[int, list[tuple[Row, Job, Mapping[str, Any]]]]] = {}
        for row, job in shown:
            for entry in job.record["files"].get(kind, ()):
                frames = entries.setdefault(entry["clip"], {})
                frames.setdefault(int(entry.get("frame", 0)), []).append((row, job, entry))
        for clip in list(entries)[:num_clips]:
            chosen = sorted(entries[clip].items())[:most]
            found.setdefault(clip, {})[kind] = [(frame, _views(clip, each, shelf)) for frame, each in chosen]
    pages = []
    for clip, kept in found.items():
        videos = [view for _, views in kept.get("videos", []) for view in views]
        stills = [(frame, views) for frame, views in kept.get("pictures", []) if len(views) > 1]
        if stills or videos:
            pages.append(ClipPage(clip, stills, videos))
    return pages


def left_pictures(job: Job, shelf: Shelf, *, most: int = 2) -> list[View]:
    """The last pictures of a training by their folder: film strips, attention, alignment, whatever it left."""
    views = []
    for folder in ("clips", *EXPLAINED):
        for file in sorted((job.folder / folder).glob("*.png"))[-most:]:
            if (key := shelf.add(file)) is not None:
                views.append(View(f"{folder} · {file.stem}", key))
    return views


def _with_pictures(jobs: Sequence[Job]) -> Job | None:
    return next((job for job in jobs if job.record["files"].get("pictures") or job.record["files"].get("videos")), None)


def _views(clip: str, entries: Sequence[tuple[Row, Job, Mapping[str, Any]]], shelf: Shelf) -> list[View]:
    """Holes, completions, truth; holes and truth once where they are the same for all rows."""
    views: list[View] = []
    for view, name in (("masked", "hole"), ("completed", ""), ("truth", "truth")):
        several = len({_digest(clip, job, entry, view) for _, job, entry in entries}) > 1
        seen: set[str] = set()
        for row, job, entry in entries:
            digest = _digest(clip, job, entry, view)
            if (name and digest in seen) or (key := shelf.add(job.folder / entry[view])) is None:
                continue
            seen.add(digest)
            shown = row.label if not name else f"{name} · {row.group or row.name}" if several else name
            views.append(View(shown, key, "" if name else _numbers(clip, job), view))
    return views


def _digest(clip: str, job: Job, entry: Mapping[str, Any], view: str) -> str:
    """What tells whether two jobs show the same: the first still of the clip, as an encoder may give other bytes."""
    stills = (still for still in job.record["files"].get("pictures", ()) if still["clip"] == clip)
    file = job.folder / (entry if "frame" in entry else next(stills, entry))[view]
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def _numbers(clip: str, job: Job) -> str:
    """The clip's own first metrics."""
    row: Mapping[str, Any] = next((row for row in job.record["clips"] if row["clip"] == clip), {})
    values = [f"{name} {row[name]:.4g}" for name in job.metrics if isinstance(row.get(name), int | float)]
    return " · ".join(values[:2])


def _content(file: Path) -> tuple[bytes, str]:
    """The bytes of a file and their type; large or lossless photographs are made smaller."""
    content = file.read_bytes()
    kind = _TYPES.get(file.suffix.lower())
    if kind is None:
        raise OSError(f"{file}: no picture or video that a browser shows")
    if kind.startswith("video"):
        return content, kind
    with Image.open(io.BytesIO(content)) as picture:
        if picture.width <= _MAX_WIDTH and kind == "image/jpeg":
            return content, kind
        smaller = picture.convert("RGB")
        smaller.thumbnail((_MAX_WIDTH, _MAX_WIDTH * 4))
        packed = io.BytesIO()
        smaller.save(packed, "jpeg", quality=_QUALITY, subsampling=0)
    return packed.getvalue(), "image/jpeg"
