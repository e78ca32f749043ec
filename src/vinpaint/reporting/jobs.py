"""The jobs below a folder, and the rows of the table that they make: one row per setting, over all its seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vinpaint.errors import UserError
from vinpaint.job_record import RESULT, read_results

COMPLETED = "completed"
_SEEDS = ("seed", "data.seed")
_PARTS = ("data", "mask", "size", "split", "dilation", "limit_clips", "limit_frames", "protocol")
_OWN = ("paths.", "sweep.resume", "resume", "progress", "processes")  # nothing that is measured depends on these


@dataclass(frozen=True)
class Job:
    """One run and everything its record says.

    Attributes:
        folder: of the run; paths in ``record["files"]`` are relative to it.
        record: as read from ``result.json``.
    """

    folder: Path
    record: Mapping[str, Any]

    @property
    def number(self) -> int:
        """Of the job in its sweep."""
        return int(self.record["job"])

    @property
    def status(self) -> str:
        """How it ended; ``running`` is what a killed job leaves."""
        return str(self.record["status"])

    @property
    def failed(self) -> bool:
        """Whether it left no result."""
        return self.status != COMPLETED

    @property
    def metrics(self) -> dict[str, float]:
        """Its results over all clips, without those that have no value."""
        return {name: float(value) for name, value in (self.record["metrics"] or {}).items() if value is not None}

    @property
    def sweep(self) -> Mapping[str, Any]:
        """The published table that it belongs to; empty where it belongs to none."""
        return self.record["sweep"] or {}

    @property
    def settings(self) -> list[str]:
        """Its overrides without seeds and without what no number depends on."""
        return [o for o in self.record["overrides"] if not _key(o).startswith(_OWN) and _key(o) not in _SEEDS]

    @property
    def seeds(self) -> str:
        """The seeds of its training and of its holes, as text."""
        seeds = self.record["seeds"]
        return "/".join(
            dict.fromkeys(str(seeds[name]) for name in ("training", "masks") if seeds.get(name) is not None)
        )

    def measured(self, column: str) -> float | None:
        """A number of the job by the name of a column.

        Args:
            column: a metric, ``frames_per_second``, ``seconds``, ``memory_gb`` or ``peak_gpu_gb``.
        """
        memory = self.record["peak_memory"] or {}
        if column == "memory_gb":
            return _gigabytes(memory.get("process_bytes"))
        if column == "peak_gpu_gb":
            return _gigabytes(memory.get("gpu_bytes"))
        if column in ("frames_per_second", "seconds"):
            value = self.record[column]
            return None if value is None else float(value)
        return self.metrics.get(column)


@dataclass(frozen=True)
class Statistic:
    """A number over the seeds of a row.

    Attributes:
        values: one per job.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Their mean."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """Their standard deviation as estimated from a sample; none of a single value."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Row:
    """The jobs of one setting beside the published numbers of the same.

    Attributes:
        name: what the row is called, in the published table if there is one.
        group: the part of the table, such as a resolution; empty for none.
        jobs: one per seed; none where a row is published only.
        published: by column.
    """

    name: str
    group: str = ""
    jobs: Sequence[Job] = ()
    published: Mapping[str, float] = field(default_factory=dict)

    @property
    def finished(self) -> list[Job]:
        """The jobs that left a result."""
        return [job for job in self.jobs if not job.failed]

    @property
    def label(self) -> str:
        """Name and group."""
        return f"{self.name} · {self.group}" if self.group else self.name

    def measured(self, column: str) -> Statistic | None:
        """Bring the jobs' numbers together; none where no job has one."""
        values = [job.measured(column) for job in self.finished]
        known = tuple(value for value in values if value is not None and math.isfinite(value))
        return Statistic(known) if known else None


def load_jobs(folder: Path) -> list[Job]:
    """Read all jobs in and below a folder, by number.

    Raises:
        UserError: if there are none.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give that of a sweep or of one run")
    jobs = [Job(Path(record["folder"]), record) for record in read_results(folder)]
    if not jobs:
        raise UserError(f"{folder}: no job left a {RESULT} here; give the folder of a sweep or of one run")
    return jobs


def make_rows(jobs: Sequence[Job]) -> list[Row]:
    """Group the jobs of one table over their seeds.

    Rows stand in the order of the published ones where there are any. Jobs that no published row names are called by
    the overrides in which they differ; other clips, holes or sizes make another part of the table, as numbers over them
    do not compare.

    Args:
        jobs: of one sweep.
    """
    shared = [o for o in jobs[0].settings if all(o in job.settings for job in jobs)]
    several = len({tuple(map(_key, job.settings)) for job in jobs}) > 1  # then values alone would not tell
    grouped: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        own = [o for o in job.settings if o not in shared]
        names = [o if several else o.partition("=")[2] for o in own if not _is_part(o)]
        parts = [o if several else o.partition("=")[2] for o in own if _is_part(o)]
        name = job.sweep.get("row") or " · ".join(names) or str(job.record["model"])
        grouped.setdefault((str(name), str(job.sweep.get("group") or " · ".join(parts))), []).append(job)
    rows = []
    for published in jobs[0].sweep.get("rows", ()):
        key = (str(published["name"]), str(published["group"] or ""))
        values = {name: float(value) for name, value in published["values"].items() if value is not None}
        rows.append(Row(*key, jobs=grouped.pop(key, ()), published=values))
    rows += [Row(*key, jobs=own_jobs) for key, own_jobs in grouped.items()]
    order = list(dict.fromkeys(row.group for row in rows))
    return sorted(rows, key=lambda row: order.index(row.group))


def _is_part(override: str) -> bool:
    key = _key(override)
    return key in _PARTS or key.startswith("data.")


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _gigabytes(count: int | None) -> float | None:
    return None if count is None else count / 1e9
