"""The command ``vinpaint-evaluate``: clips whose truth is known in, a table of numbers out."""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vinpaint import provenance
from vinpaint.command import command
from vinpaint.config import ConfigError, build
from vinpaint.data import EvaluationSet
from vinpaint.errors import UserError
from vinpaint.evaluation_records import (
    FREE,
    ClipResult,
    EvaluationFolder,
    check_same,
    comparable,
    merge,
    numbers,
    write_beside,
)
from vinpaint.evaluation_tables import combine, markdown, write_csv
from vinpaint.evaluation_workers import Failure, measure
from vinpaint.metrics import VideoMetricCollection
from vinpaint.protocols import Comparison, Protocol


def run_folder(resume: str | None, fresh: str) -> str:
    """Where a run writes: the folder it goes on with, or a fresh one."""
    return resume if resume is not None and Path(resume).is_dir() else fresh


OmegaConf.register_new_resolver("vinpaint_run_folder", run_folder, replace=True)


@command("evaluate")
def main(config: DictConfig) -> float:
    """Complete every clip of a data set whose truth is known, and measure how near the result comes.

    vinpaint-evaluate                                                     without weights, on clips made by program
    vinpaint-evaluate model=sttn weights=weights/ data=davis dilation=4
    vinpaint-evaluate data=folder data.val.root=clips/ mask=moving        any folder of clips
    vinpaint-evaluate protocol=fuseformer data=davis processes=4          as published, with the published rows beside
    vinpaint-evaluate -m model=flow_guided,telea mask=stationary,moving   one run per combination, one table of all
    vinpaint-evaluate resume=outputs/evaluate/…                           go on where a run was interrupted

    Prints a table, per clip and over all, and writes results.csv and results.json into the folder of the run; a sweep
    also has table.md and table.csv over all its jobs. Each clip is kept as soon as it is measured.
    """
    config, folder, manifest = _begin(config)
    names: list[str] = manifest["clips"]
    metrics = VideoMetricCollection(build(config.metrics))
    failures = _measure(config, folder, names)
    if failures:
        raise UserError(_failed(failures, names, folder))
    records = [record for index, name in enumerate(names) if (record := folder.load(index, name)) is not None]
    overall = merge(records, metrics)
    results = [*(record.result for record in records), overall]
    better = metrics.higher_is_better
    compared = None
    if config.protocol is not None:
        protocol: Protocol = build(config.protocol)
        compared = protocol.compare(manifest["config"], overall.values, model=config.model.name, clips=names)
    _write(folder, manifest, results, higher_is_better=better, compared=compared, processes=config.processes)
    print(markdown([result.row() for result in results], higher_is_better=better))
    if compared is not None:
        print(f"\n{compared.text(better)}\n")
    print(f"{folder.path / 'results.csv'} and results.json hold these numbers and how they were made")
    if _sweeping():
        sweep = _sweep_folder(folder)
        print(f"\nAll jobs so far ({_from_here(sweep) / 'table.md'}, table.csv):\n{combine(sweep)}")
    return next(iter(overall.values.values()), 0.0)


def _begin(config: DictConfig) -> tuple[DictConfig, EvaluationFolder, dict[str, Any]]:
    """Start an evaluation or take up the one that is to be resumed."""
    hydra = HydraConfig.get()
    folder = EvaluationFolder(Path(config.paths.output_dir))
    overrides = [o for o in hydra.overrides.task if o.partition("=")[0].lstrip("+") not in FREE]
    earlier = None
    if config.resume is not None:
        if not Path(config.resume).is_dir():
            raise UserError(f"resume={config.resume}: no such folder; give that of an interrupted evaluation")
        earlier = folder.manifest()
        if earlier is None and not _sweeping():  # of a sweep, some jobs may not have begun
            raise UserError(f"resume={config.resume}: no evaluation was begun there; give the folder of a run")
        if earlier is not None and not overrides:
            free = {key: config[key] for key in FREE if key in config}
            config = OmegaConf.create({**earlier["config"], **free})
    if config.processes < 1:
        raise ConfigError(f"processes={config.processes}: expected 1 or more")
    if config.limit_clips is not None and config.limit_clips < 1:
        raise ConfigError(f"limit_clips={config.limit_clips}: expected 1 or more, or null for all")
    _check_data(config)
    clips: EvaluationSet = build(config.data).evaluation_set(config.split)
    names = [source.name for source in clips.clips][: config.limit_clips]
    plain = comparable(config)
    manifest = {
        "job": hydra.job.num if _sweeping() else 0,
        "choices": {key: value for key, value in hydra.runtime.choices.items() if not key.startswith("hydra/")}
        | ({"mask": "own"} if config.data.val_mask == "own" else {}),
        "overrides": overrides,
        "clips": names,
        "weights": provenance.weight_digests({key: plain.get(key) for key in ("weights", "model", "metrics")}),
        "versions": provenance.versions(),
        "git": provenance.git_hash(),
        "config": plain,
    }
    if earlier is None:
        folder.begin(manifest)
        return config, folder, manifest
    check_same(earlier["config"], plain, folder=config.resume)
    for what in ("clips", "weights"):
        if earlier[what] != manifest[what]:
            raise UserError(f"resume={config.resume}: the {what} are not those it was begun with; begin anew")
    for what in ("versions", "git"):
        if earlier[what] != manifest[what]:
            warnings.warn(f"resume={config.resume} was begun with other {what}; its numbers mix both", stacklevel=2)
    return config, folder, earlier


def _check_data(config: DictConfig) -> None:
    """Say what to set where clips or recorded masks cannot be made, before any of them is opened."""
    bank = (config.data.get("mask") or {}).get("folder")
    if bank is not None and config.data.val_mask is None and not Path(bank).expanduser().is_dir():
        raise ConfigError(
            f"recorded masks: {bank} is not there; set data.mask.folder (in a sweep over masks paths.data_dir or "
            "VINPAINT_DATA) so that it holds one folder, zip or video per mask sequence"
        )
    if config.data.height is None and "height" in (config.data.val or {}):
        raise ConfigError("size=native: clips made by program have no size of their own; choose another size or data")


def _measure(config: DictConfig, folder: EvaluationFolder, names: Sequence[str]) -> dict[int, Failure]:
    """Measure what is missing, and show how far it is."""
    missing, failures = folder.missing(names), {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    shown = Progress(*columns, console=Console(stderr=True), transient=True, disable=not config.progress)
    try:
        with shown:
            task = shown.add_task(str(config.model.name), total=len(names), completed=len(names) - len(missing))
            for index, failure in measure(config, folder, missing, processes=config.processes):
                if failure is not None:
                    failures[index] = failure
                shown.advance(task)
    except KeyboardInterrupt:
        done = len(names) - len(folder.missing(names))
        print(f"{done} of {len(names)} clips are measured and kept; go on with {_resumed(folder)}", file=sys.stderr)
        raise
    return failures


def _failed(failures: dict[int, Failure], names: Sequence[str], folder: EvaluationFolder) -> str:
    for failure in failures.values():
        if failure.trace is not None:
            print(failure.trace, file=sys.stderr)
    told = []
    for index, failure in sorted(failures.items())[:3]:
        known = failure.message.startswith(names[index])
        told.append(failure.message if known else f"{names[index]}: {failure.message}")
    more = f"; and {len(failures) - 3} more" if len(failures) > 3 else ""
    return (
        f"{len(failures)} of {len(names)} clips failed, the others are kept: {'; '.join(told)}{more}; "
        f"when that is mended, go on with {_resumed(folder)}"
    )


def _resumed(folder: EvaluationFolder) -> str:
    if _sweeping():
        return f"the same command and resume={_from_here(_sweep_folder(folder))}"
    return f"vinpaint-evaluate resume={_from_here(folder.path)}"


def _from_here(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _sweep_folder(folder: EvaluationFolder) -> Path:
    """The folder of all jobs, from that of this one: asked again, Hydra would give it another time of day."""
    return folder.path.parents[len(Path(HydraConfig.get().sweep.subdir).parts) - 1]


def _sweeping() -> bool:
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def _write(
    folder: EvaluationFolder,
    manifest: dict[str, Any],
    results: Sequence[ClipResult],
    *,
    higher_is_better: dict[str, bool],
    compared: Comparison | None,
    processes: int,
) -> None:
    """Leave the numbers, and everything they depend on, in the folder of the run."""
    rows = [result.row() for result in results]
    config = manifest["config"]
    record = {
        "model": config["model"]["name"],
        "metrics": numbers(results[-1].values),
        "hole": results[-1].hole,
        "frames_per_second": _finite(rows[-1]["frames_per_second"]),
        "higher_is_better": higher_is_better,
        "clips": [numbers(row) for row in rows[:-1]],
        "protocol": compared.record() if compared is not None else None,
        "seeds": {"masks": config["data"]["seed"]},
        "flow": provenance.flows({key: config[key] for key in ("model", "metrics")}),
        "machine": provenance.machine(processes=processes),
        **{key: manifest[key] for key in ("weights", "versions", "git", "job", "choices", "overrides", "config")},
    }
    write_csv(folder.path / "results.csv", rows)
    write_beside(folder.path / "results.json", json.dumps(record, indent=2) + "\n")


def _finite(value: Any) -> float | None:
    return None if math.isnan(value) else float(value)


if __name__ == "__main__":
    main()
