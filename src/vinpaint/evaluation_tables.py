"""Results as tables: per clip, and one table over all jobs of a sweep."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vinpaint.evaluation_records import write_beside
from vinpaint.job_record import read_results

Row = Mapping[str, Any]


def markdown(rows: Sequence[Row], *, higher_is_better: Mapping[str, bool] | None = None) -> str:
    """Lay rows out as a Markdown table, columns aligned, arrows saying which way is better.

    Args:
        rows: column name to text, number or none; the columns of the first row come first, in its order.
        higher_is_better: for the columns that have a better and a worse.
    """
    columns = _columns(rows)
    arrows = {name: " ↑" if higher else " ↓" for name, higher in (higher_is_better or {}).items()}
    header = [name + arrows.get(name, "") for name in columns]
    numeric = [all(not isinstance(row.get(name), str) for row in rows) for name in columns]
    body = [[_text(row.get(name)) for name in columns] for row in rows]
    widths = [max(len(line[column]) for line in (header, *body)) for column in range(len(header))]
    rule = ["-" * (w - 1) + ":" if n else "-" * w for w, n in zip(widths, numeric, strict=True)]
    lines = [
        [cell.rjust(w) if n else cell.ljust(w) for cell, w, n in zip(line, widths, numeric, strict=True)]
        for line in (header, rule, *body)
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_csv(file: Path, rows: Sequence[Row]) -> None:
    """Write rows with full precision; what a row lacks stays empty."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=_columns(rows))
    writer.writeheader()
    writer.writerows(rows)
    write_beside(file, text.getvalue())


def combine(sweep: Path) -> str:
    """Make one table of all jobs of a sweep that have finished, and leave it there as table.md and table.csv.

    Args:
        sweep: the folder that holds the jobs' folders, each with its result.json.

    Returns:
        The table in Markdown: model, mask, data, the overrides in which jobs differ, metrics, frames per second.
    """
    jobs = [job for job in read_results(sweep) if job["status"] == "completed" and job["metrics"] is not None]
    shown = {"model", "mask", "data"}
    overrides = [[o for o in job["overrides"] if o.partition("=")[0].lstrip("+~") not in shown] for job in jobs]
    rows = []
    for job, own in zip(jobs, overrides, strict=True):
        differ = [o for o in own if not all(o in others for others in overrides)]
        choices = {key: job["choices"].get(key, "") for key in ("model", "mask", "data")}
        speed = {"frames_per_second": job["frames_per_second"]}
        rows.append({**choices, "overrides": shlex.join(differ), **job["metrics"], **speed})
    if not any(row["overrides"] for row in rows):
        rows = [{key: value for key, value in row.items() if key != "overrides"} for row in rows]
    # A metric that only some jobs have stands after those of the first, frames per second after all.
    last = "frames_per_second"
    columns = [name for name in _columns(rows) if name != last] + [last]
    rows = [{name: row.get(name) for name in columns} for row in rows]
    better = {key: value for job in jobs for key, value in job["higher_is_better"].items()}
    table = markdown(rows, higher_is_better=better)
    write_beside(sweep / "table.md", table + "\n")
    write_csv(sweep / "table.csv", rows)
    return table


def _columns(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.5g}"
