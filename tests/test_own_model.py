"""A model of somebody's own, named in a configuration folder of their own, is as good as one of the library's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from commands import Runner, run
from vinpaint import evaluate, train
from vinpaint.job_record import read_results

__all__ = ["run"]

NETWORK = '''
from torch import nn
import torch
from vinpaint.models.pretrained import PretrainedModel
from vinpaint.ops.compositing import hide_holes


class Blur(PretrainedModel):
    """A convolution over visible pixels and the mask."""

    def __init__(self, *, width: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(4, width, 3, padding=1), nn.Tanh(), nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, frames, masks):
        x = torch.cat((hide_holes(frames, masks), masks), dim=2)
        return self.layers(x.flatten(0, 1)).unflatten(0, frames.shape[:2]).sigmoid()
'''
OPTION = """
# Somebody's own model.
name: blur
network:
  _target_: somebody.models.Blur
  width: 4
discriminator: null
module:
  _target_: vinpaint.training.STTNModule
engine:
  _target_: vinpaint.inference.window.WindowInpainter
  size: native
"""
CLIPS = """
# Somebody's own clips.
defaults:
  - procedural
  - _self_
val:
  seed: 77
"""
SMALL = ("--config-dir", "own", "model=blur", "progress=false", "allow_targets=[somebody]")


@pytest.fixture
def own(run: Runner, monkeypatch: pytest.MonkeyPatch) -> Runner:
    package = run.folder / "site" / "somebody"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "models.py").write_text(NETWORK)
    for group, name, text in (("model", "blur", OPTION), ("data", "own_clips", CLIPS)):
        (run.folder / "own" / group).mkdir(parents=True)
        (run.folder / "own" / group / f"{name}.yaml").write_text(text)
    monkeypatch.syspath_prepend(run.folder / "site")
    monkeypatch.delitem(sys.modules, "somebody", raising=False)
    return run


def test_it_trains_and_is_measured_in_a_sweep(own: Runner) -> None:
    small = ("scale=smoke", "model.network.width=2,6", "evaluation.data=own_clips", "+evaluation.pictures=0")
    outcome = own(train.main, *SMALL, *small, "-m", "hydra.sweep.dir=sweep")
    assert outcome.status == 0, outcome.err
    jobs = read_results(own.folder / "sweep")
    assert [(job["model"], job["status"], job["measured_by"]) for job in jobs] == [
        ("blur", "completed", "evaluation")
    ] * 2
    assert all(clip["clip"].startswith("procedural-77-") for clip in jobs[0]["clips"])
    assert jobs[0]["metrics"] != jobs[1]["metrics"]
    table = (own.folder / "sweep" / "table.md").read_text()
    assert "| blur " in table
    assert "model.network.width=6" in table


def test_a_mistake_beside_it_is_named(own: Runner) -> None:
    outcome = own(train.main, *SMALL, "sed=1", "-m", "model.network.width=2,6")
    assert "sed: no such option of vinpaint-train; did you mean" in outcome.err, outcome.err
    assert "(of the job model.network.width=2)" in outcome.err


def test_it_runs_only_where_its_package_is_allowed(own: Runner) -> None:
    unasked = [argument for argument in SMALL if not argument.startswith("allow_targets")]
    outcome = own(train.main, *unasked, "scale=smoke")
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1, outcome.err
    assert "somebody.models.Blur is no class of vinpaint" in outcome.err
    assert "add allow_targets=[somebody]" in outcome.err
    assert "somebody" not in sys.modules, "nothing of the package ran"


@pytest.mark.slow
def test_its_weights_are_evaluated_beside_another_model(own: Runner) -> None:
    trained = own(train.main, *SMALL, "scale=smoke", "evaluation=null", "hydra.run.dir=run")
    assert trained.status == 0, trained.err
    clips = ("data.height=72", "data.width=80", "limit_frames=3", "limit_clips=1", "pictures=0")
    weights = str(Path("run") / "weights" / "last")
    outcome = own(evaluate.main, *SMALL, *clips, f"weights={weights}", "-m", "seed=0,1", "hydra.sweep.dir=sweep")
    assert outcome.status == 0, outcome.err
    assert [job["model"] for job in read_results(own.folder / "sweep")] == ["blur", "blur"]
