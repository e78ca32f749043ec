"""The table of STRA-Net from a bare checkout, and from a folder of clips and a folder of masks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import Runner, run
from vinpaint.evaluate import main

__all__ = ["run"]

TINY = ("data.height=48", "data.width=64", "limit_frames=2", "progress=false", "model=identity", "protocol=stra_paper")


def folders(root: Path, names: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    for name in names:
        (root / "clips" / name).mkdir(parents=True)
        (root / "masks" / name).mkdir(parents=True)
        for frame in range(3):
            picture = rng.integers(0, 255, (48, 64, 3)).astype(np.uint8)
            Image.fromarray(picture).save(root / "clips" / name / f"{frame}.png")
            mask = np.zeros((48, 64), dtype=bool)
            mask[: 4 * (1 + names.index(name)), :16] = True  # the share of the hole tells whose mask it is
            Image.fromarray(mask).save(root / "masks" / name / f"{frame}.png")


def test_the_protocol_runs_without_any_file(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VINPAINT_MASKS", raising=False)
    outcome = run(main, *TINY, "limit_clips=1", "hydra.run.dir=results")
    assert outcome.status == 0, outcome.err
    assert "| STRA-Net" in outcome.out


def test_every_clip_is_measured_under_the_masks_of_another(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VINPAINT_MASKS", raising=False)
    names = ("ant", "bee", "cow")
    folders(run.folder, names)
    data = ("data=composite", "data.val.clips.root=clips", "data.val.masks=masks", "hydra.run.dir=results")
    outcome = run(main, *TINY, *data)
    assert outcome.status == 0, outcome.err
    (record,) = [path for path in (run.folder / "results").glob("result*.json")]
    clips = json.loads(record.read_text())["clips"]
    whose = {clip["clip"]: names[round(clip["hole"] * 48) - 1] for clip in clips}
    assert set(whose) == set(whose.values()) == set(names)
    assert all(clip != other for clip, other in whose.items())


def test_a_folder_without_masks_is_explained(run: Runner) -> None:
    folders(run.folder, ("ant", "bee"))
    data = ("data=composite", "data.val.clips.root=clips", "data.val.masks=nowhere", "hydra.run.dir=results")
    outcome = run(main, *TINY, *data)
    assert outcome.status == 2
    assert "mask bank nowhere: no such folder" in outcome.err
