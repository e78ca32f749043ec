"""Numbers of a run in one file, however many parts it was trained in."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only


class CSVLog(CSVLogger):
    """Lightning's ``CSVLogger``, but that a resumed run goes on with the file of the part before.

    Lightning deletes that file. Here :meth:`keep_earlier` keeps its rows up to where the new part begins, and by
    default every row is written at once, so that a killed process loses none.

    Args:
        save_dir: folder of ``metrics.csv``; of folders in it, if there are the next two.
        name: of a folder in it; empty for none.
        version: of a folder in that; empty for none.
        flush_logs_every_n_steps: a row is written at updates that this divides.
    """

    def __init__(
        self, *, save_dir: str | Path, name: str = "", version: str = "", flush_logs_every_n_steps: int = 1
    ) -> None:
        super().__init__(save_dir, name, version, flush_logs_every_n_steps=flush_logs_every_n_steps)
        self._begun = True

    @rank_zero_only
    def keep_earlier(self) -> None:
        """Go on with the file that is there, before anything is logged."""
        file = Path(self.log_dir) / "metrics.csv"
        kept = file.with_name(f".{file.name}.partial")
        if file.is_file():
            os.replace(file, kept)
        elif not kept.is_file():  # it is where a process was killed in the middle of this
            return
        writer = self.experiment  # would delete it
        os.replace(kept, file)
        writer.metrics_keys = list(_read(file)[0])
        self._begun = False

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Take numbers of an update; the first ones of a part replace what an abandoned part logged from there on."""
        if not self._begun and step is not None:
            _cut(Path(self.log_dir) / "metrics.csv", step)
            self._begun = True
        super().log_metrics(dict(metrics), step)


def _read(file: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Names of the columns and all whole rows; a killed process may have left half a row."""
    whole, newline, _ = file.read_text().rpartition("\n")
    reader = csv.DictReader(io.StringIO(whole + newline))
    return list(reader.fieldnames or []), list(reader)


def _cut(file: Path, step: int) -> None:
    """Keep the rows of earlier updates."""
    columns, rows = _read(file)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(row for row in rows if int(row["step"]) < step)
    kept = file.with_name(f".{file.name}.partial")
    kept.write_text(text.getvalue(), newline="")
    os.replace(kept, file)
