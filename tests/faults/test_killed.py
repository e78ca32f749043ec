"""Processes killed at random moments: what was done stays, nothing stands half-written, the rest is done again.

``kill -9`` gives a process no chance to tidy up. Whatever lies under a final name must be whole at that moment, and a
second start must end as an undisturbed run does.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from commands import TINY_TRAINING
from vinpaint.data import ProceduralClip
from vinpaint.job_record import read_results
from vinpaint.models.pretrained import load_pretrained
from vinpaint.video import open_clip, open_writer

pytestmark = pytest.mark.faults

SEEDS = range(3)
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}
PATIENCE = 240  # seconds until something must have begun


def start(folder: Path, command: str, *arguments: str) -> subprocess.Popen[str]:
    program = [sys.executable, "-m", f"vinpaint.{command}", *arguments]
    return subprocess.Popen(
        program, cwd=folder, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finish(folder: Path, command: str, *arguments: str) -> str:
    process = start(folder, command, *arguments)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return out


def kill(process: subprocess.Popen[str], begun: Callable[[], object], *, after: float) -> tuple[bool, str]:
    """Kill a process some seconds after its work has begun; whether it came too late, and what it had printed."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and not begun():
        assert time.monotonic() < deadline, "it never began"
        time.sleep(0.01)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGKILL), err
    return process.returncode == 0, out


def stamps(paths: Iterator[Path]) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in paths if not path.name.startswith(".")}


# ---------------------------------------------------------------- inpainting

FRAMES, HEIGHT, WIDTH = 24, 32, 48
NAMES = "abcdef"


@pytest.fixture(scope="module")
def completed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of clips, and what an undisturbed run makes of it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "clips").mkdir()
    for seed, name in enumerate(NAMES):
        frames = ProceduralClip(seed, num_frames=FRAMES, height=HEIGHT, width=WIDTH).read(range(FRAMES))
        with open_writer(folder / "clips" / f"{name}.mp4", frame_rate=25, height=HEIGHT, width=WIDTH) as writer:
            for frame in frames:
                writer.write(frame)
    finish(folder, "inpaint", *inpainting(folder), "output=whole")
    return folder


def inpainting(folder: Path) -> tuple[str, ...]:
    engine = ("model=flow_guided", "model.engine.window=8", "model.engine.context=4", "progress=false")
    return (*engine, f"input={folder / 'clips'}", "masks=[10,8,12,9]", "lossless=true", "preview=false")


@pytest.mark.parametrize(("resume", "seed"), [(True, 0), (True, 1), (True, 2), (False, 3)])
def test_a_killed_inpainting_loses_no_clip_it_reported(
    completed: Path, tmp_path: Path, resume: bool, seed: int
) -> None:
    arguments = (*inpainting(completed), "output=out")
    arguments += ("resume=true",) if resume else ()
    pause = float(np.random.default_rng(seed).uniform(0, 1.5))
    process = start(tmp_path, "inpaint", *arguments)
    _, printed = kill(process, lambda: any((tmp_path / "out").glob("*")), after=pause)
    done = stamps((tmp_path / "out").glob("*"))
    for line in printed.splitlines():
        if " frames of " in line:
            assert tmp_path / line.partition(":")[0] in done
    for path in done:
        with open_clip(path) as clip, open_clip(completed / "whole" / path.name) as expected:
            np.testing.assert_array_equal(clip.read(range(FRAMES)), expected.read(range(FRAMES)))
    finish(tmp_path, "inpaint", *arguments, *(() if resume else ("overwrite=true",)))
    outputs = {path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")}
    assert outputs == {f"{name}.mp4" for name in NAMES}
    for name in outputs:
        assert (tmp_path / "out" / name).read_bytes() == (completed / "whole" / name).read_bytes()
    if resume:
        assert {path.name for path in (tmp_path / "out").iterdir()} == outputs, "remnants are left"
        assert done.items() <= stamps((tmp_path / "out").glob("*")).items(), "what was done is done again"


# ---------------------------------------------------------------- evaluating and sweeping

SMALL = ("progress=false", "data.height=72", "data.width=80", "limit_frames=4", "pictures=0")
CLIPS = ("data.val.num_clips=40", "limit_clips=40")


def measured(folder: Path) -> Any:
    """The numbers of a job, without how fast they came."""
    record = json.loads((folder / "result.json").read_text())
    for row in record["clips"]:
        del row["frames_per_second"]
    return record["metrics"], record["clips"]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("undisturbed")
    finish(folder, "evaluate", "model=telea", *SMALL, *CLIPS, "hydra.run.dir=run")
    return measured(folder / "run")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_killed_evaluation_measures_no_clip_twice(evaluated: Any, tmp_path: Path, seed: int) -> None:
    pause = float(np.random.default_rng(seed).uniform(0, 0.7))
    records = tmp_path / "run" / "records"
    process = start(tmp_path, "evaluate", "model=telea", *SMALL, *CLIPS, "hydra.run.dir=run")
    kill(process, lambda: any(records.glob("*.safetensors")), after=pause)
    done = stamps(records.glob("*.safetensors"))
    for path in done:
        with safe_open(path, framework="pt") as file:
            assert file.metadata()["clip"]
    finish(tmp_path, "evaluate", "resume=run", "progress=false")
    assert measured(tmp_path / "run") == evaluated
    assert done.items() <= stamps(records.glob("*.safetensors")).items()
    assert not list((tmp_path / "run").rglob("*.partial*"))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_killed_sweep_runs_no_job_twice(tmp_path: Path, seed: int) -> None:
    pause = float(np.random.default_rng(seed).uniform(0, 2))
    arguments = ("-m", "model=identity,telea,navier_stokes", "dilation=0,2", *SMALL, "limit_clips=2")
    process = start(tmp_path, "evaluate", *arguments, "hydra.sweep.dir=sweep")
    kill(process, (tmp_path / "sweep" / "0" / "result.json").is_file, after=pause)
    results = [json.loads(path.read_text()) | {"path": path} for path in (tmp_path / "sweep").glob("*/result.json")]
    assert {result["status"] for result in results} <= {"completed", "running"}
    done = stamps(iter(result["path"] for result in results if result["status"] == "completed"))
    finish(tmp_path, "evaluate", *arguments, "sweep.resume=sweep")
    assert [job["status"] for job in read_results(tmp_path / "sweep")] == ["completed"] * 6
    assert done.items() <= stamps((tmp_path / "sweep").glob("*/result.json")).items()
    assert (tmp_path / "sweep" / "table.md").read_text().count("\n") == 8


# ---------------------------------------------------------------- training

LONG = (
    *TINY_TRAINING,
    "trainer.max_steps=24",
    "trainer.val_check_interval=4",
    "data.samples_per_epoch=48",
    "callbacks.last.every_n_train_steps=1",
    "hydra.run.dir=run",
)


def reached(checkpoint: Path) -> int:
    """The update that a checkpoint is of; 0 where there is none."""
    return int(torch.load(checkpoint, weights_only=True)["global_step"]) if checkpoint.is_file() else 0


def logged(run: Path, name: str) -> list[tuple[str, str]]:
    """The updates at which a number was logged, and the number."""
    with (run / "metrics.csv").open(newline="") as file:
        return [(row["step"], row[name]) for row in csv.DictReader(file) if row[name]]


def assert_whole(run: Path) -> int:
    """Assert that all a run has left can be read; the update that its last checkpoint is of."""
    for checkpoint in (run / "checkpoints").glob("[!.]*"):
        content = torch.load(checkpoint, weights_only=True)
        assert all(value.isfinite().all() for value in content["state_dict"].values() if value.is_floating_point())
    for folder in (run / "weights").glob("*"):
        if (folder / "model.safetensors").exists():
            load_pretrained(folder)
    json.loads((run / "result.json").read_text())
    return reached(run / "checkpoints" / "last.ckpt")


def test_training_killed_again_and_again_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "whole").mkdir()
    finish(tmp_path / "whole", "train", *LONG)
    run = tmp_path / "run"
    last = run / "checkpoints" / "last.ckpt"
    updates, go_on = [0], ()
    for _ in range(4):
        before = updates[-1]
        process = start(tmp_path, "train", *LONG, *go_on)
        finished, _ = kill(process, lambda before=before: reached(last) > before, after=float(rng.uniform(0, 1.5)))
        updates.append(assert_whole(run))
        assert updates[-1] >= updates[-2], "what was learned is lost"
        go_on = (f"ckpt_path={last}",)
        if finished:
            break
    else:
        finish(tmp_path, "train", *LONG, *go_on)
    assert assert_whole(run) == 24
    undisturbed = tmp_path / "whole" / "run" / "checkpoints" / "last.ckpt"
    expected, found = (torch.load(path, weights_only=True) for path in (undisturbed, last))
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(value, found[part][key]) for key, value in expected[part].items())
    released = Path("run", "weights", "last", "model.safetensors")
    assert (tmp_path / released).read_bytes() == (tmp_path / "whole" / released).read_bytes()
    for name in ("train/loss", "val/psnr"):
        rows, expected_rows = logged(run, name), logged(tmp_path / "whole" / "run", name)
        assert rows == [row for row in expected_rows if row in rows]
        # an update's checkpoint comes before its numbers and its validation: each kill may have cost one of them
        assert len(rows) >= len(expected_rows) - (len(updates) - 1)
    assert not list((run / "checkpoints").glob(".*"))
    assert not list((run / "weights").glob("*/.*"))
