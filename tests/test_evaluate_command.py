"""``vinpaint-evaluate`` as a person types it: its table, its files, and what it says of a mistake."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor, nn

from commands import Runner, run
from vinpaint.config import build, compose
from vinpaint.evaluate import main
from vinpaint.inference.baselines import DiffusionInpainter
from vinpaint.inference.inpainter import MaskedClip
from vinpaint.models.sttn import STTN
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


SWEEP = tuple(argument for argument in TINY if not argument.startswith("hydra"))


def without_speed(folder: Path) -> dict[str, Any]:
    """What result.json says, but for how fast it was."""
    record = json.loads((folder / "result.json").read_text())
    for row in [record, *record["clips"]]:
        assert row.pop("frames_per_second") > 0
    for key in ("machine", "seconds", "started", "peak_memory", "files"):
        del record[key]
    return record


class Stumbling:
    """Replaces the streaming of an engine: fails on one clip with a given error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, clip: str, error: BaseException) -> None:
        self.seen: list[str] = []
        stream = DiffusionInpainter.stream

        def stumble(engine: DiffusionInpainter, masked: MaskedClip) -> Iterator[Tensor]:
            self.seen.append(masked.name)
            if masked.name == clip:
                raise error
            return stream(engine, masked)

        monkeypatch.setattr(DiffusionInpainter, "stream", stumble)


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
    record = json.loads((run.folder / "results" / "result.json").read_text())
    assert record["config"]["seed"] == 3
    assert record["config"]["data"]["seed"] == 3
    assert record["seeds"] == {"training": 3, "masks": 3}
    assert record["versions"]["torch"]
    assert record["git"] is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", record["git"])
    assert record["machine"]["processes"] == 1
    assert record["choices"]["model"] == "telea"
    assert record["protocol"] is None
    assert record["clips"][0]["clip"] == "procedural-2-000000"
    clips = build(compose("evaluate", ["seed=3", *TINY[1:4]]).data).evaluation_set("val")
    assert record["clips"][0]["hole"] == clips.open(0).masks.read(range(4)).mean()


def test_the_record_names_the_weights_by_their_digest(run: Runner) -> None:
    network: STTN = build(compose("evaluate", ["model=sttn_small"]).model.network)
    network.save_pretrained("weights")
    command = ("model=sttn_small", "weights=weights", *TINY[:3], "limit_frames=1", "limit_clips=1", TINY[-1])
    assert run(main, *command).status == 0
    record = json.loads((run.folder / "results" / "result.json").read_text())
    digest = hashlib.sha256((run.folder / "weights" / "model.safetensors").read_bytes()).hexdigest()
    assert record["weights"]["weights"]["model.safetensors"] == digest
    nn.init.zeros_(next(network.parameters()))
    network.save_pretrained("weights")
    outcome = run(main, "resume=results", "progress=false")
    assert outcome.status == 2
    assert "the weights are not those it was begun with" in outcome.err


def test_random_weights_and_the_flow_are_named_in_every_result(run: Runner) -> None:
    metrics = ("metrics=full", "~metrics.vfid", "metrics.lpips.weights=random")
    assert run(main, "model=telea", *metrics, *TINY, "limit_frames=2").status == 0
    record = json.loads((run.folder / "results" / "result.json").read_text())
    assert {"lpips_random_weights", "warp_error_dis", "warp_error_dis_hole"} <= set(record["metrics"])
    assert record["flow"] == {"metrics.warp_error.flow": "DISFlow"}
    assert record["weights"] == {"metrics.lpips.weights": "random"}


@pytest.mark.slow
def test_every_metric_runs_end_to_end_without_weights(run: Runner) -> None:
    metrics = (
        "metrics=full",
        "metrics.vfid.weights=random",
        "metrics.lpips.weights=random",
        "flow@metrics.warp_error.flow=irr_pwc",
        "metrics.warp_error.flow.weights=random",
    )
    outcome = run(main, "model=telea", "protocol=fuseformer", *metrics, *TINY)
    assert outcome.status == 0, outcome.err
    record = json.loads((run.folder / "results" / "result.json").read_text())
    networks = {k: v for k, v in record["metrics"].items() if k.startswith(("vfid", "lpips", "warp_error"))}
    assert len(networks) == 4
    assert all("random_weights" in name for name in networks), networks
    # Whether the noise of an untrained flow leaves anything of the holes differs between kinds of processors.
    in_holes = "warp_error_irr_pwc_random_weights_hole"
    nowhere = all(row[in_holes] is None for row in record["clips"])
    missing = [name for name, value in record["metrics"].items() if value is None]
    assert missing == ([in_holes] if nowhere else [])
    ours = record["protocol"]["rows"][-1]["values"]
    assert ours["vfid"] is None
    assert ours["warp_error"] is None


def test_clips_without_a_size_of_their_own_are_one_line(run: Runner) -> None:
    outcome = run(main, "model=telea", "size=native", "progress=false", "hydra.run.dir=results")
    assert outcome.status == 2
    assert "choose another size or data" in outcome.err
    assert outcome.err.count("\n") == 1


def test_multirun_measures_every_combination(run: Runner) -> None:
    outcome = run(main, "-m", "model=telea,identity", *SWEEP, "hydra.sweep.dir=sweep")
    assert outcome.status == 0, outcome.err
    assert json.loads((run.folder / "sweep" / "0" / "result.json").read_text())["model"] == "telea"
    assert json.loads((run.folder / "sweep" / "1" / "result.json").read_text())["model"] == "identity"


def test_an_interrupted_run_goes_on_to_the_same_numbers(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(main, "model=telea", *TINY, "seed=3", "hydra.run.dir=whole").status == 0
    with monkeypatch.context() as patch:
        Stumbling(patch, clip="procedural-2-000001", error=KeyboardInterrupt())
        stopped = run(main, "model=telea", *TINY, "seed=3")
    assert stopped.status == 130
    assert "1 of 2 clips are measured and kept; go on with vinpaint-evaluate resume=results" in stopped.err
    assert not (run.folder / "results" / "results.csv").exists()
    with monkeypatch.context() as patch:
        rest = Stumbling(patch, clip="", error=KeyboardInterrupt())
        resumed = run(main, "resume=results", "progress=false")
    assert resumed.status == 0, resumed.err
    assert rest.seen == ["procedural-2-000001"]
    assert without_speed(run.folder / "results") == without_speed(run.folder / "whole")


def test_a_run_is_not_resumed_with_another_configuration(run: Runner) -> None:
    assert run(main, "model=telea", *TINY).status == 0
    outcome = run(main, "resume=results", "model=telea", *TINY[:-1], "dilation=2")
    assert outcome.status == 2
    assert "was begun with dilation=0, not 2" in outcome.err
    assert outcome.err.count("\n") == 1
    assert run(main, "resume=results", "model=telea", *TINY[:-1]).status == 0


@pytest.mark.parametrize(("folder", "reason"), [("absent", "no such folder"), ("empty", "no evaluation was begun")])
def test_resuming_nothing_is_one_line(run: Runner, folder: str, reason: str) -> None:
    (run.folder / "empty").mkdir()
    outcome = run(main, f"resume={folder}")
    assert outcome.status == 2
    assert reason in outcome.err
    assert outcome.err.count("\n") == 1


def test_without_resume_an_evaluation_begins_anew(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(main, "model=telea", *TINY).status == 0
    again = Stumbling(monkeypatch, clip="", error=KeyboardInterrupt())
    assert run(main, "model=telea", *TINY).status == 0
    assert len(again.seen) == 2


def test_what_an_unfinished_evaluation_measured_is_not_thrown_away(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        Stumbling(patch, clip="procedural-2-000001", error=KeyboardInterrupt())
        assert run(main, "model=telea", *TINY).status == 130
    again = run(main, "model=telea", *TINY)
    assert again.status == 2
    assert "holds 1 of 2 clips of an unfinished evaluation, which beginning anew would throw away" in again.err
    assert "go on with vinpaint-evaluate resume=results" in again.err
    assert again.err.count("\n") == 1
    assert (run.folder / "results" / "records" / "00000.safetensors").is_file()
    (run.folder / "results" / "evaluation.json").write_text("torn")
    assert run(main, "model=telea", *TINY).status == 0  # nothing can go on with that


def test_a_failing_clip_names_itself_and_leaves_the_others(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        Stumbling(patch, clip="procedural-2-000000", error=OSError("cannot be read"))
        outcome = run(main, "model=telea", *TINY)
    assert outcome.status == 2
    assert "1 of 2 clips failed, the others are kept: procedural-2-000000: cannot be read" in outcome.err
    assert outcome.err.count("\n") == 1
    rest = Stumbling(monkeypatch, clip="", error=KeyboardInterrupt())
    assert run(main, "resume=results", "progress=false").status == 0
    assert rest.seen == ["procedural-2-000000"]


def test_a_damaged_record_is_one_line(run: Runner) -> None:
    assert run(main, "model=telea", *TINY).status == 0
    (run.folder / "results" / "records" / "00001.safetensors").write_bytes(b"torn")
    outcome = run(main, "resume=results", "progress=false")
    assert outcome.status == 2
    assert "00001.safetensors is damaged" in outcome.err


def test_two_processes_give_the_numbers_of_one(run: Runner) -> None:
    assert run(main, "model=telea", *TINY, "hydra.run.dir=one").status == 0
    outcome = run(main, "model=telea", *TINY, "hydra.run.dir=two", "processes=2")
    assert outcome.status == 0, outcome.err
    assert without_speed(run.folder / "two") == without_speed(run.folder / "one")


def test_shards_give_the_numbers_of_one_worker(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("model=telea", *TINY, "limit_clips=3")
    assert run(main, *arguments, "hydra.run.dir=whole").status == 0
    with monkeypatch.context() as patch:
        seen = Stumbling(patch, clip="", error=KeyboardInterrupt()).seen
        for index, done in ((1, 1), (0, 3), (0, 3)):  # the last start finds nothing to do
            outcome = run(main, *arguments, "hydra.run.dir=shared", f"shard.index={index}", "shard.count=2")
            assert outcome.status == 0, outcome.err
            assert f"{done} of 3 clips are measured" in outcome.out
            assert "vinpaint-evaluate resume=shared" in outcome.out
        assert run(main, "resume=shared", "progress=false").status == 0
        assert len(seen) == 3
    assert without_speed(run.folder / "shared") == without_speed(run.folder / "whole")
    other = run(main, *arguments, "hydra.run.dir=shared", "shard.count=2", "seed=5")
    assert other.status == 2
    assert "was begun with seed=0" in other.err


@pytest.mark.slow
def test_a_failing_clip_of_a_process_names_itself(run: Runner) -> None:
    clips = run.folder / "clips"
    for name in ("broken", "sound"):
        (clips / name).mkdir(parents=True)
        for index in range(3):
            cv2.imwrite(str(clips / name / f"{index}.png"), np.full((80, 96, 3), 40 * index, np.uint8))
    (clips / "broken" / "1.png").write_bytes(b"torn")
    small = [argument for argument in TINY if not argument.startswith("limit")]
    outcome = run(main, "model=telea", "data=folder", f"data.val.root={clips}", *small, "processes=2")
    assert outcome.status == 2
    assert "1 of 2 clips failed, the others are kept" in outcome.err
    assert "broken" in outcome.err
    assert [path.name for path in (run.folder / "results" / "records").iterdir()] == ["00001.safetensors"]


@pytest.mark.slow
def test_what_keeps_every_process_from_starting_is_one_line(run: Runner) -> None:
    outcome = run(main, "model=cpnet_small", *TINY, "processes=2")
    assert outcome.status == 2
    assert "model=cpnet_small needs weights" in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_sweep_leaves_one_table_of_all_jobs(run: Runner) -> None:
    bank = run.folder / "davis" / "Annotations" / "480p" / "square"
    bank.mkdir(parents=True)
    for index in range(4):
        mask = np.zeros((72, 80), np.uint8)
        mask[20:40, 10 + 5 * index : 30 + 5 * index] = 255
        cv2.imwrite(str(bank / f"{index}.png"), mask)
    command = ("model=telea,identity", "mask=stationary,object", f"paths.data_dir={run.folder}", "seed=0,1")
    outcome = run(main, "-m", *command, *SWEEP, "limit_clips=1", "hydra.sweep.dir=sweep")
    assert outcome.status == 0, outcome.err
    with (run.folder / "sweep" / "table.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["mask"], row["data"], row["overrides"]) for row in rows] == [
        (model, mask, "procedural", f"seed={seed}")
        for model in ("telea", "identity")
        for mask in ("stationary", "object")
        for seed in (0, 1)
    ]
    job = json.loads((run.folder / "sweep" / "5" / "result.json").read_text())
    assert float(rows[5]["psnr"]) == job["metrics"]["psnr"]
    table = (run.folder / "sweep" / "table.md").read_text()
    assert table.count("\n") == 10
    assert table in outcome.out


def test_the_record_says_that_clips_keep_their_own_masks(run: Runner) -> None:
    for clip in ("clips/a", "masks/a"):
        (run.folder / clip).mkdir(parents=True)
        for index in range(3):
            picture = np.zeros((48, 64), np.uint8)
            picture[16:32, 8:24] = 255
            cv2.imwrite(str(run.folder / clip / f"{index}.png"), picture)
    data = ("data=folder", "data.val.root=.", "data.val.clips=clips/*", "data.val.masks='masks/{name}'", "size=native")
    outcome = run(main, "model=telea", *data, "data.val_mask=own", "mask=moving", "hydra.run.dir=results")
    assert outcome.status == 0, outcome.err
    record = json.loads((run.folder / "results" / "result.json").read_text())
    assert record["choices"]["mask"] == "own"
    assert record["hole"] == pytest.approx(16 * 16 / (48 * 64))


def test_a_sweep_goes_on_where_it_was_interrupted(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        Stumbling(patch, clip="procedural-2-000001", error=KeyboardInterrupt())
        stopped = run(main, "-m", "model=telea", "dilation=0,1", *SWEEP, "hydra.sweep.dir=sweep")
    assert stopped.status == 130
    rest = Stumbling(monkeypatch, clip="", error=KeyboardInterrupt())
    outcome = run(main, "-m", "model=telea", "dilation=0,1", *SWEEP, "resume=sweep")
    assert outcome.status == 0, outcome.err
    assert len(rest.seen) == 3
    assert (run.folder / "sweep" / "table.md").read_text().count("\n") == 4


def test_jobs_may_lie_deeper_in_the_folder_of_a_sweep(run: Runner) -> None:
    subdir = "hydra.sweep.subdir=${model.name}/${hydra.job.num}"
    outcome = run(main, "-m", "model=telea,identity", *SWEEP, "hydra.sweep.dir=sweep", subdir)
    assert outcome.status == 0, outcome.err
    assert (run.folder / "sweep" / "identity" / "1" / "result.json").is_file()
    assert (run.folder / "sweep" / "table.md").read_text().count("\n") == 4


@pytest.mark.parametrize("option", ["limit_clips=0", "processes=0"])
def test_less_than_one_is_refused(run: Runner, option: str) -> None:
    outcome = run(main, "model=telea", *TINY, option)
    assert outcome.status == 2
    assert f"{option}: expected 1 or more" in outcome.err


def test_recorded_masks_that_are_not_there_say_what_to_set(run: Runner) -> None:
    outcome = run(main, "model=telea", "mask=object", *TINY)
    assert outcome.status == 2
    assert "set data.mask.folder" in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_data_set_that_is_not_there_is_one_line(run: Runner) -> None:
    outcome = run(main, "model=telea", "data=davis", "progress=false", "hydra.run.dir=results")
    assert outcome.status == 2
    assert outcome.err.startswith("vinpaint-evaluate: ")
    assert outcome.err.count("\n") == 1
    assert "davis" in outcome.err
