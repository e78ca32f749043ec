"""The command ``vinpaint-report``: the results of a sweep in, tables and a page out."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from vinpaint.command import command
from vinpaint.config import ConfigError
from vinpaint.errors import UserError
from vinpaint.evaluation_records import write_beside
from vinpaint.evaluation_tables import write_csv
from vinpaint.reporting.jobs import load_jobs
from vinpaint.reporting.media import Shelf
from vinpaint.reporting.page import render
from vinpaint.reporting.tables import make_tables
from vinpaint.reporting.text import as_latex, as_markdown, csv_rows


def report(config: DictConfig) -> None:
    """Turn the results of a sweep into tables, with published numbers beside ours, and into one page.

    vinpaint-report outputs/sttn_table3/…                  all jobs in and below a folder, failed ones too
    vinpaint-report outputs/sttn_table3/… clips=8 max_megabytes=60   more to look at

    Writes report.md, report.csv, report.tex (booktabs) and report.html into the folder `report` of the sweep. The page
    holds its pictures and videos and works from a file, without a network.
    """
    if OmegaConf.is_missing(config, "folder"):
        raise UserError("which results? give the folder of a sweep or of one run, such as outputs/evaluate/<time>")
    for key in ("clips", "frames", "max_megabytes"):
        if config[key] < 0:
            raise ConfigError(f"{key}={config[key]}: expected 0 or more")
    folder = Path(config.folder).expanduser()
    output = Path(config.output).expanduser() if config.output is not None else folder / "report"
    jobs = load_jobs(folder)
    tables = make_tables(jobs)
    shelf = Shelf(max_bytes=round(config.max_megabytes * 1e6))
    title = config.title or tables[0].name or folder.resolve().name
    html = render(jobs, tables, title=title, shelf=shelf, num_clips=config.clips, num_frames=config.frames)
    text = as_markdown(tables)
    output.mkdir(parents=True, exist_ok=True)
    write_beside(output / "report.html", html)
    write_beside(output / "report.md", f"# {title}\n\n{text}")
    write_beside(output / "report.tex", as_latex(tables))
    write_csv(output / "report.csv", csv_rows(tables))
    print(text)
    failed = [job for job in jobs if job.failed]
    for job in failed:
        error = job.record["error"]
        print(f"job {job.number} {job.status}: {error['message'] if error else 'no error was left'}")
    print(f"{len(jobs)} jobs, {len(failed)} without a result; {len(html) / 1e6:.1f} MB in {output / 'report.html'}")
    if shelf.left_out:
        print(f"{shelf.left_out} pictures and videos are left out: max_megabytes={config.max_megabytes} is reached")


_run = command("report")(report)


@functools.wraps(_run)
def main() -> None:
    """Take a folder given without its name for what it is, then run as every command does."""
    quoted = ("\\'".join(argument.split("'")) for argument in sys.argv[1:])
    sys.argv[1:] = [
        argument if argument.startswith("-") or "=" in argument else f"folder='{text}'"
        for argument, text in zip(sys.argv[1:], quoted, strict=True)
    ]
    _run()


if __name__ == "__main__":
    main()
