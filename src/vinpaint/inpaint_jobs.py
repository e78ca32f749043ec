"""Which clips a run of ``vinpaint-inpaint`` completes: one, those of a folder or of a list, or a shard of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from vinpaint import provenance
from vinpaint.config import ConfigError
from vinpaint.data.shards import shard_of
from vinpaint.data.sources import is_clip
from vinpaint.errors import UserError
from vinpaint.video.image_files import IMAGE_SUFFIXES

MANIFEST_SUFFIX = ".jsonl"
_MANIFEST_KEYS = ("input", "masks", "output")


@dataclass(frozen=True)
class ClipJob:
    """One clip to complete.

    Attributes:
        video: the clip.
        masks: a path, or a box of four numbers.
        output: where the result goes.
    """

    video: Path
    masks: Any
    output: Path

    def is_done(self) -> bool:
        """Whether the result is there; nothing stands under its name before all of it is."""
        if self.output.is_dir():
            return any(self.output.iterdir())
        return self.output.exists()

    def identity(self, model: Mapping[str, str], config: DictConfig) -> dict[str, str]:
        """What the result depends on, by name, as short texts.

        Args:
            model: see :func:`model_identity`.
            config: as composed from ``inpaint.yaml``.
        """
        masks = self.masks if isinstance(self.masks, list) else Path(str(self.masks)).expanduser()
        return {
            "input": _digest(_state(self.video)),
            "masks": _digest(_state(masks) if isinstance(masks, Path) and masks.exists() else str(self.masks)),
            "reading": _digest([config.dilation, config.reader, config.frame_rate]),
            **model,
        }


def clip_jobs(config: DictConfig) -> list[ClipJob]:
    """List the clips of a run: one, those of a folder with the masks of the same names, or those of a list.

    Args:
        config: as composed from ``inpaint.yaml``; ``input``, ``masks``, ``output`` and ``shard`` are read.

    Returns:
        The clips of the asked shard, in an order that depends on nothing but the input.

    Raises:
        UserError: if masks are missing, the list cannot be read, or two results would have one name.
    """
    video = Path(str(config.input)).expanduser()
    masks = list(config.masks) if isinstance(config.masks, ListConfig) else config.masks
    output = None if config.output is None else Path(str(config.output)).expanduser()
    listed = video.suffix.lower() == MANIFEST_SUFFIX and video.is_file()
    if masks is None and not listed:
        raise ConfigError(
            "masks= is missing: give a folder of images, one image, a mask video or a box [x,y,w,h]; non-zero = hole"
        )
    clips = _clips_in(video) if video.is_dir() else []
    if listed:
        jobs = _listed(video, masks, output or Path(f"{video.stem}_completed"))
    elif clips:
        folder, masks_of = output or Path(f"{video.name}_completed"), _masks_by_name(masks)
        jobs = [ClipJob(clip, masks_of(clip), folder / f"{_stem(clip)}.mp4") for clip in clips]
    else:
        jobs = [ClipJob(video, masks, output or Path(f"{_stem(video)}_completed.mp4"))]
    _refuse_shared_outputs(jobs)
    return shard_of(jobs, index=config.shard.index, count=config.shard.count)


def model_identity(config: DictConfig) -> dict[str, str]:
    """What results depend on besides the clip: the engine, its network and the content of the weights' files.

    Args:
        config: as composed from ``inpaint.yaml``; ``model``, ``completion``, ``refine`` and ``weights`` are read.
    """
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    engine = {key: plain["model"].get(key) for key in ("name", "network", "engine")}
    weights = provenance.weight_digests({"weights": plain["weights"], "model": engine})
    return {
        "model": _digest([engine, plain["completion"], plain["refine"]]),
        "weights": _digest(weights),
        "version of the library": str(provenance.versions()["vinpaint"]),
    }


def _listed(manifest: Path, masks: Any, folder: Path) -> list[ClipJob]:
    """The clips of a list; its relative paths start where it lies."""
    jobs = []
    for number, line in enumerate(_lines_of(manifest), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise UserError(f"{manifest}:{number}: not JSON ({error}); give one object per line") from error
        if not isinstance(entry, dict) or set(entry) - set(_MANIFEST_KEYS) or not isinstance(entry.get("input"), str):
            raise UserError(
                f"{manifest}:{number}: {line.strip()[:80]}; expected an object with input and, if they are wanted, "
                "masks and output"
            )
        own = entry.get("masks", masks)
        if own is None:
            raise UserError(
                f"{manifest}:{number}: no masks for {entry['input']}; add them there, or give masks= for all"
            )
        video = manifest.parent / Path(entry["input"]).expanduser()
        if "masks" in entry and isinstance(own, str):
            own = str(manifest.parent / Path(own).expanduser())
        output = manifest.parent / entry["output"] if "output" in entry else folder / f"{_stem(video)}.mp4"
        jobs.append(ClipJob(video, own, output))
    if not jobs:
        raise UserError(f"{manifest}: no clip in it; give one JSON object per line")
    return jobs


def _lines_of(manifest: Path) -> list[str]:
    try:
        return manifest.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{manifest}: not text ({error.reason}); give one JSON object per line") from error


def _clips_in(folder: Path) -> list[Path]:
    """The clips of a folder of clips; none where the folder itself holds the frames of one."""
    entries = sorted(folder.iterdir())
    if any(entry.suffix.lower() in IMAGE_SUFFIXES for entry in entries if entry.is_file()):
        return []
    return [entry for entry in entries if is_clip(entry)]


def _stem(path: Path) -> str:
    path = path.resolve()
    return path.name if path.is_dir() else path.stem


def _masks_by_name(masks: Any) -> Any:
    """What finds the masks of one clip of a folder: the entry of its name, or what serves every clip alike."""
    folder = Path(str(masks)).expanduser()
    if isinstance(masks, list) or not folder.is_dir():
        return lambda clip: masks
    by_name = {_stem(entry): entry for entry in sorted(folder.iterdir(), reverse=True)}

    def find(clip: Path) -> Path:
        if _stem(clip) not in by_name:
            raise UserError(
                f"masks {folder}: nothing named {_stem(clip)} in it; a folder of clips needs a folder of their masks"
            )
        return by_name[_stem(clip)]

    return find


def _refuse_shared_outputs(jobs: Sequence[ClipJob]) -> None:
    taken: dict[Path, Path] = {}
    for job in jobs:
        other = taken.setdefault(job.output, job.video)
        if other is not job.video:
            raise UserError(
                f"{other} and {job.video} would both become {job.output}; rename one, or list their outputs"
            )


def _state(path: Path) -> list[list[Any]]:
    """Names, sizes and times of a file or of what lies in a folder: they differ when the content was changed."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
