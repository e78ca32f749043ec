"""The command ``vinpaint-inpaint``: a clip and its masks in, a completed clip out."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from vinpaint.api import inpainter_from_config, write_completed
from vinpaint.command import command
from vinpaint.config import ConfigError, build
from vinpaint.errors import UserError
from vinpaint.evaluation_records import write_beside
from vinpaint.inference.finished_frames import FinishedFrames
from vinpaint.inference.inpainter import Inpainter, MaskedClip, ResumableInpainter
from vinpaint.inference.own_memory import LARGE_FRAME, return_freed_memory
from vinpaint.inpaint_jobs import ClipJob, clip_jobs, model_identity
from vinpaint.masks import ArrayMasks, MaskSequence, open_masks
from vinpaint.ops.conversion import mask_to_tensor, to_tensor, to_uint8
from vinpaint.video import ClipReader, open_clip
from vinpaint.video.film_strip import film_strip, tint_hole


@command("inpaint")
def main(config: DictConfig) -> None:
    """Complete a clip: what lies under the masks is replaced by what was, or could have been, behind it.

    vinpaint-inpaint                                             a demo clip, made by program, with its PSNR
    vinpaint-inpaint input=clip.mp4 masks=masks/ dilation=4      masks/ holds one image per frame, non-zero = hole
    vinpaint-inpaint input=clip.mp4 masks=logo.png               one image for the whole clip
    vinpaint-inpaint input=frames/ masks=[10,20,64,48] output=completed   a box x,y,w,h; a folder of PNGs out
    vinpaint-inpaint input=clips/ masks=masks/ output=out/       every clip of a folder; masks/<clip> belongs to it
    vinpaint-inpaint input=clips.jsonl resume=true               every clip of a list; what is there already is kept
    vinpaint-inpaint input=clips/ masks=masks/ resume=true shard.index=3 shard.count=16    one of 16 workers
    vinpaint-inpaint input=big.mp4 masks=masks/ refine=stra      done at reduced size, detail from the full-size clip
    vinpaint-inpaint input=clip.mp4 masks=masks/ completion=sttn what no frame shows is made up by a network
    vinpaint-inpaint -m input=a.mp4,b.mp4 masks=logo.png         one run per value

    A list holds one JSON object per line: {"input": "a.mp4", "masks": "masks/a", "output": "out/a.mp4"}; masks= and
    output= serve where a line has none, and relative paths start where the list lies.
    Size, frame rate, timestamps and audio are the input's; known pixels stay as they are.
    """
    if config.input is None:
        _complete_demo(config)
        return
    if config.resume and config.overwrite:
        raise ConfigError("resume=true keeps what is there and overwrite=true replaces it: give one of them")
    jobs = clip_jobs(config)
    missing = [job for job in jobs if not (config.resume and job.is_done())]
    if len(missing) < len(jobs):
        print(f"{len(jobs) - len(missing)} of {len(jobs)} clips are complete already and kept as they are")
    for job in missing:
        _check_output(job.output, overwrite=config.overwrite)
    if not missing:
        return
    inpainter = inpainter_from_config(config.model, config.weights, completion=config.completion, refine=config.refine)
    identity = _identity_of_results(inpainter, config)
    failed = []
    for job in missing:
        try:
            _complete_job(inpainter, job, config, identity)
        except (UserError, OSError) as error:
            if len(jobs) == 1:
                raise
            failed.append(job.video.name)
            print(f"vinpaint-inpaint: {job.video}: {error}", file=sys.stderr)
    if failed:
        named = ", ".join(failed[:10]) + (f" and {len(failed) - 10} more" if len(failed) > 10 else "")
        raise UserError(f"{len(failed)} of {len(jobs)} clips could not be completed: {named}")


def _identity_of_results(inpainter: Inpainter, config: DictConfig) -> dict[str, str] | None:
    """What unfinished results are told apart by; none if they are not kept."""
    if not config.resume:
        return None
    if not isinstance(inpainter, ResumableInpainter):
        print(
            f"vinpaint-inpaint: model={config.model.name} cannot go on in the middle of a clip: "
            "one that was interrupted starts over",
            file=sys.stderr,
        )
        return None
    return model_identity(config)


def _complete_job(inpainter: Inpainter, job: ClipJob, config: DictConfig, identity: dict[str, str] | None) -> None:
    with open_clip(job.video, reader=config.reader, frame_rate=config.frame_rate) as clip:
        size = {"num_frames": clip.num_frames, "height": clip.height, "width": clip.width}
        masks = open_masks(job.masks, dilation=config.dilation, **size)
        if identity is None:
            _complete(inpainter, clip, masks, job.output, config)
            return
        kept = FinishedFrames.beside(job.output, MaskedClip(clip, masks), job.identity(identity, config))
        with kept as finished:
            if finished:
                print(f"{job.output}: {len(finished)} of {clip.num_frames} frames are kept from an earlier start")
            _complete(inpainter, clip, masks, job.output, config, finished=finished)


def _check_output(output: Path, *, overwrite: bool) -> None:
    """Refuse before any work is done what the writer would refuse after it."""
    if output.exists() and not overwrite and not (output.is_dir() and not any(output.iterdir())):
        raise UserError(f"{output} exists: choose another output=, or pass overwrite=true")


def _complete(
    inpainter: Inpainter,
    clip: ClipReader,
    masks: MaskSequence,
    output: Path,
    config: DictConfig,
    *,
    on_frame: Callable[[int, Tensor], None] | None = None,
    finished: FinishedFrames | None = None,
) -> None:
    """Complete one clip, with a progress bar, and say where the result is."""
    output.parent.mkdir(parents=True, exist_ok=True)
    preview = _Preview(clip, masks) if config.preview else None
    large = clip.height * clip.width > LARGE_FRAME
    started = time.perf_counter()
    with _progress(clip, shown=config.progress) as advance:

        def after_frame(index: int, frame: Tensor) -> None:
            for listener in (preview and preview.add, on_frame):
                if listener:
                    listener(index, frame)
            if large:
                return_freed_memory()
            advance()

        write_completed(
            inpainter, clip, masks, output, overwrite=config.overwrite, quality=config.quality,
            lossless=config.lossless, on_frame=after_frame, finished=finished,
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
        content = io.BytesIO()
        Image.fromarray(film_strip(self._rows)).save(content, format="png")
        write_beside(path, content.getvalue())

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
    inpainter = inpainter_from_config(config.model, config.weights, completion=config.completion, refine=config.refine)
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
