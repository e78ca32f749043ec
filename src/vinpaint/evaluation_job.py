"""One evaluation from its configuration to its numbers: clip by clip, resumable, laid beside what is published."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vinpaint import provenance
from vinpaint.config import ConfigError, build
from vinpaint.data import EvaluationSet
from vinpaint.data.shards import shard_of
from vinpaint.errors import UserError
from vinpaint.evaluation_pictures import found_pictures
from vinpaint.evaluation_records import EvaluationFolder, check_same, comparable, merge, numbers
from vinpaint.evaluation_tables import markdown, write_csv
from vinpaint.evaluation_workers import Failure, measure
from vinpaint.metrics import VideoMetricCollection
from vinpaint.protocols import Protocol


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation found.

    Attributes:
        value: the first metric over all clips.
        text: its tables, to be printed.
        facts: fields of the job's record.
    """

    value: float
    text: str
    facts: dict[str, Any]


def run_evaluation(
    config: DictConfig,
    folder: EvaluationFolder,
    *,
    described: Mapping[str, Any],
    resume: str | None,
    go_on: str,
) -> Evaluated:
    """Measure every clip that has no record yet, and bring all of them together.

    Args:
        config: as composed from ``evaluate.yaml``.
        folder: where records, pictures and ``results.csv`` are left.
        described: what else to write down of the job when it begins, such as its overrides.
        resume: the folder that the user asked to go on with, or none to begin anew; an evaluation that is not there
            yet begins.
        go_on: what to type to go on where this run stops, for messages.

    Raises:
        UserError: if the clips, the model or the metrics cannot be made, if what is resumed is another evaluation, if
            beginning anew would throw away what an unfinished one has measured, or after the last clip if some failed.
    """
    measured, all_clips = folder.measured()
    if resume is None and 0 < measured < all_clips:
        raise UserError(
            f"{folder.path} holds {measured} of {all_clips} clips of an unfinished evaluation, which beginning anew "
            f"would throw away; go on with {go_on}, or begin in another folder"
        )
    manifest = _begin(config, folder, described, resume=resume)
    names: list[str] = manifest["clips"]
    metrics = VideoMetricCollection(build(config.metrics))
    failures = _measure(config, folder, names, range(len(names)), go_on=go_on)
    if failures:
        raise UserError(_failed(failures, names, go_on))
    records = [record for index, name in enumerate(names) if (record := folder.load(index, name)) is not None]
    overall = merge(records, metrics)
    rows = [result.row() for result in [*(record.result for record in records), overall]]
    better = metrics.higher_is_better
    text, compared = markdown(rows, higher_is_better=better), None
    if config.protocol is not None:
        protocol: Protocol = build(config.protocol)
        compared = protocol.compare(manifest["config"], overall.values, model=config.model.name, clips=names)
        text += f"\n\n{compared.text(better)}\n"
    write_csv(folder.path / "results.csv", rows)
    speed = rows[-1]["frames_per_second"]
    facts = {
        "measured_by": "evaluation",
        "metrics": numbers(overall.values),
        "higher_is_better": better,
        "hole": overall.hole,
        "frames_per_second": None if isinstance(speed, float) and math.isnan(speed) else speed,
        "clips": [numbers(row) for row in rows[:-1]],
        "protocol": compared.record() if compared is not None else None,
        "flow": provenance.flows({key: manifest["config"][key] for key in ("model", "metrics")}),
        "weights": manifest["weights"],
        "files": _files(folder.path, names),
        **{key: manifest[key] for key in described},
    }
    return Evaluated(next(iter(overall.values.values()), 0.0), text, facts)


def measure_shard(config: DictConfig, folder: EvaluationFolder, *, described: Mapping[str, Any], go_on: str) -> str:
    """Measure one worker's share of the clips; all workers leave their records in the same folder.

    Args:
        config: as composed from ``evaluate.yaml``; ``shard`` says which share.
        folder: of the evaluation; the first worker begins it, the others take it up.
        described: see :func:`run_evaluation`.
        go_on: what to type to have the numbers made when all is measured.

    Returns:
        How far the evaluation is.

    Raises:
        UserError: see :func:`run_evaluation`.
    """
    begun = folder.manifest() is not None
    names: list[str] = _begin(config, folder, described, resume=str(folder.path) if begun else None)["clips"]
    own = shard_of(range(len(names)), index=config.shard.index, count=config.shard.count)
    failures = _measure(config, folder, names, own, go_on=go_on)
    if failures:
        raise UserError(_failed(failures, names, go_on))
    done = len(names) - len(folder.missing(names))
    return f"{done} of {len(names)} clips are measured; when all are, {go_on} brings them together"


def _begin(
    config: DictConfig, folder: EvaluationFolder, described: Mapping[str, Any], *, resume: str | None
) -> dict[str, Any]:
    """Start an evaluation, or take up the one that is to be resumed."""
    if config.processes < 1:
        raise ConfigError(f"processes={config.processes}: expected 1 or more")
    if config.limit_clips is not None and config.limit_clips < 1:
        raise ConfigError(f"limit_clips={config.limit_clips}: expected 1 or more, or null for all")
    _check_data(config)
    clips: EvaluationSet = build(config.data).evaluation_set(config.split)
    plain = comparable(config)
    manifest = {
        **described,
        "clips": [source.name for source in clips.clips][: config.limit_clips],
        "weights": provenance.weight_digests({key: plain.get(key) for key in ("weights", "model", "metrics")}),
        "versions": provenance.versions(),
        "git": provenance.git_hash(),
        "config": plain,
    }
    earlier = folder.manifest() if resume is not None else None
    if earlier is None:
        folder.begin(manifest)
        return manifest
    check_same(earlier["config"], plain, folder=Path(str(resume)))
    for what in ("clips", "weights"):
        if earlier[what] != manifest[what]:
            raise UserError(f"resume={resume}: the {what} are not those it was begun with; begin anew")
    for what in ("versions", "git"):
        if earlier[what] != manifest[what]:
            warnings.warn(f"resume={resume} was begun with other {what}; its numbers mix both", stacklevel=2)
    return earlier


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


def _measure(
    config: DictConfig, folder: EvaluationFolder, names: Sequence[str], wanted: Sequence[int], *, go_on: str
) -> dict[int, Failure]:
    """Measure what is missing, and show how far it is."""
    missing, failures = [index for index in folder.missing(names) if index in wanted], {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    shown = Progress(*columns, console=Console(stderr=True), transient=True, disable=not config.progress)
    try:
        with shown:
            task = shown.add_task(str(config.model.name), total=len(wanted), completed=len(wanted) - len(missing))
            for index, failure in measure(config, folder, missing, processes=config.processes):
                if failure is not None:
                    failures[index] = failure
                shown.advance(task)
    except KeyboardInterrupt:
        done = len(names) - len(folder.missing(names))
        print(f"{done} of {len(names)} clips are measured and kept; go on with {go_on}", file=sys.stderr)
        raise
    return failures


def _files(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """What is there to look at, as paths relative to the folder."""
    kept = {"clips": "clips"} if (folder / "clips").is_dir() else {}
    return {**found_pictures(folder, names), **kept}


def _failed(failures: Mapping[int, Failure], names: Sequence[str], go_on: str) -> str:
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
        f"when that is mended, go on with {go_on}"
    )
