"""A configuration may name what it is meant to build and nothing else, by whatever road it is reached."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from torch import nn

from commands import Runner, run
from vinpaint.config import ALLOW_TARGETS, ConfigError, allow_targets, build, target_of
from vinpaint.inpaint import main
from vinpaint.masks import MovingMask

__all__ = ["run"]

FOREIGN = [
    "os.system",
    "subprocess.run",
    "builtins.eval",
    "functools.partial",
    "hydra.utils.get_object",
    "vinpaintx.Model",
    "torch",  # a module
    "torch.load",  # a function, which can unpickle
    "torch.hub.load",
    "vinpaint.config.allow_targets",
    "vinpaint.benchmark.subprocess.run",  # reached through a module of ours
    "vinpaint.evaluation_records.write_beside",
    "torch.multiprocessing.Process",
    "lightning.pytorch.LightningModule.load_from_checkpoint",
]


@pytest.fixture(autouse=True)
def _nothing_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ALLOW_TARGETS, "")


@pytest.mark.parametrize("target", FOREIGN)
def test_what_is_no_class_of_the_libraries_is_not_run(target: str) -> None:
    with pytest.raises(ConfigError, match=r"is no class of vinpaint.*add allow_targets=\[") as caught:
        build({"_target_": target})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("target", ["vinpaint.nothing", "torch.", "torch..nn", "kornia.nothing.there"])
def test_what_does_not_exist_is_one_line(target: str) -> None:
    with pytest.raises(ConfigError, match="No module named") as caught:
        build({"_target_": target})
    assert "\n" not in str(caught.value)


EVIL = {"_target_": "pathlib.Path.touch", "self": "ran"}


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "torch.nn.Sequential", "_args_": [EVIL]},
        {"_target_": "torch.nn.Identity", "deep": {"er": [{"and": EVIL}]}},
        {"plain": [EVIL]},
        {"_target_": "torch.nn.Identity", "_partial_": True, "x": EVIL},
        {"_target_": "torch.nn.Identity", "_recursive_": False, "x": EVIL},
    ],
)
def test_nothing_hides_inside(node: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for given in (node, OmegaConf.create(node)):
        with pytest.raises(ConfigError, match=r"pathlib\.Path\.touch is no class"):
            build(given)
    assert not list(tmp_path.iterdir())


def test_an_interpolation_is_followed() -> None:
    config = OmegaConf.create(
        {"name": "os.system", "other": EVIL, "a": {"_target_": "${name}"}, "b": {"x": "${other}"}}
    )
    with pytest.raises(ConfigError, match=r"os\.system"):
        build(config.a)
    with pytest.raises(ConfigError, match=r"pathlib"):
        build(config.b)


def test_classes_of_the_libraries_are_built() -> None:
    assert isinstance(build({"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 1}), nn.Linear)
    assert target_of(OmegaConf.create({"_target_": "vinpaint.masks.MovingMask"})) is MovingMask
    assert len(build({"_target_": "vinpaint.data.davis.names_2016"})) == 50


def test_a_package_that_is_allowed_may_hold_anything() -> None:
    allow_targets(["collections"])
    assert build({"_target_": "collections.OrderedDict"}) == {}
    allow_targets(["os.path"])
    assert os.environ[ALLOW_TARGETS] == "collections,os.path"
    with pytest.raises(ConfigError, match=r"add allow_targets=\[collections,os\.path,os\]"):
        build({"_target_": "os.getcwd"})


@pytest.mark.parametrize("argument", ["allow_targets=[my-package]", "allow_targets=", "allow_targets=[a,,b]"])
def test_what_is_no_package_is_not_allowed(run: Runner, argument: str) -> None:
    outcome = run(main, argument, "demo.clip.num_frames=2")
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1
    assert "expected names of packages" in outcome.err


def test_a_file_cannot_allow_itself_anything(run: Runner) -> None:
    folder = run.folder / "elsewhere" / "model"
    folder.mkdir(parents=True)
    (run.folder / "wicked.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    (folder / "nice.yaml").write_text(
        "# @package _global_\nallow_targets: [wicked]\nmodel:\n  name: nice\n  network: null\n"
        "  engine: {_target_: wicked.Engine}\n"
    )
    sys.path.insert(0, str(run.folder))
    try:
        outcome = run(main, "--config-dir", "elsewhere", "model=nice")
    finally:
        sys.path.remove(str(run.folder))
    assert outcome.status == 2
    assert not (run.folder / "ran").exists()
    assert {path.name for path in run.folder.iterdir()} == {"elsewhere", "wicked.py"}
