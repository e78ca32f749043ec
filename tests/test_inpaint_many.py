"""``vinpaint-inpaint`` over many clips: lists, shards, second starts, and what an interruption leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from commands import Runner, run
from vinpaint.data import ProceduralClip
from vinpaint.data.shards import shard_of
from vinpaint.errors import UserError
from vinpaint.inference import baselines
from vinpaint.inference.inpainter import MaskedClip
from vinpaint.inpaint import main
from vinpaint.video import open_clip, open_writer

__all__ = ["run"]

FRAMES, HEIGHT, WIDTH = 6, 32, 48
FAST = ("model=telea", "progress=false", "preview=false")
BOX = "masks=[10,8,12,9]"


@pytest.fixture
def truth() -> np.ndarray:
    return ProceduralClip(5, num_frames=FRAMES, height=HEIGHT, width=WIDTH).read(range(FRAMES))


def write_clip(path: Path, frames: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_writer(path, frame_rate=25, height=HEIGHT, width=WIDTH) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def clips(folder: Path, frames: np.ndarray, names: str) -> None:
    for name in names:
        write_clip(folder / "clips" / f"{name}.mp4", frames)


def outputs(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


class Counted(baselines.DiffusionInpainter):
    """An engine that writes down which frames it completed, and stops where it is told to."""

    __module__ = baselines.__name__  # a configuration names nothing that is not of the library
    completed: list[int] = []  # noqa: RUF012 - reset by the fixture
    stop_at: int | None = None

    def stream_from(self, clip: MaskedClip, start: int, earlier: object) -> Iterator[object]:  # type: ignore[override]
        for index, frame in enumerate(super().stream_from(clip, start, earlier), start=start):  # type: ignore[arg-type]
            if index == self.stop_at:
                raise KeyboardInterrupt
            self.completed.append(index)
            yield frame


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> type[Counted]:
    monkeypatch.setattr(baselines, "DiffusionInpainter", Counted)
    monkeypatch.setattr(Counted, "completed", [])
    monkeypatch.setattr(Counted, "stop_at", None)
    return Counted


# ---------------------------------------------------------------- shards and lists


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12])
def test_shards_hold_every_item_once_and_differ_in_length_by_one(count: int) -> None:
    items = [f"clip{number}" for number in range(10)]
    shards = [shard_of(items, index=index, count=count) for index in range(count)]
    assert sorted(item for shard in shards for item in shard) == items
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.mark.parametrize(("index", "count"), [(2, 2), (-1, 2), (0, 0), (0.5, 2)])
def test_a_shard_that_is_none_is_refused(index: int, count: int) -> None:
    with pytest.raises(UserError, match=r"shard\.index="):
        shard_of([1, 2], index=index, count=count)


def test_workers_share_a_folder(run: Runner, truth: np.ndarray) -> None:
    clips(run.folder, truth, "abcde")
    for index in range(2):
        outcome = run(main, *FAST, "input=clips", BOX, "output=out", f"shard.index={index}", "shard.count=2")
        assert outcome.status == 0, outcome.err
        assert outputs(run.folder / "out") == ({"a.mp4", "c.mp4", "e.mp4"}, {f"{n}.mp4" for n in "abcde"})[index]


def test_a_list_names_clips_masks_and_outputs(run: Runner, truth: np.ndarray) -> None:
    clips(run.folder, truth, "ab")
    lines = [
        {"input": "clips/a.mp4", "masks": [1, 2, 8, 8], "output": "there/first.mp4"},
        {"input": "clips/b.mp4", "output": "there/second"},
    ]
    (run.folder / "sets").mkdir()
    (run.folder / "clips").rename(run.folder / "sets" / "clips")
    (run.folder / "sets" / "list.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    outcome = run(main, *FAST, "input=sets/list.jsonl", BOX)
    assert outcome.status == 0, outcome.err
    made = outputs(run.folder / "sets" / "there")
    assert made == {"first.mp4", *(f"second/{index:05d}.png" for index in range(FRAMES))}
    with (
        open_clip(run.folder / "sets/there/second") as second,
        open_clip(run.folder / "sets/clips/b.mp4") as input_clip,
    ):
        changed = (second.read([0]) != input_clip.read([0])).any(axis=-1)[0]
    assert changed[8:17, 10:22].any()
    changed[8:17, 10:22] = False
    assert not changed.any()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no clip in it"),
        ("clips/a.mp4\n", "list.jsonl:1: not JSON"),
        ('{"input": "clips/a.mp4"}\n["clips/a.mp4"]\n', "list.jsonl:2: "),
        ('{"clip": "clips/a.mp4"}\n', "expected an object with input"),
        ('{"input": "clips/a.mp4"}\n' * 2, "would both become"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused_in_one_line(
    run: Runner, truth: np.ndarray, content: str, says: str
) -> None:
    clips(run.folder, truth, "a")
    (run.folder / "list.jsonl").write_text(content)
    before = outputs(run.folder)
    outcome = run(main, *FAST, "input=list.jsonl", BOX)
    assert outcome.status == 2
    assert says in outcome.err
    assert outcome.err.count("\n") == 1
    assert outputs(run.folder) == before


def test_clips_that_would_overwrite_each_other_are_refused(run: Runner, truth: np.ndarray) -> None:
    clips(run.folder, truth, "a")
    write_clip(run.folder / "clips" / "a.mov", truth)
    outcome = run(main, *FAST, "input=clips", BOX, "output=out")
    assert outcome.status == 2
    assert "would both become out/a.mp4" in outcome.err


# ---------------------------------------------------------------- second starts


def test_a_second_start_does_only_what_is_missing(run: Runner, truth: np.ndarray, counted: type[Counted]) -> None:
    clips(run.folder, truth, "abc")
    arguments = (*FAST, "input=clips", BOX, "output=out", "resume=true")
    assert run(main, *arguments).status == 0
    before = {path: path.stat().st_mtime_ns for path in (run.folder / "out").iterdir()}
    (run.folder / "out" / "b.mp4").unlink()
    counted.completed.clear()
    outcome = run(main, *arguments)
    assert outcome.status == 0, outcome.err
    assert "2 of 3 clips are complete already" in outcome.out
    assert counted.completed == list(range(FRAMES))
    after = {path: path.stat().st_mtime_ns for path in (run.folder / "out").iterdir()}
    assert after.keys() == before.keys()
    assert {path.name for path in after if after[path] != before[path]} == {"b.mp4"}


def test_an_interrupted_clip_goes_on_where_it_stopped(
    run: Runner, truth: np.ndarray, counted: type[Counted], monkeypatch: pytest.MonkeyPatch
) -> None:
    clips(run.folder, truth, "a")
    arguments = (*FAST, "input=clips/a.mp4", BOX, "lossless=true", "resume=true")
    assert run(main, *arguments, "output=whole.mkv").status == 0
    monkeypatch.setattr(counted, "stop_at", 4)
    assert run(main, *arguments, "output=done.mkv").status == 130
    assert outputs(run.folder) == {"clips/a.mp4", "whole.mkv", ".done.mkv.unfinished"}
    monkeypatch.setattr(counted, "stop_at", None)
    counted.completed.clear()
    outcome = run(main, *arguments, "output=done.mkv")
    assert outcome.status == 0, outcome.err
    assert "4 of 6 frames are kept" in outcome.out
    assert counted.completed == [4, 5]
    assert outputs(run.folder) == {"clips/a.mp4", "whole.mkv", "done.mkv"}
    with open_clip(run.folder / "done.mkv") as done, open_clip(run.folder / "whole.mkv") as whole:
        np.testing.assert_array_equal(done.read(range(FRAMES)), whole.read(range(FRAMES)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("model.engine.radius=3", "another model"),
        ("dilation=1", "another reading"),
        ("masks=[1,1,4,4]", "another masks"),
    ],
)
def test_another_run_does_not_go_on_with_an_interrupted_one(
    run: Runner, truth: np.ndarray, counted: type[Counted], change: str, says: str
) -> None:
    clips(run.folder, truth, "a")
    arguments = (*FAST, "input=clips/a.mp4", BOX, "output=done.mp4", "resume=true")
    counted.stop_at = 4
    assert run(main, *arguments).status == 130
    left = (run.folder / ".done.mp4.unfinished").read_bytes()
    key = change.partition("=")[0]
    refused = run(main, *(a for a in arguments if not a.startswith(key)), change)
    assert refused.status == 2
    assert says in refused.err
    assert refused.err.count("\n") == 1
    assert (run.folder / ".done.mp4.unfinished").read_bytes() == left


def test_an_engine_that_cannot_go_on_says_so_and_starts_over(
    run: Runner, truth: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Plain:
        __module__ = baselines.__name__

        def __init__(self, *, method: str, radius: float) -> None:
            self.stream = baselines.IdentityInpainter(level=0.0).stream

    # in place of the class, not of its method: what a class can do is remembered when it is first asked for
    monkeypatch.setattr(baselines, "DiffusionInpainter", Plain)
    clips(run.folder, truth, "a")
    outcome = run(main, *FAST, "input=clips/a.mp4", BOX, "output=done.mp4", "resume=true")
    assert outcome.status == 0, outcome.err
    assert "cannot go on in the middle of a clip" in outcome.err
    assert outputs(run.folder) == {"clips/a.mp4", "done.mp4"}


def test_resume_and_overwrite_contradict_each_other(run: Runner, truth: np.ndarray) -> None:
    clips(run.folder, truth, "a")
    outcome = run(main, *FAST, "input=clips", BOX, "resume=true", "overwrite=true")
    assert outcome.status == 2
    assert "give one of them" in outcome.err


# ---------------------------------------------------------------- a worker that is lost


def _start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vinpaint.inpaint", *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.faults
def test_a_killed_worker_costs_its_unfinished_clips_only(run: Runner) -> None:
    long = ProceduralClip(3, num_frames=60, height=HEIGHT, width=WIDTH).read(range(60))
    for name in "abcdef":
        write_clip(run.folder / "clips" / f"{name}.mp4", long)
    arguments = (*FAST, "input=clips", BOX, "lossless=true", "resume=true")
    assert run(main, *arguments, "output=whole").status == 0

    shard = ("shard.index=0", "shard.count=2")
    worker = _start(run.folder, *arguments, "output=out", *shard)
    deadline = time.monotonic() + 120
    try:
        while not (run.folder / "out" / ".c.mp4.unfinished").exists():  # the second clip of three has begun
            assert worker.poll() is None, worker.communicate()[1].decode()
            assert time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    done = {path.name: path.stat().st_mtime_ns for path in (run.folder / "out").glob("[a-z].mp4")}
    assert "a.mp4" in done
    assert "e.mp4" not in done

    for index in range(2):
        outcome = run(main, *arguments, "output=out", f"shard.index={index}", "shard.count=2")
        assert outcome.status == 0, outcome.err
        if index == 0:
            assert f"{len(done)} of 3 clips are complete already" in outcome.out
    assert {path.name for path in (run.folder / "out").iterdir()} == {f"{name}.mp4" for name in "abcdef"}
    for name, when in done.items():
        assert (run.folder / "out" / name).stat().st_mtime_ns == when, "what was complete is not touched"
    for name in "abcdef":
        assert (run.folder / "out" / f"{name}.mp4").read_bytes() == (run.folder / "whole" / f"{name}.mp4").read_bytes()
