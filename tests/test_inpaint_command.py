"""``vinpaint-inpaint`` as a person types it: what it leaves behind, and what it says of a mistake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import Runner, run
from vinpaint.data import ProceduralClip
from vinpaint.inference import baselines
from vinpaint.inpaint import main
from vinpaint.video import open_clip, open_writer

__all__ = ["run"]

FRAMES, HEIGHT, WIDTH = 6, 48, 64
FAST = ("model=telea", "progress=false")


@pytest.fixture
def truth() -> np.ndarray:
    return ProceduralClip(5, num_frames=FRAMES, height=HEIGHT, width=WIDTH).read(range(FRAMES))


@pytest.fixture
def hole() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[10:22, 20:40] = True
    return mask


def write_frames(folder: Path, frames: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{index:05d}.png")
    return folder


def write_video(path: Path, frames: np.ndarray, *, frame_rate: int = 25) -> Path:
    height, width = frames.shape[1:3]
    with open_writer(path, frame_rate=frame_rate, height=height, width=width) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def write_masks(folder: Path, mask: np.ndarray, count: int = FRAMES) -> Path:
    return write_frames(folder, np.repeat(mask[None].astype(np.uint8) * 255, count, axis=0))


def test_a_video_keeps_its_length_size_and_rate(run: Runner, truth: np.ndarray, hole: np.ndarray) -> None:
    write_video(run.folder / "clip.mp4", truth)
    write_masks(run.folder / "masks", hole)
    outcome = run(main, *FAST, "input=clip.mp4", "masks=masks", "output=done.mp4")
    assert outcome.status == 0, outcome.err
    assert "done.mp4: 6 frames of 64x48" in outcome.out
    with open_clip(run.folder / "done.mp4") as clip:
        assert (clip.num_frames, clip.height, clip.width, clip.frame_rate) == (FRAMES, HEIGHT, WIDTH, 25)
    assert Image.open(run.folder / "done_preview.png").width > 6 * WIDTH


def test_known_pixels_are_untouched(run: Runner, truth: np.ndarray, hole: np.ndarray) -> None:
    write_frames(run.folder / "frames", truth)
    write_masks(run.folder / "masks", hole)
    assert run(main, *FAST, "input=frames", "masks=masks", "output=done").status == 0
    with open_clip(run.folder / "done") as clip:
        completed = clip.read(range(FRAMES))
    assert (completed[:, ~hole] == truth[:, ~hole]).all()
    assert (completed[:, hole] != truth[:, hole]).any()


def test_every_kind_of_mask_gives_the_same_result(run: Runner, truth: np.ndarray, hole: np.ndarray) -> None:
    write_frames(run.folder / "frames", truth)
    write_masks(run.folder / "masks", hole)
    write_masks(run.folder / "single", hole, count=1)
    write_video(run.folder / "masks.mp4", np.repeat(hole[None, ..., None].astype(np.uint8) * 255, 3, -1)[[0] * FRAMES])
    kinds = {"folder": "masks", "still": "single/00000.png", "video": "masks.mp4", "box": "[20,10,20,12]"}
    results = []
    for name, spec in kinds.items():
        outcome = run(main, *FAST, "input=frames", f"masks={spec}", f"output={name}")
        assert outcome.status == 0, outcome.err
        with open_clip(run.folder / name) as clip:
            results.append(clip.read(range(FRAMES)))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_a_folder_of_clips_is_completed_and_one_bad_clip_stops_no_other(
    run: Runner, truth: np.ndarray, hole: np.ndarray
) -> None:
    for name in ("a", "b"):
        write_frames(run.folder / "clips" / name, truth)
        write_masks(run.folder / "masks" / name, hole)
    (run.folder / "clips" / "bad.mp4").write_bytes(b"no video")
    write_masks(run.folder / "masks" / "bad", hole)
    outcome = run(main, *FAST, "input=clips", "masks=masks", "output=done")
    assert outcome.status == 2
    assert "1 of 3 clips could not be completed: bad.mp4" in outcome.err
    assert sorted(p.name for p in (run.folder / "done").glob("*.mp4")) == ["a.mp4", "b.mp4"]


def test_without_input_a_demo_clip_is_completed_and_measured(run: Runner) -> None:
    outcome = run(main, *FAST, "demo.clip.num_frames=4", "demo.clip.height=64", "demo.clip.width=96")
    assert outcome.status == 0, outcome.err
    assert "dB in the hole (telea)" in outcome.out
    assert (run.folder / "vinpaint_demo.mp4").is_file()


def test_multirun_completes_one_clip_per_value(run: Runner, truth: np.ndarray) -> None:
    write_video(run.folder / "a.mp4", truth)
    write_video(run.folder / "b.mp4", truth)
    assert run(main, *FAST, "-m", "input=a.mp4,b.mp4", "masks=[1,2,8,8]").status == 0
    assert (run.folder / "a_completed.mp4").is_file()
    assert (run.folder / "b_completed.mp4").is_file()


def test_an_existing_output_is_kept_unless_told_otherwise(run: Runner, truth: np.ndarray) -> None:
    write_frames(run.folder / "frames", truth)
    (run.folder / "done.mp4").write_text("mine")
    refused = run(main, *FAST, "input=frames", "masks=[1,2,8,8]", "output=done.mp4")
    assert refused.status == 2
    assert "done.mp4 exists" in refused.err
    assert (run.folder / "done.mp4").read_text() == "mine"
    assert run(main, *FAST, "input=frames", "masks=[1,2,8,8]", "output=done.mp4", "overwrite=true").status == 0
    assert (run.folder / "done.mp4").stat().st_size > 100


def test_an_interruption_leaves_nothing(run: Runner, truth: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    write_frames(run.folder / "frames", truth)
    finished = baselines.DiffusionInpainter.stream

    def interrupted(self: object, clip: object) -> object:
        for index, frame in enumerate(finished(self, clip)):  # type: ignore[arg-type]
            if index == 3:
                raise KeyboardInterrupt
            yield frame

    monkeypatch.setattr(baselines.DiffusionInpainter, "stream", interrupted)
    outcome = run(main, *FAST, "input=frames", "masks=[1,2,8,8]", "output=done.mp4")
    assert outcome.status == 130
    assert [path.name for path in run.folder.iterdir()] == ["frames"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["input=nowhere.mp4", "masks=[0,0,2,2]"], "nowhere.mp4: no such file or folder"),
        (["input=frames"], "masks= is missing"),
        (["input=frames", "masks=nowhere"], "masks nowhere: no such file or folder"),
        (["input=frames", "masks=[60,0,20,2]"], "64x48"),
        (["input=frames", "masks=five"], "5 masks for 6 frames"),
        (["input=frames", "masks=small"], "masks small are 32x24 but the frames are 64x48"),
        (["input=empty.mp4", "masks=[0,0,2,2]"], "empty"),
        (["input=notes.mp4", "masks=[0,0,2,2]"], "notes.mp4"),
        (["input=hollow", "masks=[0,0,2,2]"], "hollow"),
        (["input=frames", "masks=[0,0,2,2]", "output=done.gif"], "cannot write .gif"),
        (["input=frames", "masks=[0,0,2,2]", "model=cpnet"], "model=cpnet needs weights="),
        (["input=frames", "masks=[0,0,2,2]", "weights=w.pth"], "model=telea has no weights to load"),
        (["input=frames", "masks=[0,0,2,2]", "dilaton=2"], "did you mean dilation"),
        (["input=frames", "masks=[0,0,2,2]", "model=flow_gided"], "did you mean flow_guided"),
        (["input=frames", "masks=[0,0,2,2]", "model.engine.radis=2"], "did you mean model.engine.radius"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    run: Runner, truth: np.ndarray, hole: np.ndarray, arguments: list[str], says: str
) -> None:
    write_frames(run.folder / "frames", truth)
    write_masks(run.folder / "five", hole, count=5)
    write_masks(run.folder / "small", hole[::2, ::2])
    (run.folder / "hollow").mkdir()
    (run.folder / "empty.mp4").touch()
    (run.folder / "notes.mp4").write_text("buy milk")
    before = {path.name for path in run.folder.iterdir()}
    outcome = run(main, *FAST, *arguments)
    assert outcome.status == 2
    assert outcome.err.startswith("vinpaint-inpaint: ")
    assert outcome.err.count("\n") == 1
    assert says in outcome.err
    assert {path.name for path in run.folder.iterdir()} == before


def test_help_explains_every_option(run: Runner) -> None:
    outcome = run(main, "--help")
    assert outcome.status == 0
    for option in ("input: null", "masks: null", "dilation: 0", "overwrite: false"):
        line = next(line for line in outcome.out.splitlines() if option in line)
        assert "#" in line
    assert "model=flow_guided" in outcome.out
