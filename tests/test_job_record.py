"""What a job leaves of itself, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from commands import TINY_TRAINING, Runner, run
from vinpaint import evaluate, train
from vinpaint.inference.baselines import DiffusionInpainter
from vinpaint.job_record import read_results

__all__ = ["run"]

EVALUATION = ("model=telea", "progress=false", "data.height=72", "data.width=80", "limit_frames=3", "limit_clips=1")
TRAINING = TINY_TRAINING


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return found


def test_an_evaluation_leaves_how_it_was_made(run: Runner) -> None:
    assert run(evaluate.main, *EVALUATION, "seed=3", "hydra.run.dir=job").status == 0
    job = record(run.folder / "job")
    assert (job["status"], job["command"], job["error"], job["sweep"]) == ("completed", "vinpaint-evaluate", None, None)
    assert "seed=3" in job["overrides"]
    assert job["choices"]["model"] == job["model"] == "telea"
    assert job["seeds"] == {"training": 3, "masks": 3}
    assert job["measured_by"] == "evaluation"
    assert job["metrics"]["psnr"] == job["clips"][0]["psnr"] > 0
    assert job["higher_is_better"]["l1"] is False
    assert job["seconds"] > 0
    assert job["peak_memory"]["process_bytes"] > 50e6
    assert job["config"]["data"]["height"] == 72
    for path in job["files"]["pictures"] + job["files"]["videos"]:
        assert all((run.folder / "job" / path[kind]).is_file() for kind in ("masked", "completed", "truth"))
    assert len(job["files"]["pictures"]) == 2


def test_a_mistake_is_written_down(run: Runner) -> None:
    outcome = run(evaluate.main, *EVALUATION, "data=folder", "data.val.root=nowhere", "hydra.run.dir=job")
    assert outcome.status == 2
    job = record(run.folder / "job")
    assert job["status"] == "failed"
    assert "nowhere" in job["error"]["message"]
    assert job["error"]["traceback"][-1].startswith("vinpaint.")
    assert job["metrics"] is None


def test_an_interruption_is_written_down(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(DiffusionInpainter, "stream", stop)
    assert run(evaluate.main, *EVALUATION, "hydra.run.dir=job").status == 130
    assert record(run.folder / "job")["status"] == "interrupted"


@pytest.mark.slow
def test_a_job_that_was_killed_says_running(run: Runner, tmp_path: Path) -> None:
    code = "from vinpaint.evaluate import main; main()"
    many = (*EVALUATION, "data.val.num_clips=500", "limit_clips=500", "hydra.run.dir=job")
    with subprocess.Popen([sys.executable, "-c", code, *many], cwd=tmp_path, env=os.environ) as process:
        while process.poll() is None and not list((tmp_path / "job").glob("records/*.safetensors")):
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert record(tmp_path / "job")["status"] == "running"


def test_training_leaves_its_validation(run: Runner) -> None:
    outcome = run(train.main, *TRAINING, "trainer.max_steps=2", "hydra.run.dir=job")
    assert outcome.status == 0, outcome.err
    job = record(run.folder / "job")
    assert (job["command"], job["measured_by"], job["status"]) == ("vinpaint-train", "validation", "completed")
    assert job["training"]["updates"] == 2
    assert job["metrics"] == job["training"]["validation"]
    assert job["training"]["best"] == pytest.approx(job["metrics"]["psnr"])
    assert job["higher_is_better"]["psnr"] is True
    for what in ("weights", "checkpoint", "log"):
        assert (run.folder / "job" / job["files"][what]).exists()
    assert (run.folder / "job" / job["files"]["strips"][0]).is_file()


def test_training_measures_its_weights_afterwards(run: Runner) -> None:
    clips = "data: procedural, mask: stationary, data.height: 72, data.width: 80, limit_clips: 1, limit_frames: 3"
    measured = f"evaluation={{{clips}}}"
    outcome = run(train.main, *TRAINING, "trainer.max_steps=2", measured, "hydra.run.dir=job")
    assert outcome.status == 0, outcome.err
    job = record(run.folder / "job")
    assert job["measured_by"] == "evaluation"
    assert [clip["clip"] for clip in job["clips"]] == ["procedural-2-000000"]
    weights = run.folder / "job" / job["files"]["weights"]
    alone = (*EVALUATION[1:], "model=sttn_small", f"weights={weights}", "hydra.run.dir=alone")
    assert run(evaluate.main, *alone).status == 0
    assert record(run.folder / "alone")["metrics"] == pytest.approx(job["metrics"])


def test_the_jobs_of_a_sweep_are_read_by_number(run: Runner) -> None:
    sweep = ("-m", *EVALUATION, "seed=5,4", "hydra.sweep.dir=sweep")
    assert run(evaluate.main, *sweep).status == 0
    assert [(job["job"], job["seeds"]["masks"]) for job in read_results(run.folder / "sweep")] == [(0, 5), (1, 4)]


def test_memory_is_of_this_job_and_not_of_one_before() -> None:
    code = """
from vinpaint.job_record import forget_peak, peak_memory
held = bytearray(b"x" * 300_000_000)
high = peak_memory()["process_bytes"]
del held
forget_peak()
print(high - peak_memory()["process_bytes"])
"""
    # A fresh process: what earlier tests have freed, the allocator may hand out again.
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(told) > 250_000_000
