"""The command ``vinpaint-train``, run as people run it."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from commands import TINY_TRAINING
from vinpaint.config import compose
from vinpaint.models.pretrained import load_pretrained
from vinpaint.train import build_module, main

TINY = list(TINY_TRAINING)


WITHOUT_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the GPU that is asked for")


def command(folder: Path, *arguments: str) -> list[str]:
    # As the installed script does; Lightning starts further processes of a run with the same words.
    program = folder / "vinpaint-train"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text("from vinpaint.train import main\nmain()\n")
    return [sys.executable, str(program), *arguments]


def train(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *arguments), cwd=folder, capture_output=True, text=True, check=False, env=_ENV
    )


_ENV = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "WANDB_SILENT": "true", "HF_HUB_OFFLINE": "1"}


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def column(run: Path, name: str) -> list[float]:
    return [float(row[name]) for row in rows(run) if row[name]]


def test_a_run_leaves_weights_checkpoints_numbers_and_pictures(tmp_path: Path) -> None:
    result = train(tmp_path, *TINY, "hydra.run.dir=run")
    assert result.returncode == 0, result.stderr
    run = tmp_path / "run"
    assert f"use them: vinpaint-inpaint model=sttn_small weights={run / 'weights' / 'best'}" in result.stdout
    assert (
        load_pretrained(run / "weights" / "best").encode(torch.rand(1, 1, 3, 48, 48), torch.zeros(1, 1, 1, 48, 48)).ndim
        == 5
    )
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert len(column(run, "train/hole")) == 4
    assert len(column(run, "val/psnr")) == 2
    assert sorted(path.name[:7] for path in (run / "clips").iterdir()) == ["0000002", "0000004"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=flow_guided"], "model=flow_guided has nothing to train"),
        (["ckpt_path=nowhere.ckpt"], "ckpt_path=nowhere.ckpt: no such file"),
        (["ckpt_path=${paths.data_dir}", "init_from=x"], "no such file"),
        (["metrics=none"], "monitor=val/psnr: not among the metrics (none); choose metrics=fast"),
        (["model.module.optimization.learning_rat=1"], "did you mean model.module.optimization.learning_rate"),
        (["model.module.style_weight=24"], "give vgg_weights="),
        (["model.module.game.gan_loss=wgan"], "hinge, nsgan, lsgan, wgan_gp"),
        (["init_from=nowhere"], "nowhere: no such file"),
        (["strategy=ddp_cpu", "-m"], "a sweep trains each job on one device"),
        pytest.param(["strategy=single_gpu"], "trainer: No supported gpu backend", marks=WITHOUT_GPU),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["vinpaint-train", "model=sttn_small", "trainer=smoke", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    *before, line = capsys.readouterr().err.strip().splitlines()
    assert not before or arguments[-1] == "-m"  # of a sweep, Hydra names the job first
    assert line.startswith("vinpaint-train: ")
    assert message in line


@pytest.mark.slow
def test_two_processes_compute_what_one_computes(tmp_path: Path) -> None:
    for strategy in ("cpu", "ddp_cpu"):
        result = train(tmp_path, *TINY, f"strategy={strategy}", f"hydra.run.dir={strategy}")
        assert result.returncode == 0, result.stderr
    assert "MEMBER: 2/2" in result.stderr
    for name in ("hole", "valid", "adversarial", "discriminator_real", "discriminator_fake"):
        one, two = (column(tmp_path / strategy, f"train/{name}") for strategy in ("cpu", "ddp_cpu"))
        assert two == pytest.approx(one, rel=1e-4, abs=1e-6), name
    one, two = (load_pretrained(tmp_path / s / "weights" / "last").state_dict() for s in ("cpu", "ddp_cpu"))
    for key, value in one.items():
        # Adam's steps are 1e-4 long however small the gradient, so rounding may turn a few of them round.
        assert (value - two[key]).abs().max() < 4e-4, key
        assert (value - two[key]).abs().mean() < 1e-5, key


@pytest.mark.slow
def test_sharded_weights_learn_what_copies_learn(tmp_path: Path) -> None:
    shared = ("trainer.accelerator=cpu", "trainer.devices=2", "callbacks.ema=null", "callbacks.weights=null")
    for strategy in ("ddp_cpu", "fsdp"):
        result = train(tmp_path, *TINY, f"strategy={strategy}", *shared, f"hydra.run.dir={strategy}")
        assert result.returncode == 0, result.stderr
    assert "MEMBER: 2/2" in result.stderr
    for name in ("hole", "valid", "adversarial", "discriminator_real", "discriminator_fake"):
        copies, shards = (column(tmp_path / strategy, f"train/{name}") for strategy in ("ddp_cpu", "fsdp"))
        assert shards == pytest.approx(copies, rel=1e-4, abs=1e-6), name
    copies, shards = (
        torch.load(tmp_path / s / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for s in ("ddp_cpu", "fsdp")
    )
    for key, value in copies.items():
        assert (value - shards[key]).abs().max() < 4e-4, key  # rounding may turn a few of Adam's steps round
        assert (value - shards[key]).abs().mean() < 1e-5, key


@pytest.mark.slow
def test_a_sweep_trains_once_per_value(tmp_path: Path) -> None:
    result = train(tmp_path, "-m", *TINY, "mask=stationary,moving", "hydra.sweep.dir=sweep")
    assert result.returncode == 0, result.stderr
    assert {path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir()} == {"0", "1"}
    assert column(tmp_path / "sweep" / "0", "train/hole") != column(tmp_path / "sweep" / "1", "train/hole")


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    longer = [*TINY, "trainer.max_steps=12", "data.samples_per_epoch=10", "callbacks.last.every_n_train_steps=1"]
    result = train(tmp_path, *longer, "hydra.run.dir=whole")
    assert result.returncode == 0, result.stderr
    with subprocess.Popen(command(tmp_path, *longer, "hydra.run.dir=killed"), cwd=tmp_path, env=_ENV) as process:
        checkpoint = tmp_path / "killed" / "checkpoints" / "last.ckpt"
        while process.poll() is None and not checkpoint.is_file():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert 0 < torch.load(checkpoint, weights_only=True)["global_step"] < 12
    result = train(tmp_path, *longer, f"ckpt_path={checkpoint}", "hydra.run.dir=resumed", "seed=5")
    assert result.returncode == 0, result.stderr
    whole, resumed = (
        torch.load(tmp_path / r / "checkpoints" / "last.ckpt", weights_only=True) for r in ("whole", "resumed")
    )
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(value, resumed[part][key]) for key, value in whole[part].items())


@pytest.mark.slow
@pytest.mark.parametrize("logger", ["tensorboard", "wandb", "none"])
def test_every_logger_runs_without_an_account(tmp_path: Path, logger: str) -> None:
    result = train(tmp_path, *TINY, f"logger={logger}", "hydra.run.dir=run")
    assert result.returncode == 0, result.stderr
    pattern = {
        "tensorboard": "events.out.tfevents.*",
        "wandb": "wandb/offline-run-*/files/media/images/val/clips/*.png",
        "none": "clips/*.png",
    }
    assert list((tmp_path / "run").glob(pattern[logger]))


@pytest.mark.slow
def test_the_jobs_of_a_sweep_are_runs_of_one_group_with_pictures_and_videos(tmp_path: Path) -> None:
    small = ("sweep=sttn_table7", "scale=smoke", "progress=false", "model.network.num_blocks=1", "logger=wandb")
    result = train(tmp_path, *small, "hydra.sweep.dir=sweep")
    assert result.returncode == 0, result.stderr
    for job in ("0", "1"):
        (run,) = (tmp_path / "sweep" / job).glob("wandb/offline-run-*")
        media = {path.parts[len(run.parts) + 2] for path in run.glob("files/media/**/*") if path.is_file()}
        assert media == {"images", "videos", "table"}
        (log,) = run.glob("*.wandb")
        assert b"sttn_table7" in log.read_bytes()


@pytest.mark.slow
def test_interruption_keeps_what_was_learned(tmp_path: Path) -> None:
    arguments = [*TINY, "trainer.max_steps=100000", "callbacks.last.every_n_train_steps=1", "hydra.run.dir=run"]
    process = subprocess.Popen(
        command(tmp_path, *arguments), cwd=tmp_path, env=_ENV, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while process.poll() is None and not (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "go on: ckpt_path=" in output
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert load_pretrained(tmp_path / "run" / "weights" / "last") is not None


@pytest.mark.slow
def test_it_learns_one_clip_by_heart(tmp_path: Path) -> None:
    result = train(tmp_path, "experiment=overfit_procedural", "progress=false", "hydra.run.dir=run")
    assert result.returncode == 0, result.stderr
    assert max(column(tmp_path / "run", "val/psnr_hole")) > 30
    picture = np.asarray(Image.open(sorted((tmp_path / "run" / "clips").iterdir())[-1])).astype(float)
    completed, truth = picture[52:100], picture[104:152]
    assert np.abs(completed - truth).mean() < 3  # levels


def test_weights_to_start_from_reach_the_network(tmp_path: Path) -> None:
    overrides = ["model=sttn_small", "model.network.channels=16", "model.discriminator=null"]
    donor = build_module(compose("train", overrides)).generator
    donor.save_pretrained(tmp_path / "weights")
    started = build_module(compose("train", [*overrides, f"init_from={tmp_path / 'weights'}"])).generator
    assert all(torch.equal(a, b) for a, b in zip(donor.parameters(), started.parameters(), strict=True))


def test_published_recipes_have_published_numbers() -> None:
    recipe = compose("train", ["experiment=sttn_youtube_vos"])
    assert recipe.trainer.max_steps == 500_000
    assert recipe.model.module.optimization.milestones == [150_000, 300_000]
    assert recipe.model.module.game.adversarial_weight == 0.01
    assert recipe.data.batch_size == 8
    assert compose("train", ["experiment=sttn_davis"]).model.module.optimization.milestones == [300_000]
    for published in ("experiment=sttn_youtube_vos", "experiment=sttn_davis", "sweep=sttn_table3"):
        engine = compose("train", [published]).model.engine
        assert (engine.alignment, engine.residual, engine.compositing) == ("none", "none", "paste")
