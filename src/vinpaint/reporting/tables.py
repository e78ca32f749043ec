"""A table like a paper's: our numbers over the seeds, the published ones beside them, the difference, the best."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vinpaint.reporting.jobs import Job, Row, Statistic, make_rows

COST = {"frames_per_second": "frames/s", "seconds": "time (s)", "memory_gb": "memory (GB)"}
"""Columns that every job has besides its metrics, and what they are called."""

_HIGHER = {
    **{"frames_per_second": True, "seconds": False, "memory_gb": False, "peak_gpu_gb": False},
    **{"psnr": True, "ssim": True, "l1": False, "vfid": False, "warp_error": False},  # where they are only published
}


@dataclass(frozen=True)
class Column:
    """One measured quantity.

    Attributes:
        key: its name among the results.
        higher: whether higher is better; none where neither way is.
        digits: behind the decimal point, the same in all rows.
        published: the name of the published column beside it; none where nothing is published.
        comparable: whether the published one was measured alike, as far as its name tells.
    """

    key: str
    higher: bool | None
    digits: int
    published: str | None = None
    comparable: bool = True

    @property
    def label(self) -> str:
        """What the head of the column says."""
        return COST.get(self.key, self.key)

    @property
    def arrow(self) -> str:
        """Which way is better."""
        return "" if self.higher is None else "↑" if self.higher else "↓"

    def text(self, value: float) -> str:
        """A value with the column's digits and a true minus sign."""
        return f"{value:.{self.digits}f}".replace("-", "−")

    def signed(self, value: float) -> str:
        """A difference with its sign."""
        return f"{value:+.{self.digits}f}".replace("-", "−")


@dataclass(frozen=True)
class Cell:
    """What a row has in a column.

    Attributes:
        ours: over the seeds; none where it was not measured.
        published: none where nothing is published.
        difference: ours less the published; none where the two do not compare.
        best: whether ours is the best of its column.
        published_best: whether the published one is the best of its column.
    """

    ours: Statistic | None
    published: float | None
    difference: float | None
    best: bool
    published_best: bool


class Table:
    """The rows of one sweep.

    Args:
        jobs: of that sweep, at least one.

    Attributes:
        alike: whether no condition of the published table is known to be broken.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        sweep = jobs[0].sweep
        self.name = str(sweep.get("name") or "")
        self.title = str(sweep.get("title") or "Results")
        self.source = str(sweep.get("source") or "")
        self.remarks = [str(remark) for remark in sweep.get("remarks", ())]
        self.rows = make_rows(jobs)
        self.columns = list(_columns(self.rows, jobs, list(sweep.get("columns", ()))))
        reasons = _reasons(jobs)
        self.alike = not reasons
        self.remarks += _footnotes(self.columns, jobs)
        self.remarks += [f"not comparable with the published numbers: {'; '.join(reasons)}"] if reasons else []

    @property
    def grouped(self) -> bool:
        """Whether the rows stand in named parts."""
        return any(row.group for row in self.rows)

    def cell(self, row: Row, column: Column) -> Cell:
        """Look up one cell."""
        ours, published = row.measured(column.key), row.published.get(column.published or "")
        compared = ours is not None and published is not None and column.comparable
        return Cell(
            ours=ours,
            published=published,
            difference=ours.mean - published if compared and ours is not None and published is not None else None,
            best=ours is not None and self._best(row, column, ours.mean, ours=True),
            published_best=published is not None and self._best(row, column, published, ours=False),
        )

    def _best(self, row: Row, column: Column, value: float, *, ours: bool) -> bool:
        """Whether some row of the same part prints a worse value and none a better one."""
        if column.higher is None:
            return False
        shown = []
        for other in self.rows:
            if other.group == row.group:
                found = other.measured(column.key) if ours else other.published.get(column.published or "")
                shown += [found.mean if isinstance(found, Statistic) else found] if found is not None else []
        sign = 1 if column.higher else -1
        printed = [round(sign * other, column.digits) for other in shown]
        return min(printed) < max(printed) == round(sign * value, column.digits)


def make_tables(jobs: Sequence[Job]) -> list[Table]:
    """One table per published table that jobs belong to, and one of all the others."""
    parts: dict[str, list[Job]] = {}
    for job in jobs:
        parts.setdefault(str(job.sweep.get("name") or ""), []).append(job)
    return [Table(part) for part in parts.values()]


def _columns(rows: Sequence[Row], jobs: Sequence[Job], published: list[str]) -> Iterator[Column]:
    """The published columns first, in their order, then our other metrics, then what the jobs cost."""
    higher: dict[str, bool | None] = {k: v for job in jobs for k, v in job.record["higher_is_better"].items()}
    metrics = list(dict.fromkeys(name for job in jobs if not job.failed for name in job.metrics))
    beside = {name: _ours(name, metrics) for name in published}
    keys = [ours or name for name, ours in beside.items()]
    keys += [key for key in [*metrics, *COST] if key not in keys]
    back = {ours: name for name, ours in beside.items() if ours is not None}
    for key in keys:
        name = back.get(key, key if key in published else None)
        values = [found.mean for row in rows if (found := row.measured(key)) is not None]
        values += [row.published[name] for row in rows if name is not None and name in row.published]
        if not values:
            continue
        better = higher.get(key, _HIGHER.get(key))
        if better is None and name is not None:
            better = next((v for k, v in higher.items() if k.startswith(f"{name}_")), None)
        yield Column(key, better, _digits(values), name, comparable=name is None or name == key)


def _ours(published: str, metrics: Sequence[str]) -> str | None:
    """The metric of ours that stands beside a published one: of its name, else of its family over whole frames."""
    if published in metrics or published == "peak_gpu_gb":
        return published
    family = [name for name in metrics if name.startswith(f"{published}_") and not name.endswith("_hole")]
    return family[0] if family else None


def _digits(values: Sequence[float]) -> int:
    """Four significant digits of the largest value, at least two behind the point."""
    largest = max(abs(value) for value in values)
    if not math.isfinite(largest) or largest == 0:
        return 2
    return min(max(3 - math.floor(math.log10(largest)), 2), 8)


def _footnotes(columns: Sequence[Column], jobs: Sequence[Job]) -> list[str]:
    notes = [
        f"{column.key} and the published {column.published} are of one family but measured differently: no difference"
        for column in columns
        if not column.comparable
    ]
    over = sorted({str(job.record["measured_by"]) for job in jobs if job.record["measured_by"]})
    if over == ["validation"]:
        notes.append("numbers are of the last validation during training")
    elif len(over) > 1:
        notes.append("some numbers are of evaluated clips, others of the last validation during training")
    return notes


def _reasons(jobs: Sequence[Job]) -> list[str]:
    """Why the jobs' numbers do not compare with the published ones, each reason once."""
    protocols = [job.record["protocol"] or {} for job in jobs]
    reasons = [reason for protocol in protocols for reason in protocol.get("reasons", ())]
    for protocol in protocols:
        for metric, own in protocol.get("metric_reasons", {}).items():
            reasons += [f"{metric}: {reason}" for reason in own]
    return list(dict.fromkeys(reasons))
