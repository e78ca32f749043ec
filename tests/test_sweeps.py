"""A sweep whose jobs fail, stop and go on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import Tensor

from commands import TINY_TRAINING, Runner, run
from vinpaint import evaluate, train
from vinpaint.inference.baselines import DiffusionInpainter
from vinpaint.inference.inpainter import MaskedClip
from vinpaint.job_record import read_results

__all__ = ["run"]

EVALUATION = ("model=telea", "progress=false", "data.height=72", "data.width=80", "limit_frames=3", "limit_clips=1")
TRAINING = (*TINY_TRAINING, "trainer.max_steps=2")


def states(sweep: Path) -> list[str]:
    return [job["status"] for job in read_results(sweep)]


@pytest.mark.parametrize("models", ["sttn,telea", "glob([sttn,telea])"])
def test_an_option_that_one_job_lacks_is_named_with_the_job(run: Runner, models: str) -> None:
    outcome = run(evaluate.main, "-m", f"model={models}", "model.engine.precision=bf16", "dilation=4")
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith("vinpaint-evaluate: model.engine.precision: no such option of vinpaint-evaluate; did")
    assert outcome.err.strip().endswith("(of the job model=telea)")


def test_a_mistake_beside_the_flag_that_prints_the_configuration_is_named(run: Runner) -> None:
    outcome = run(evaluate.main, "-c", "job", "dilaton=4")
    assert "dilaton: no such option of vinpaint-evaluate; did you mean dilation" in outcome.err, outcome.err


def test_a_failing_job_leaves_the_others_and_its_reason(run: Runner) -> None:
    outcome = run(evaluate.main, "-m", *EVALUATION, "dilation=0,-1,1", "hydra.sweep.dir=sweep")
    assert outcome.status == 2
    assert states(run.folder / "sweep") == ["completed", "failed", "completed"]
    last = outcome.err.strip().splitlines()[-1]
    assert last.startswith("vinpaint-evaluate: 1 of 3 jobs failed: job 1 (")
    assert "dilation=-1" in last
    assert last.endswith("sweep.resume=sweep")
    assert (run.folder / "sweep" / "table.md").read_text().count("\n") == 4


def test_a_resumed_sweep_runs_only_what_is_missing(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    stream = DiffusionInpainter.stream
    broken = [True]

    def watch(engine: DiffusionInpainter, masked: MaskedClip) -> Iterator[Tensor]:
        seen.append(masked.name)
        if broken[0] and len(seen) == 2:
            raise OSError("cannot be read")
        return stream(engine, masked)

    monkeypatch.setattr(DiffusionInpainter, "stream", watch)
    command = ("-m", *EVALUATION, "seed=0,1,2")
    assert run(evaluate.main, *command, "hydra.sweep.dir=sweep").status == 2
    assert states(run.folder / "sweep") == ["completed", "failed", "completed"]
    before = [(run.folder / "sweep" / str(n) / "result.json").stat().st_mtime_ns for n in (0, 2)]
    broken[0] = False
    assert run(evaluate.main, *command, "sweep.resume=sweep").status == 0
    assert len(seen) == 4
    assert states(run.folder / "sweep") == ["completed"] * 3
    assert [(run.folder / "sweep" / str(n) / "result.json").stat().st_mtime_ns for n in (0, 2)] == before


def test_a_sweep_goes_on_with_its_own_command_line_only(run: Runner) -> None:
    assert run(evaluate.main, "-m", *EVALUATION, "seed=0", "hydra.sweep.dir=sweep").status == 0
    outcome = run(evaluate.main, "-m", *EVALUATION, "seed=1", "sweep.resume=sweep")
    assert outcome.status == 2
    assert "was begun with other options (seed=0, seed=1)" in outcome.err.strip().splitlines()[-1]


def test_training_stopped_before_its_record_is_measured_when_it_goes_on(run: Runner) -> None:
    assert run(train.main, *TRAINING, "hydra.run.dir=run").status == 0
    folder = run.folder / "run"
    (expected,) = (record["metrics"] for record in read_results(folder))
    (folder / "result.json").unlink()
    shutil.rmtree(folder / "weights")
    assert run(train.main, *TRAINING, "ckpt_path=run/checkpoints/last.ckpt", "hydra.run.dir=run").status == 0
    (found,) = (record["metrics"] for record in read_results(folder))
    assert found == pytest.approx(expected)
    assert (folder / "weights" / "last" / "model.safetensors").is_file()


@pytest.mark.slow
def test_training_that_failed_goes_on_and_the_rest_is_not_repeated(run: Runner) -> None:
    command = ("-m", *TRAINING, "model.module.game.critic_steps=1,0")
    outcome = run(train.main, *command, "hydra.sweep.dir=sweep")
    assert outcome.status == 2
    assert "critic_steps=0: expected at least 1" in outcome.err.strip().splitlines()[-1]
    assert states(run.folder / "sweep") == ["completed", "failed"]
    weights = run.folder / "sweep" / "0" / "weights" / "last" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    assert run(train.main, *command, "sweep.resume=sweep").status == 2
    assert weights.stat().st_mtime_ns == before
