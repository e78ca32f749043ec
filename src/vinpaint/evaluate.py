"""The command ``vinpaint-evaluate``: clips whose truth is known in, a table of numbers out."""

from __future__ import annotations

import csv
import json
import math
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track

from vinpaint._version import __version__
from vinpaint.api import inpainter_from_config
from vinpaint.command import command
from vinpaint.config import build
from vinpaint.data import EvaluationClip, EvaluationSet
from vinpaint.inference.inpainter import Inpainter, MaskedClip
from vinpaint.metrics import VideoMetricCollection
from vinpaint.ops.conversion import mask_to_tensor, to_tensor, to_uint8
from vinpaint.video import open_writer


@dataclass(frozen=True)
class ClipResult:
    """What was measured on one clip, or over all of them.

    Attributes:
        name: of the clip.
        num_frames: frames completed.
        seconds: time the engine took, without reading the truth and measuring.
        values: the metrics by name; NaN where one has no value on a single clip.
    """

    name: str
    num_frames: int
    seconds: float
    values: dict[str, float]

    def row(self) -> dict[str, str | float]:
        """The result as a row of a table."""
        speed = self.num_frames / self.seconds
        return {"clip": self.name, "frames": self.num_frames, **self.values, "frames_per_second": speed}


@command("evaluate")
def main(config: DictConfig) -> float:
    """Complete every clip of a data set whose truth is known, and measure how near the result comes.

    vinpaint-evaluate                                                     without weights, on clips made by program
    vinpaint-evaluate model=sttn weights=weights/ data=davis dilation=4
    vinpaint-evaluate data=folder data.val.root=clips/ mask=moving        any folder of clips
    vinpaint-evaluate -m model=flow_guided,telea mask=stationary,moving   one run per combination

    Prints a table, per clip and over all, and writes results.csv and results.json into the folder of the run.
    """
    folder = Path(config.paths.output_dir)
    inpainter = inpainter_from_config(config.model, config.weights)
    metrics = VideoMetricCollection(build(config.metrics))
    clips: EvaluationSet = build(config.data).evaluation_set(config.split)
    count = len(clips) if config.limit_clips is None else min(len(clips), config.limit_clips)
    shown = track(
        islice(clips, count),
        description=str(config.model.name),
        total=count,
        console=Console(stderr=True),
        transient=True,
        disable=not config.progress,
    )
    saved = folder / "clips" if config.save_clips else None
    results = [evaluate_clip(inpainter, clip, metrics, saved=saved) for clip in shown]
    overall = summarise(results, metrics)
    _write(folder, config, results, overall)
    print(_table([*results, overall], metrics))
    print(f"{folder / 'results.csv'} and results.json hold these numbers and how they were made")
    return next(iter(overall.values.values()), 0.0)


def evaluate_clip(
    inpainter: Inpainter, clip: EvaluationClip, metrics: VideoMetricCollection, *, saved: Path | None = None
) -> ClipResult:
    """Complete one clip and measure it.

    Args:
        inpainter: the engine.
        clip: its true frames and its holes.
        metrics: are updated with the clip.
        saved: a folder to write the completed frames to, as a folder of PNGs named after the clip.

    Returns:
        The clip's own numbers.
    """
    numbers = range(clip.clip.num_frames)
    started = time.perf_counter()
    completed = torch.stack(list(inpainter.stream(MaskedClip(clip.clip, clip.masks))))
    seconds = time.perf_counter() - started
    if saved is not None:
        saved.mkdir(parents=True, exist_ok=True)
        height, width, rate = clip.clip.height, clip.clip.width, clip.clip.frame_rate
        with open_writer(saved / clip.name, frame_rate=rate, height=height, width=width, overwrite=True) as writer:
            for frame in completed:
                writer.write(to_uint8(frame))
    truth, masks = to_tensor(clip.clip.read(numbers)), mask_to_tensor(clip.masks.read(numbers))
    (values,) = metrics.update(completed[None], truth[None], masks=masks[None], names=[clip.name])
    return ClipResult(clip.name, len(numbers), seconds, values)


def summarise(results: Sequence[ClipResult], metrics: VideoMetricCollection) -> ClipResult:
    """Bring the clips together, with each metric's own averaging."""
    return ClipResult(
        "all", sum(r.num_frames for r in results), sum(r.seconds for r in results), values=metrics.compute()
    )


def _write(folder: Path, config: DictConfig, results: Sequence[ClipResult], overall: ClipResult) -> None:
    """Leave the numbers, and everything they depend on, in the folder of the run."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [result.row() for result in (*results, overall)]
    with (folder / "results.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    record = {
        "model": config.model.name,
        "metrics": _numbers(overall.values),
        "clips": [_numbers(row) for row in rows[:-1]],
        "config": OmegaConf.to_container(config, resolve=True),
        "versions": {"vinpaint": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
    }
    (folder / "results.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """JSON knows no NaN: a metric without a value is null."""
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}


def _table(results: Sequence[ClipResult], metrics: VideoMetricCollection) -> str:
    """Lay results out as a Markdown table, columns aligned, arrows saying which way is better."""
    arrows = {name: " ↑" if higher else " ↓" for name, higher in metrics.higher_is_better.items()}
    header = [name + arrows.get(name, "") for name in results[0].row()]
    body = [[v if isinstance(v, str) else f"{v:.5g}" for v in result.row().values()] for result in results]
    widths = [max(len(line[column]) for line in (header, *body)) for column in range(len(header))]
    rule = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]
    lines = [header, rule, *body]
    return "\n".join(
        "| " + " | ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) + " |" for line in lines
    )


if __name__ == "__main__":
    main()
