"""The command ``vinpaint-inpaint``: a clip and its masks in, a completed clip out."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig, ListConfig
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from vinpaint.api import inpainter_from_config, write_completed
from vinpaint.command import command
from vinpaint.config import ConfigError, build
from vinpaint.data.sources import is_clip
from vinpaint.errors import UserError
from vinpaint.inference.inpainter import Inpainter
from vinpaint.masks import ArrayMasks, MaskSequence, open_masks
from vinpaint.ops.conversion import mask_to_tensor, to_tensor, to_uint8
from vinpaint.video import ClipReader, open_clip
from vinpaint.video.film_strip import film_strip, tint_hole
from vinpaint.video.image_files import IMAGE_SUFFIXES


@command("inpaint")
def main(config: DictConfig) -> None:
    """Complete a clip: what lies under the masks is replaced by what was, or could have been, behind it.

    vinpaint-inpaint                                             a demo clip, made by program, with its PSNR
    vinpaint-inpaint input=clip.mp4 masks=masks/ dilation=4      masks/ holds one image per frame, non-zero = hole
    vinpaint-inpaint input=clip.mp4 masks=logo.png               one image for the whole clip
    vinpaint-inpaint input=frames/ masks=[10,20,64,48] output=completed   a box x,y,w,h; a folder of PNGs out
    vinpaint-inpaint input=clips/ masks=masks/ output=out/       every clip of a folder; masks/<clip> belongs to it
    vinpaint-inpaint input=big.mp4 masks=masks/ refine=stra      done at reduced size, detail from the full-size clip
    vinpaint-inpaint -m input=a.mp4,b.mp4 masks=logo.png         one run per value

    Size, frame rate, timestamps and audio are the input's; known pixels stay as they are.
    """
    if config.input is None:
        _complete_demo(config)
        return
    jobs = list(_jobs(config))
    for job in jobs:
        _check_output(job.output, overwrite=config.overwrite)
    inpainter = inpainter_from_config(config.model, config.weights, refine=config.refine)
    failed = []
    for job in jobs:
        try:
            with open_clip(job.video, reader=config.reader, frame_rate=config.frame_rate) as clip:
                masks = open_masks(
                    job.masks,
                    num_frames=clip.num_frames,
                    height=clip.height,
                    width=clip.width,
                    dilation=config.dilation,
                )
                _complete(inpainter, clip, masks, job.output, config)
        except (UserError, OSError) as error:
            if len(jobs) == 1:
                raise
            failed.append(job.video.name)
            print(f"vinpaint-inpaint: {job.video}: {error}", file=sys.stderr)
    if failed:
        raise UserError(f"{len(failed)} of {len(jobs)} clips could not be completed: {', '.join(failed)}")


@dataclass(frozen=True)
class _Job:
    """One clip to complete."""

    video: Path
    masks: Any
    output: Path


def _jobs(config: DictConfig) -> Iterator[_Job]:
    """Tell the clips of a run apart: one, or all of a folder with the masks of the same names."""
    video = Path(str(config.input)).expanduser()
    masks = list(config.masks) if isinstance(config.masks, ListConfig) else config.masks
    if masks is None:
        raise ConfigError(
            "masks= is missing: give a folder of images, one image, a mask video or a box [x,y,w,h]; non-zero = hole"
        )
    output = None if config.output is None else Path(str(config.output)).expanduser()
    clips = _clips_in(video) if video.is_dir() else []
    if not clips:
        yield _Job(video, masks, output or Path(f"{_stem(video)}_completed.mp4"))
        return
    for clip in clips:
        yield _Job(clip, _masks_of(clip, masks), (output or Path(f"{video.name}_completed")) / f"{_stem(clip)}.mp4")


def _clips_in(folder: Path) -> list[Path]:
    """The clips of a folder of clips; none where the folder itself holds the frames of one."""
    entries = sorted(folder.iterdir())
    if any(entry.suffix.lower() in IMAGE_SUFFIXES for entry in entries if entry.is_file()):
        return []
    return [entry for entry in entries if is_clip(entry)]


def _stem(path: Path) -> str:
    path = path.resolve()
    return path.name if path.is_dir() else path.stem


def _masks_of(clip: Path, masks: Any) -> Any:
    """Find the masks of one clip of a folder: the entry of its name, or what serves every clip alike."""
    folder = Path(str(masks)).expanduser()
    if isinstance(masks, list) or not folder.is_dir():
        return masks
    for candidate in sorted(folder.iterdir()):
        if _stem(candidate) == _stem(clip):
            return candidate
    raise UserError(
        f"masks {folder}: nothing named {_stem(clip)} in it; a folder of clips needs a folder of their masks"
    )


def _check_output(output: Path, *, overwrite: bool) -> None:
    """Refuse before any work is done what the writer would refuse after it."""
    if output.exists() and not overwrite:
        raise UserError(f"{output} exists: choose another output=, or pass overwrite=true")


def _complete(
    inpainter: Inpainter,
    clip: ClipReader,
    masks: MaskSequence,
    output: Path,
    config: DictConfig,
    *,
    on_frame: Callable[[int, Tensor], None] | None = None,
) -> None:
    """Complete one clip, with a progress bar, and say where the result is."""
    output.parent.mkdir(parents=True, exist_ok=True)
    preview = _Preview(clip, masks) if config.preview else None
    started = time.perf_counter()
    with _progress(clip, shown=config.progress) as advance:

        def after_frame(index: int, frame: Tensor) -> None:
            for listener in (preview and preview.add, on_frame):
                if listener:
                    listener(index, frame)
            advance()

        write_completed(
            inpainter, clip, masks, output,
            overwrite=config.overwrite, quality=config.quality, lossless=config.lossless, on_frame=after_frame,
        )  # fmt: skip
    seconds = time.perf_counter() - started
    print(
        f"{output}: {clip.num_frames} frames of {clip.width}x{clip.height} "
        f"in {seconds:.1f} s ({clip.num_frames / seconds:.1f} frames/s)"
    )
    if preview:
        path = output.with_name(f"{output.stem}_preview.png")
        preview.save(path)
        print(f"{path}: holes above, completed frames below")


class _Preview:
    """A few frames of the clip, holes tinted, above what became of them.

    Args:
        clip: the frames.
        masks: the holes.
        columns: frames shown, evenly spaced.
        max_width: widest a shown frame may be, pixels.
    """

    def __init__(self, clip: ClipReader, masks: MaskSequence, *, columns: int = 6, max_width: int = 432) -> None:
        self._clip, self._masks, self._max_width = clip, masks, max_width
        self._shown = set(
            np.linspace(0, clip.num_frames - 1, min(columns, clip.num_frames)).round().astype(int).tolist()
        )
        self._rows: tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]] = ([], [])

    def add(self, index: int, frame: Tensor) -> None:
        """Keep the frame if it is one of those shown."""
        if index in self._shown:
            original = tint_hole(self._clip.read([index])[0], self._masks.read([index])[0])
            for row, picture in zip(self._rows, (original, to_uint8(frame)), strict=True):
                row.append(self._fit(picture))

    def save(self, path: Path) -> None:
        """Write the strip as a PNG."""
        Image.fromarray(film_strip(self._rows)).save(path)

    def _fit(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        image = Image.fromarray(picture)
        image.thumbnail((self._max_width, image.height), Image.Resampling.LANCZOS)
        return np.asarray(image)


@contextmanager
def _progress(clip: ClipReader, *, shown: bool) -> Iterator[Callable[[], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not shown, transient=True) as progress:
        task = progress.add_task(clip.name, total=clip.num_frames)
        yield lambda: progress.advance(task)


def _complete_demo(config: DictConfig) -> None:
    """Complete a clip made by program, whose truth is known, and say how near the result comes."""
    from vinpaint.metrics import psnr  # takes two seconds to import, which no other use of the command should wait for

    clip: ClipReader = build(config.demo.clip)
    rng = np.random.default_rng(config.demo.seed)
    masks = ArrayMasks(build(config.demo.mask)(clip.num_frames, clip.height, clip.width, rng))
    output = Path(config.output or "vinpaint_demo.mp4")
    _check_output(output, overwrite=config.overwrite)
    frames: list[Tensor] = []
    inpainter = inpainter_from_config(config.model, config.weights, refine=config.refine)
    _complete(inpainter, clip, masks, output, config, on_frame=lambda _, frame: frames.append(frame))
    numbers = range(clip.num_frames)
    completed, truth = torch.stack(frames), to_tensor(clip.read(numbers))
    holes = mask_to_tensor(masks.read(numbers))
    whole = psnr(completed, truth).mean()
    hole = psnr(completed, truth, masks=holes, region="hole", pool="clip").mean()
    print(
        f"PSNR against the true clip: {whole:.2f} dB over whole frames, {hole:.2f} dB in the hole ({config.model.name})"
    )


if __name__ == "__main__":
    main()
