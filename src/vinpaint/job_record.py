"""What every job leaves of itself: one ``result.json``, whether it ends well, fails, is interrupted or killed."""

from __future__ import annotations

import json
import math
import os
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from vinpaint import provenance
from vinpaint.errors import UserError
from vinpaint.evaluation_records import FREE, is_free, write_beside
from vinpaint.published_rows import published

RESULT = "result.json"
_SCHEMA = 1
_TRACEBACK_LINES = 30
_RANKS = ("RANK", "SLURM_PROCID", "LOCAL_RANK")


class JobRecord:
    """The record of the job that is running, written when the block is entered and again when it is left.

    A job that is killed leaves the first one, with the status ``running``. An exception that leaves the block is
    written down; alone it goes on, in a sweep it ends here, so that the other jobs run and the end of the sweep tells
    (:class:`vinpaint.sweeps.SweepEnd`). Of several processes that train together, the first one writes.

    Args:
        command: name of the console command.
        config: the composed configuration; ``paths.output_dir`` and ``sweep`` are read, all of it is kept.
    """

    def __init__(self, command: str, config: DictConfig) -> None:
        hydra = HydraConfig.get()
        self.folder = Path(config.paths.output_dir)
        self.sweeping = hydra.mode == RunMode.MULTIRUN
        here = config.copy()
        here.paths.output_dir = "."  # so that two runs of one configuration say the same
        plain: dict[str, Any] = json.loads(json.dumps(OmegaConf.to_container(here, resolve=True)))
        choices = {key: value for key, value in hydra.runtime.choices.items() if not key.startswith("hydra/")}
        sweep = plain.pop("sweep")
        self.facts: dict[str, Any] = {
            "schema": _SCHEMA,
            "status": "running",
            "command": command,
            "job": hydra.job.num if self.sweeping else 0,
            "overrides": list(hydra.overrides.task),
            "choices": choices,
            "config": {key: value for key, value in plain.items() if key not in FREE},
            "sweep": published(sweep, choices, plain) if sweep["name"] is not None else None,
            "seeds": {"training": plain["seed"], "masks": plain["data"]["seed"]},
            "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "seconds": None,
            "peak_memory": None,
            "versions": provenance.versions(),
            "git": provenance.git_hash(),
            "machine": provenance.machine(processes=plain.get("processes", 1)),
            "error": None,
            "model": plain["model"]["name"],
            "measured_by": None,
            "metrics": None,
            "higher_is_better": {},
            "hole": None,
            "frames_per_second": None,
            "clips": [],
            "protocol": None,
            "weights": {},
            "flow": {},
            "training": None,
            "files": {},
        }
        self._writes = all(os.environ.get(rank, "0") == "0" for rank in _RANKS)

    def earlier(self) -> dict[str, Any] | None:
        """The finished record of this very job that an earlier start of the sweep left in its folder; else none.

        Raises:
            UserError: if the folder holds the record of another job.
        """
        found = _read(self.folder / RESULT) if (self.folder / RESULT).is_file() else None
        if found is None:
            return None
        ours, theirs = ({o for o in job["overrides"] if not is_free(o)} for job in (self.facts, found))
        if ours != theirs:
            differ = ", ".join(sorted(ours ^ theirs))
            raise UserError(
                f"{self.folder} was begun with other options ({differ}); a sweep goes on with its own command line "
                "and sweep.resume=<its folder>"
            )
        return found if found["status"] == "completed" else None

    def note(self, **facts: Any) -> None:
        """Add what the job has found.

        Args:
            **facts: values of the record's fields, plain ones; those of ``files`` are added to the earlier ones.
        """
        unknown = sorted(set(facts) - set(self.facts))
        if unknown:
            raise KeyError(f"no field of a record: {', '.join(unknown)}; choose of {', '.join(self.facts)}")
        files = {**self.facts["files"], **facts.pop("files", {})}
        self.facts.update(facts, files=files)

    def __enter__(self) -> JobRecord:
        self._begun = time.perf_counter()
        forget_peak()
        self._write()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.facts["seconds"] = time.perf_counter() - self._begun
        self.facts["peak_memory"] = peak_memory()
        if error is None:
            self.facts["status"] = "completed"
        else:
            self.facts["status"] = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            lines = "".join(traceback.format_exception(kind, error, trace)).splitlines()
            self.facts["error"] = {
                "type": type(error).__name__,
                "message": " ".join(str(error).split()),
                "traceback": lines[-_TRACEBACK_LINES:],
            }
        self._write()
        if not self.sweeping or not isinstance(error, Exception):
            return False
        if not isinstance(error, UserError | OSError):
            traceback.print_exception(kind, error, trace)
        return True  # the other jobs go on

    def _write(self) -> None:
        if self._writes:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_beside(self.folder / RESULT, json.dumps(_finite(self.facts), indent=2, ensure_ascii=False) + "\n")


def read_results(folder: Path) -> list[dict[str, Any]]:
    """Read the records of all jobs in and below a folder.

    Args:
        folder: of a sweep or of one run.

    Returns:
        The records by job number, each with the path of its folder under ``folder``.

    Raises:
        UserError: if a record is damaged.
    """
    found = [{**_read(file), "folder": str(file.parent)} for file in folder.rglob(RESULT)]
    return sorted(found, key=lambda job: (job["job"], job["folder"]))


def peak_memory() -> dict[str, int | None]:
    """The most memory that this process has held since its job began, in bytes.

    Returns:
        ``process_bytes`` (null where the system does not tell) and ``gpu_bytes`` (of the fullest GPU, null without).
    """
    process: int | None = None
    if sys.platform != "win32":
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    status = Path("/proc/self/status")
    if status.is_file():  # unlike the line above, it can be set back between the jobs of one process
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                process = int(line.split()[1]) * 1024
    gpu: int | None = None
    if torch.cuda.is_available():
        gpu = max(torch.cuda.max_memory_allocated(index) for index in range(torch.cuda.device_count()))
    return {"process_bytes": process, "gpu_bytes": gpu}


def forget_peak() -> None:
    """Let the peaks start from what is held now: the jobs of a sweep share a process.

    Where there is no Linux, or it does not allow it, the peak stays that of the process.
    """
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(index)


def _read(file: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is not JSON ({error}); delete it to have its job run again") from error
    return record


def _finite(value: Any) -> Any:
    """JSON knows neither NaN nor infinity: what has no value is null."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
