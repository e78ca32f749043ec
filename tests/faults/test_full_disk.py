"""A disk that fills up: one line that names the file, nothing half-written, and the rest when there is room again."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from commands import TINY_TRAINING, Outcome, Runner, run
from vinpaint import evaluate, inpaint, train
from vinpaint.data import ProceduralClip
from vinpaint.models.pretrained import load_pretrained
from vinpaint.video import open_clip, open_writer

__all__ = ["run"]

pytestmark = pytest.mark.faults

Resize = Callable[[int], None]


@pytest.fixture
def disk(run: Runner) -> Iterator[Resize]:
    """Mounts the folder ``disk`` of the working folder as one of so many KiB; called again, it changes its size."""
    folder = run.folder / "disk"
    folder.mkdir()
    mounted = False

    def resize(kibibytes: int) -> None:
        nonlocal mounted
        options = f"size={kibibytes}k" + (",remount" if mounted else "")
        program = shutil.which("mount")
        if (
            program is None
            or subprocess.run(
                [program, "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
            ).returncode
        ):
            pytest.skip("needs the right to mount a small disk")
        mounted = True

    yield resize
    if mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def assert_told(outcome: Outcome) -> None:
    assert outcome.status == 2, outcome.out + outcome.err
    assert outcome.err.count("\n") == 1, outcome.err
    assert "disk/" in outcome.err, "it does not say which file"
    assert "No space left on device" in outcome.err


def assert_nothing_partial(folder: Path) -> None:
    assert not [path for path in folder.rglob("*") if "partial" in path.name]


CLIP = ("input=clip.mp4", "masks=[20,20,40,30]", "model=telea", "progress=false")
FRAMES, HEIGHT, WIDTH = 20, 96, 128


@pytest.mark.parametrize("kibibytes", [16, 60, 400])
@pytest.mark.parametrize("output", ["done.mp4", "done"])
@pytest.mark.parametrize("resume", ["false", "true"])
def test_inpainting(run: Runner, disk: Resize, output: str, resume: str, kibibytes: int) -> None:
    frames = ProceduralClip(5, num_frames=FRAMES, height=HEIGHT, width=WIDTH).read(range(FRAMES))
    with open_writer(run.folder / "clip.mp4", frame_rate=25, height=HEIGHT, width=WIDTH) as writer:
        for frame in frames:
            writer.write(frame)
    arguments = (*CLIP, "lossless=true", f"resume={resume}")
    assert run(inpaint.main, *arguments, f"output={output}").status == 0
    disk(kibibytes)
    assert_told(run(inpaint.main, *arguments, f"output=disk/{output}"))
    assert_nothing_partial(run.folder / "disk")
    done = run.folder / "disk" / output
    if done.exists():  # the picture beside it had no room
        with open_clip(done) as clip:
            assert clip.num_frames == FRAMES
    disk(4000)
    anew = () if resume == "true" else ("overwrite=true",)
    again = run(inpaint.main, *arguments, f"output=disk/{output}", *anew)
    assert again.status == 0, again.err
    with open_clip(done) as clip, open_clip(run.folder / output) as expected:
        np.testing.assert_array_equal(clip.read(range(FRAMES)), expected.read(range(FRAMES)))


EVALUATION = ("model=telea", "progress=false", "data.height=72", "data.width=80", "data.val.num_clips=4",
              "limit_frames=4", "save_clips=true", "pictures=1")  # fmt: skip


@pytest.mark.parametrize("kibibytes", [12, 24, 60, 100, 200])
def test_evaluating(run: Runner, disk: Resize, kibibytes: int) -> None:
    assert run(evaluate.main, *EVALUATION, "hydra.run.dir=whole").status == 0
    disk(kibibytes)
    assert_told(run(evaluate.main, *EVALUATION, "hydra.run.dir=disk/run"))
    folder = run.folder / "disk" / "run"
    assert_nothing_partial(folder)
    for record in folder.glob("records/*"):
        with safe_open(record, framework="pt") as file:
            assert file.metadata()["clip"]
    for written in folder.glob("*.json"):
        json.loads(written.read_text())
    disk(4000)
    again = run(evaluate.main, *EVALUATION, "resume=disk/run")
    assert again.status == 0, again.err
    ours, theirs = (json.loads((path / "result.json").read_text()) for path in (folder, run.folder / "whole"))
    assert ours["metrics"] == theirs["metrics"]


@pytest.mark.parametrize("kibibytes", [40, 700, 1200, 2300, 2500])
def test_training(run: Runner, disk: Resize, kibibytes: int) -> None:
    disk(kibibytes)
    arguments = (*TINY_TRAINING, "callbacks.last.every_n_train_steps=1", "hydra.run.dir=disk/run")
    assert_told(run(train.main, *arguments))
    folder = run.folder / "disk" / "run"
    assert_nothing_partial(folder)
    for checkpoint in folder.glob("checkpoints/*"):
        assert torch.load(checkpoint, weights_only=True)["state_dict"]
    for weights in folder.glob("weights/*"):
        load_pretrained(weights)
    last = folder / "checkpoints" / "last.ckpt"
    disk(8000)
    again = run(train.main, *arguments, *([f"ckpt_path={last}"] if last.exists() else []))
    assert again.status == 0, again.err
    assert torch.load(last, weights_only=True)["global_step"] == 4
