"""The end of a sweep: one table of its jobs, and which of them failed and why."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from vinpaint.evaluation_tables import combine
from vinpaint.job_record import read_results


class SweepEnd(Callback):
    """Writes ``table.md`` and ``table.csv`` when all jobs have ended, and fails the command if one of them did."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Read the records of the jobs, wherever they ran.

        Raises:
            SystemExit: if a job did not finish; of exceptions Hydra would make warnings.
        """
        sweep = Path(config.hydra.sweep.dir)
        jobs = read_results(sweep)
        if not jobs:
            return
        command = jobs[0]["command"]
        if any(job["status"] == "completed" for job in jobs):
            print(f"\n{sweep}\n{combine(sweep)}")
        unfinished = [job for job in jobs if job["status"] != "completed"]
        if not unfinished:
            return
        shared = set.intersection(*(set(job["overrides"]) for job in jobs)) if len(jobs) > 1 else set()
        told = "; ".join(_reason(job, shared) for job in unfinished[:3])
        more = f"; and {len(unfinished) - 3} more" if len(unfinished) > 3 else ""
        print(
            f"{command}: {len(unfinished)} of {len(jobs)} jobs failed: {told}{more}; when that is mended, run only "
            f"these with the same command and sweep.resume={sweep}",
            file=sys.stderr,
        )
        raise SystemExit(2)


def _reason(job: dict[str, Any], shared: set[str]) -> str:
    own = [override for override in job["overrides"] if override not in shared]
    why = job["error"]["message"] if job["error"] is not None else "its process was ended from outside"
    return f"job {job['job']} ({shlex.join(own)}): {why}"
