"""One page that holds everything: it works from a file, without a server or a network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from vinpaint._version import __version__
from vinpaint.reporting.jobs import Job, Row
from vinpaint.reporting.media import Shelf, clip_pages, left_pictures
from vinpaint.reporting.plots import hole_plots, legend, row_plots
from vinpaint.reporting.tables import Column, Table


def render(
    jobs: Sequence[Job], tables: Sequence[Table], *, title: str, shelf: Shelf, num_clips: int, num_frames: int
) -> str:
    """Make the page.

    Args:
        jobs: all jobs, failed ones too.
        tables: the same jobs as tables.
        title: of the page.
        shelf: takes pictures and videos; how many did not fit is known from it afterwards.
        num_clips: clips with pictures, of every table.
        num_frames: stills of every clip.

    Returns:
        The HTML. What comes from a run (names, overrides, errors) is escaped, and the page's policy lets no script run
        but its own.
    """
    from jinja2 import Environment, StrictUndefined

    room = files("vinpaint.reporting")
    style, script = (room.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    template = room.joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    # Inside a script element entities are not read: the characters that could end it are escaped as JSON knows them.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "ensure_ascii": False, "separators": (",", ":")}
    sections = [_section(table, shelf, num_clips=num_clips, num_frames=num_frames) for table in tables]
    left = [(job_name(job), views) for job in jobs if (views := left_pictures(job, shelf))]
    return environment.from_string(template).render(
        title=title,
        style=style,
        script=script,
        policy=_policy(style, script),
        sections=sections,
        jobs=[(job, job_name(job)) for job in jobs],
        job_columns=_job_columns(tables),
        failed=[(job, job_name(job)) for job in jobs if job.failed],
        counts=_counts(jobs),
        facts=_facts(jobs),
        left=left,
        left_out=shelf.left_out,
        version=__version__,
        data={"media": shelf.addresses, **differences(jobs)},
    )


def differences(jobs: Sequence[Job]) -> dict[str, Any]:
    """What the settings of any two jobs can differ in.

    Returns:
        ``keys``: the dotted names of the values that are not the same in all jobs; ``values``: per job one text per
        key, none where the job has no such key; ``same``: how many values all jobs share.
    """
    flat = [_settings(job) for job in jobs]
    names = list(dict.fromkeys(name for settings in flat for name in settings))
    keys = [name for name in names if len({settings.get(name) for settings in flat}) > 1]
    values = [[settings.get(key) for key in keys] for settings in flat]
    return {"keys": keys, "values": values, "same": len(names) - len(keys)}


def job_name(job: Job) -> str:
    """What a job is called where all are listed."""
    row = " · ".join(str(part) for part in (job.sweep.get("row"), job.sweep.get("group")) if part)
    return f"{job.number}: {row or ' '.join(job.settings) or job.record['model']} (seed {job.seeds})"


def _section(table: Table, shelf: Shelf, *, num_clips: int, num_frames: int) -> dict[str, Any]:
    return {
        "table": table,
        "rows": [(row, [(column, table.cell(row, column)) for column in table.columns]) for row in table.rows],
        "row_plots": row_plots(table),
        "hole_plots": hole_plots(table),
        "legend": legend(table),
        "clips": clip_pages(table, shelf, num_clips=num_clips, num_frames=num_frames),
        "unfinished": [row for row in table.rows if _incomplete(row)],
    }


def _incomplete(row: Row) -> bool:
    return bool(row.jobs) and len(row.finished) < len(row.jobs)


def _job_columns(tables: Sequence[Table]) -> list[Column]:
    """Every column of every table, once."""
    return list({column.key: column for table in tables for column in table.columns}.values())


def _counts(jobs: Sequence[Job]) -> list[tuple[str, int]]:
    told = {"running": "killed or still running"}
    counted: dict[str, int] = {}
    for job in jobs:
        counted[told.get(job.status, job.status)] = counted.get(told.get(job.status, job.status), 0) + 1
    return list(counted.items())


def _facts(jobs: Sequence[Job]) -> list[tuple[str, str]]:
    """What all numbers were made with; several values where jobs differ."""
    machines = [job.record["machine"] for job in jobs if job.record["machine"]]
    facts = {
        "begun": [str(job.record["started"])[:16].replace("T", " ") for job in jobs if job.record["started"]][:1],
        "code": [str(job.record["git"])[:12] for job in jobs if job.record["git"]],
        "torch": [str(job.record["versions"]["torch"]) for job in jobs if job.record["versions"].get("torch")],
        "machine": [str(machine.get("gpu") or f"{machine.get('processors')} processors") for machine in machines],
    }
    return [(name, ", ".join(dict.fromkeys(values))) for name, values in facts.items() if values]


def _settings(job: Job) -> dict[str, str]:
    """The job's configuration with what else made its numbers, flat and as text; its own folder has no name."""
    folder = str(job.record["config"].get("paths", {}).get("output_dir", job.folder))
    versions = {f"versions.{name}": version for name, version in job.record["versions"].items()}
    leaves = {**dict(_leaves(job.record["config"])), "git": job.record["git"], **versions}
    texts = {name: json.dumps(value, ensure_ascii=False) for name, value in leaves.items()}
    return {name: text.replace(folder, "<folder of the job>") for name, text in texts.items()}


def _leaves(node: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in node.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        found += _leaves(value, name) if isinstance(value, Mapping) and value else [(name, value)]
    return found


def _policy(style: str, script: str) -> str:
    """Let the browser run this script and this style, show what the page holds, and fetch nothing."""
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    allowed = f"style-src 'sha256-{digests[0]}'; script-src 'sha256-{digests[1]}'"
    return f"default-src 'none'; img-src data:; media-src data:; {allowed}; base-uri 'none'; form-action 'none'"
