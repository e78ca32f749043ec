from __future__ import annotations

import csv
from pathlib import Path

from vinpaint.callbacks import CSVLog


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _log(logger: CSVLog, *steps: int, loss: float = 1.0) -> None:
    for step in steps:
        logger.log_metrics({"train/loss": loss}, step)


def _log_first_part(folder: Path) -> None:
    first = CSVLog(save_dir=folder)
    _log(first, 0, 1, 2, 3)
    first.log_metrics({"val/psnr": 20.0}, 3)
    first.finalize("success")


def test_a_resumed_run_goes_on_where_its_checkpoint_was(tmp_path: Path) -> None:
    _log_first_part(tmp_path)
    resumed = CSVLog(save_dir=tmp_path)
    resumed.keep_earlier()
    _log(resumed, 2, 3, 4, loss=0.5)
    resumed.log_metrics({"val/ssim": 0.9}, 4)
    resumed.finalize("success")
    rows = _rows(tmp_path)
    assert [(int(row["step"]), row["train/loss"]) for row in rows] == [
        (0, "1.0"), (1, "1.0"), (2, "0.5"), (3, "0.5"), (4, "0.5"), (4, ""),
    ]  # fmt: skip
    assert rows[-1]["val/ssim"] == "0.9"
    assert "val/psnr" in rows[0]


def test_nothing_is_lost_before_the_first_number_of_a_resumed_run(tmp_path: Path) -> None:
    _log_first_part(tmp_path)
    before = _rows(tmp_path)
    CSVLog(save_dir=tmp_path).keep_earlier()
    assert _rows(tmp_path) == before
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.csv"]


def test_half_a_row_of_a_killed_process_is_dropped(tmp_path: Path) -> None:
    _log_first_part(tmp_path)
    whole = _rows(tmp_path)[:-1]
    file = tmp_path / "metrics.csv"
    file.write_bytes(file.read_bytes()[:-3])
    resumed = CSVLog(save_dir=tmp_path)
    resumed.keep_earlier()
    _log(resumed, 5)
    resumed.finalize("success")
    rows = _rows(tmp_path)
    assert rows[:-1] == whole
    assert rows[-1]["step"] == "5"


def test_a_new_run_begins_a_new_file(tmp_path: Path) -> None:
    _log_first_part(tmp_path)
    fresh = CSVLog(save_dir=tmp_path)
    _log(fresh, 7)
    fresh.finalize("success")
    assert [row["step"] for row in _rows(tmp_path)] == ["7"]


def test_a_row_is_written_at_once(tmp_path: Path) -> None:
    _log(CSVLog(save_dir=tmp_path), 0, 1)
    assert [row["step"] for row in _rows(tmp_path)] == ["0", "1"]
