"""``vinpaint-evaluate`` as a person types it: its table, its files, and what it says of a mistake."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio

from commands import Runner, run
from vinpaint.evaluate import main
from vinpaint.video import open_clip

__all__ = ["run"]

TINY = (
    "progress=false",
    "data.height=72",
    "data.width=80",
    "limit_frames=4",
    "limit_clips=2",
    "hydra.run.dir=results",
)


def results(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_table_holds_a_row_per_clip_and_one_over_all(run: Runner) -> None:
    outcome = run(main, "model=telea", *TINY)
    assert outcome.status == 0, outcome.err
    rows = results(run.folder / "results")
    assert [row["clip"] for row in rows] == ["procedural-2-000000", "procedural-2-000001", "all"]
    values = [float(row["psnr"]) for row in rows]
    assert math.isclose(values[2], (values[0] + values[1]) / 2, rel_tol=1e-9)
    assert "| procedural-2-000000 |" in outcome.out


def test_the_numbers_are_those_of_the_saved_frames(run: Runner) -> None:
    outcome = run(main, "model=telea", *TINY, "save_clips=true", "dilation=2")
    assert outcome.status == 0, outcome.err
    from vinpaint.config import build, compose

    clips = build(compose("evaluate", ["dilation=2", *TINY[1:4]]).data).evaluation_set("val")
    row = results(run.folder / "results")[0]
    with open_clip(run.folder / "results" / "clips" / row["clip"]) as saved:
        completed = saved.read(range(4))
    opened = clips.open(0)
    truth, holes = opened.clip.read(range(4)), opened.masks.read(range(4))
    frames = [peak_signal_noise_ratio(t, c, data_range=255) for t, c in zip(truth, completed, strict=True)]
    assert math.isclose(float(row["psnr"]), np.mean(frames), abs_tol=1e-4)
    assert (completed[~holes] == truth[~holes]).all()
    plain = build(compose("evaluate", list(TINY[1:4])).data).evaluation_set("val").open(0).masks.read([0])[0]
    np.testing.assert_array_equal(holes[0], ndimage.binary_dilation(plain, iterations=2))


def test_two_models_see_the_same_holes(run: Runner) -> None:
    for model in ("telea", "identity"):
        assert run(main, f"model={model}", *TINY, f"hydra.run.dir={model}", "save_clips=true").status == 0
    clip = results(run.folder / "telea")[0]["clip"]
    changed = []
    for model in ("telea", "identity"):
        with open_clip(run.folder / model / "clips" / clip) as saved:
            changed.append(saved.read(range(4)))
    differ = (changed[0] != changed[1]).any(-1)
    assert 0 < differ.mean() < 0.3  # the hole, and nothing but the hole


def test_the_record_says_how_the_numbers_were_made(run: Runner) -> None:
    assert run(main, "model=telea", *TINY, "seed=3").status == 0
    record = json.loads((run.folder / "results" / "results.json").read_text())
    assert record["config"]["seed"] == 3
    assert record["config"]["data"]["seed"] == 3
    assert record["versions"]["torch"]
    assert record["clips"][0]["clip"] == "procedural-2-000000"


def test_multirun_measures_every_combination(run: Runner) -> None:
    tiny = [argument for argument in TINY if not argument.startswith("hydra")]
    outcome = run(main, "-m", "model=telea,identity", *tiny, "hydra.sweep.dir=sweep")
    assert outcome.status == 0, outcome.err
    assert json.loads((run.folder / "sweep" / "0" / "results.json").read_text())["model"] == "telea"
    assert json.loads((run.folder / "sweep" / "1" / "results.json").read_text())["model"] == "identity"


def test_a_data_set_that_is_not_there_is_one_line(run: Runner) -> None:
    outcome = run(main, "model=telea", "data=davis", "progress=false", "hydra.run.dir=results")
    assert outcome.status == 2
    assert outcome.err.startswith("vinpaint-evaluate: ")
    assert outcome.err.count("\n") == 1
    assert "davis" in outcome.err
