"""The same sweep in processes, in submitit's local queue and in Ray: every row is there, and why one failed."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.utils import get_class
from omegaconf import OmegaConf

from vinpaint.config import compose, options
from vinpaint.job_record import read_results

EVALUATION = ("progress=false", "data.height=72", "data.width=80", "limit_frames=3", "limit_clips=1", "pictures=0")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", "HF_HUB_OFFLINE": "1"}
NEEDS = {
    "cpu_jobs": "hydra_plugins.hydra_joblib_launcher",
    "slurm_local": "hydra_plugins.hydra_submitit_launcher",
    "slurm": "hydra_plugins.hydra_submitit_launcher",
    "ray": "ray",
}


def installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def launch(folder: Path, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"from vinpaint.{command} import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder, capture_output=True, text=True, check=False, timeout=600, env=ENVIRONMENT,
    )  # fmt: skip


def hydra_node(*overrides: str) -> Any:
    """The node of Hydra itself that a command line composes."""
    code = "from vinpaint.evaluate import main; main()"
    words = [sys.executable, "-c", code, *overrides, "--cfg", "hydra"]
    printed = subprocess.run(words, capture_output=True, text=True, check=True, env=ENVIRONMENT).stdout
    return OmegaConf.create(yaml.safe_load(printed)).hydra


def test_every_launcher_is_tried_here() -> None:
    assert set(options("hydra/launcher")) == set(NEEDS)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(NEEDS))
def test_a_launcher_composes_and_gives_a_job_one_device(name: str) -> None:
    if not installed(NEEDS[name]):
        pytest.skip(f"{NEEDS[name]} is not installed")
    node = hydra_node(f"hydra/launcher={name}").launcher
    assert get_class(node._target_).__name__.endswith("Launcher")
    assert node.get("gpus_per_node") in ({None, 1} if name != "slurm" else {1})
    assert node.get("tasks_per_node", 1) == 1
    assert node.get("nodes", 1) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cpu_jobs", "slurm_local", "ray"])
def test_a_sweep_runs_elsewhere_and_goes_on(tmp_path: Path, name: str) -> None:
    if not installed(NEEDS[name]):
        pytest.skip(f"{NEEDS[name]} is not installed")
    sweep = ("-m", "model=telea,identity", "dilation=0,-1", *EVALUATION, f"hydra/launcher={name}")
    result = launch(tmp_path, "evaluate", *sweep, "hydra.sweep.dir=sweep")
    assert result.returncode == 2, result.stderr
    jobs = read_results(tmp_path / "sweep")
    assert [(job["model"], job["status"]) for job in jobs] == [
        ("telea", "completed"),
        ("telea", "failed"),
        ("identity", "completed"),
        ("identity", "failed"),
    ]
    assert "2 of 4 jobs failed: job 1 (model=telea dilation=-1): " in result.stderr.strip().splitlines()[-1]
    assert "dilation -1: expected 0 or more" in jobs[3]["error"]["message"]
    alone = launch(tmp_path, "evaluate", "-m", "model=telea", "dilation=0", *EVALUATION, "hydra.sweep.dir=alone")
    assert alone.returncode == 0, alone.stderr
    assert read_results(tmp_path / "alone")[0]["metrics"] == jobs[0]["metrics"]


@pytest.mark.slow
def test_the_search_maximises_validation_psnr_and_outlives_failures(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    small = ("scale=smoke", "evaluation=null", "model.network.num_blocks=1", "progress=false")
    vary = "model.module.game.critic_steps=choice(0,1)"
    arguments = ("-m", "hydra/sweeper=search", "hydra.sweeper.n_trials=3", *small, vary, "hydra.sweep.dir=search")
    result = launch(tmp_path, "train", *arguments)
    found = yaml.safe_load((tmp_path / "search" / "optimization_results.yaml").read_text())
    jobs = read_results(tmp_path / "search")
    assert len(jobs) == 3
    best = [job["training"]["best"] for job in jobs if job["status"] == "completed"]
    assert len(best) < 3  # the search tried what cannot be
    assert result.returncode == 2
    assert found["best_value"] == pytest.approx(max(best))
    learning_rate = found["best_params"]["model.module.optimization.learning_rate"]
    assert 1e-5 <= learning_rate <= 1e-3


def test_what_the_search_varies_exists() -> None:
    params = OmegaConf.load(Path(__file__).parents[1] / "conf" / "hydra" / "sweeper" / "search.yaml").params
    for key in params:
        assert OmegaConf.select(compose("train"), str(key)) is not None
