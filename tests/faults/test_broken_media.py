"""Files that are broken or odd: one line and status 2, or the right result; never a trace, never a remnant."""

from __future__ import annotations

import errno
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import Outcome, Runner, run
from vinpaint.data import ProceduralClip
from vinpaint.inference import finished_frames
from vinpaint.inpaint import main
from vinpaint.video import open_clip, open_writer

__all__ = ["run"]

FRAMES, HEIGHT, WIDTH = 5, 32, 48
FAST = ("model=telea", "progress=false", "preview=false")
BOX = "masks=[10,8,12,9]"


def frames() -> np.ndarray:
    return ProceduralClip(5, num_frames=FRAMES, height=HEIGHT, width=WIDTH).read(range(FRAMES))


def write_images(folder: Path, pictures: list[Image.Image], suffix: str = ".png") -> Path:
    folder.mkdir(parents=True)
    for index, picture in enumerate(pictures):
        picture.save(folder / f"{index:05d}{suffix}")
    return folder


def images() -> list[Image.Image]:
    return [Image.fromarray(frame) for frame in frames()]


def write_video(path: Path) -> Path:
    with open_writer(path, frame_rate=25, height=HEIGHT, width=WIDTH) as writer:
        for frame in frames():
            writer.write(frame)
    return path


def holes(count: int = FRAMES, mode: str = "L") -> list[Image.Image]:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[8:17, 10:22] = 255
    return [Image.fromarray(mask).convert(mode)] * count


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def assert_refused(outcome: Outcome, folder: Path, before: set[str]) -> None:
    assert outcome.status == 2, outcome.out + outcome.err
    assert outcome.err.startswith("vinpaint-inpaint: ")
    assert outcome.err.count("\n") == 1, outcome.err
    assert len(outcome.err) > 30
    assert names(folder) == before, "something is left behind"


# ---------------------------------------------------------------- clips


def _truncated(folder: Path) -> str:
    data = write_video(folder / "whole.mp4").read_bytes()
    (folder / "clip.mp4").write_bytes(data[: len(data) // 3])
    return "clip.mp4"


def _without_moov(folder: Path) -> str:
    data = write_video(folder / "whole.mp4").read_bytes()
    (folder / "clip.mp4").write_bytes(data[data.index(b"mdat") - 4 :])
    return "clip.mp4"


def _zero_bytes(folder: Path) -> str:
    (folder / "clip.mkv").touch()
    return "clip.mkv"


def _text(folder: Path) -> str:
    (folder / "clip.mp4").write_text("no video " * 100)
    return "clip.mp4"


def _video_called_picture(folder: Path) -> str:
    write_video(folder / "clip.mp4").rename(folder / "clip.png")
    return "clip.png"


def _zip_of_text(folder: Path) -> str:
    with zipfile.ZipFile(folder / "clip.zip", "w") as archive:
        archive.writestr("../../evil.txt", "text")
    return "clip.zip"


def _no_zip(folder: Path) -> str:
    (folder / "clip.zip").write_bytes(b"PK\x03\x04" + b"\0" * 100)
    return "clip.zip"


def _two_sizes(folder: Path) -> str:
    pictures = images()
    pictures[3] = pictures[3].resize((WIDTH + 2, HEIGHT))
    write_images(folder / "clip", pictures)
    return "clip"


def _no_images(folder: Path) -> str:
    (folder / "clip").mkdir()
    (folder / "clip" / "notes.txt").write_text("text")
    return "clip"


def _torn_image(folder: Path) -> str:
    path = write_images(folder / "clip", images()) / "00002.png"
    path.write_bytes(path.read_bytes()[:200])
    return "clip"


def _nowhere(folder: Path) -> str:
    return "nowhere.mp4"


def _dangling(folder: Path) -> str:
    (folder / "clip.mp4").symlink_to("gone.mp4")
    return "clip.mp4"


CLIPS = [_truncated, _without_moov, _zero_bytes, _text, _video_called_picture, _zip_of_text, _no_zip, _two_sizes,
         _no_images, _torn_image, _nowhere, _dangling]  # fmt: skip


@pytest.mark.parametrize("make", CLIPS, ids=lambda make: make.__name__[1:])
@pytest.mark.parametrize("resume", ["false", "true"])
def test_a_clip_that_is_none_is_refused_in_one_line(run: Runner, make: Callable[[Path], str], resume: str) -> None:
    name = make(run.folder)
    before = names(run.folder)
    outcome = run(main, *FAST, f"input={name}", BOX, "output=there/done.mp4", f"resume={resume}")
    left = {entry for entry in names(run.folder) if not entry.startswith("there")}
    assert left == before
    if resume == "true":  # what was finished before the fault is kept, and nothing else
        assert names(run.folder) - before <= {"there", "there/.done.mp4.unfinished"}
        return
    before |= {"there"} if (run.folder / "there").exists() else set()
    assert_refused(outcome, run.folder, before)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user who may not read everything")
def test_files_that_may_not_be_read_are_named(run: Runner) -> None:
    path = write_video(run.folder / "clip.mp4")
    path.chmod(0)
    before = names(run.folder)
    outcome = run(main, *FAST, "input=clip.mp4", BOX, "output=done.mp4")
    path.chmod(0o600)
    assert_refused(outcome, run.folder, before)
    assert "clip.mp4" in outcome.err


def _deep(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) << 8)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.convert("RGBA"),
        lambda image: image.convert("LA"),
        lambda image: image.convert("P"),
        lambda image: image.convert("1"),
        lambda image: image.convert("L"),
        _deep,
    ],
    ids=["rgba", "la", "palette", "one_bit", "grey", "grey16"],
)
def test_images_of_every_depth_are_completed(run: Runner, change: Callable[[Image.Image], Image.Image]) -> None:
    write_images(run.folder / "clip", [change(image) for image in images()])
    outcome = run(main, *FAST, "input=clip", BOX, "output=done")
    assert outcome.status == 0, outcome.err
    with open_clip(run.folder / "clip") as before, open_clip(run.folder / "done") as after:
        assert (after.num_frames, after.height, after.width) == (FRAMES, HEIGHT, WIDTH)
        outside = np.ones((HEIGHT, WIDTH), bool)
        outside[8:17, 10:22] = False
        np.testing.assert_array_equal(after.read(range(FRAMES))[:, outside], before.read(range(FRAMES))[:, outside])


# ---------------------------------------------------------------- masks


def _too_few(folder: Path) -> None:
    write_images(folder / "masks", holes(FRAMES - 1))


def _too_many(folder: Path) -> None:
    write_images(folder / "masks", holes(FRAMES + 1))


def _another_size(folder: Path) -> None:
    write_images(folder / "masks", [mask.resize((WIDTH, HEIGHT + 1)) for mask in holes()])


def _odd_one_out(folder: Path) -> None:
    masks = holes()
    masks[2] = masks[2].resize((WIDTH // 2, HEIGHT // 2))
    write_images(folder / "masks", masks)


def _torn_mask(folder: Path) -> None:
    path = write_images(folder / "masks", holes()) / "00003.png"
    path.write_bytes(path.read_bytes()[:60])


def _empty_folder(folder: Path) -> None:
    (folder / "masks").mkdir()


def _text_mask(folder: Path) -> None:
    (folder / "masks").write_text("text")


def _dark_jpeg(folder: Path) -> None:
    write_images(folder / "masks", [mask.point(lambda level: level // 4) for mask in holes()], ".jpg")


MASKS = [_too_few, _too_many, _another_size, _odd_one_out, _torn_mask, _empty_folder, _text_mask, _dark_jpeg]


@pytest.mark.parametrize("make", MASKS, ids=lambda make: make.__name__[1:])
def test_masks_that_are_none_are_refused_in_one_line(run: Runner, make: Callable[[Path], None]) -> None:
    write_images(run.folder / "clip", images())
    make(run.folder)
    before = names(run.folder)
    assert_refused(run(main, *FAST, "input=clip", "masks=masks", "output=done"), run.folder, before)


@pytest.mark.parametrize("box", ["[1,2,3]", "[1,2,3,x]", "[-1,0,4,4]", "[0,0,0,4]", "[0,0,99,99]", "nan", "''"])
def test_boxes_that_are_none_are_refused_in_one_line(run: Runner, box: str) -> None:
    write_images(run.folder / "clip", images())
    before = names(run.folder)
    assert_refused(run(main, *FAST, "input=clip", f"masks={box}", "output=done"), run.folder, before)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
def test_masks_of_every_depth_mean_the_same(run: Runner, mode: str) -> None:
    write_images(run.folder / "clip", images())
    write_images(run.folder / "masks", holes(mode=mode))
    for name, masks in (("box", BOX), ("done", "masks=masks")):
        outcome = run(main, *FAST, "input=clip", masks, f"output={name}")
        assert outcome.status == 0, outcome.err
    with open_clip(run.folder / "box") as expected, open_clip(run.folder / "done") as done:
        np.testing.assert_array_equal(done.read(range(FRAMES)), expected.read(range(FRAMES)))


# ---------------------------------------------------------------- outputs


@pytest.mark.parametrize("output", ["done.mp4", "done"])
@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user who may not write everywhere")
def test_a_folder_that_may_not_be_written_is_named(run: Runner, output: str) -> None:
    write_images(run.folder / "clip", images())
    (run.folder / "there").mkdir()
    (run.folder / "there").chmod(0o500)
    before = names(run.folder)
    for resume in ("false", "true"):
        arguments = (*FAST, "input=clip", BOX, f"output=there/{output}", f"resume={resume}")
        assert_refused(run(main, *arguments), run.folder, before)
    (run.folder / "there").chmod(0o700)


@pytest.mark.parametrize(
    "output", ["clip.txt", "clip/done.mp4/", "file/done.mp4", "done.gif", "/dev/null/x.mp4", "/proc/x/done.mp4"]
)
def test_an_output_that_cannot_be_is_refused(run: Runner, output: str) -> None:
    write_images(run.folder / "clip", images())
    (run.folder / "file").write_text("mine")
    before = names(run.folder)
    outcome = run(main, *FAST, "input=clip", BOX, f"output={output}")
    if outcome.status == 0:  # a folder of images inside the clip's own is odd, not wrong
        assert output.endswith("/")
        return
    assert_refused(outcome, run.folder, before)


class _Full:
    """A file on a disk that fills up after some bytes."""

    def __init__(self, file: object, room: int) -> None:
        self._file, self._room = file, room

    def write(self, data: bytes) -> int:
        self._room -= len(data)
        if self._room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return int(self._file.write(data))  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


def test_a_disk_that_fills_up_keeps_what_was_finished(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(run.folder / "clip", images())
    whole = run(main, *FAST, "input=clip", BOX, "output=whole", "resume=true")
    assert whole.status == 0, whole.err
    taken = finished_frames.FinishedFrames._take_up

    def narrow(self: finished_frames.FinishedFrames, file: object) -> None:
        taken(self, file)  # type: ignore[arg-type]
        self._file = _Full(file, 900)  # type: ignore[assignment]

    monkeypatch.setattr(finished_frames.FinishedFrames, "_take_up", narrow)
    before = names(run.folder)
    outcome = run(main, *FAST, "input=clip", BOX, "output=done", "resume=true")
    assert_refused(outcome, run.folder, before | {".done.unfinished"})
    assert "No space left on device" in outcome.err
    monkeypatch.undo()
    monkeypatch.chdir(run.folder)
    resumed = run(main, *FAST, "input=clip", BOX, "output=done", "resume=true")
    assert resumed.status == 0, resumed.err
    assert "frames are kept from an earlier start" in resumed.out
    with open_clip(run.folder / "whole") as expected, open_clip(run.folder / "done") as done:
        np.testing.assert_array_equal(done.read(range(FRAMES)), expected.read(range(FRAMES)))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device without room")
def test_a_list_on_a_device_without_end_is_not_read(run: Runner) -> None:
    outcome = run(main, *FAST, "input=/dev/full", BOX, "output=done.mp4")
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1


# ---------------------------------------------------------------- at random


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("kind", ["mp4", "mkv", "mov", "zip", "png", "jpg", "bmp", "webp", "tif", "mask"])
def test_damage_at_random_places_is_survived(run: Runner, kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    write_images(run.folder / "clip", images())
    masks = BOX
    victim = run.folder / f"clip.{kind}"
    if kind in ("mp4", "mkv", "mov"):
        write_video(victim)
    elif kind in ("png", "jpg", "bmp", "webp", "tif"):
        victim = write_images(run.folder / "frames", images(), f".{kind}") / f"00002.{kind}"
    elif kind == "zip":
        with zipfile.ZipFile(victim, "w") as archive:
            for path in sorted((run.folder / "clip").iterdir()):
                archive.write(path, path.name)
    else:
        victim = write_images(run.folder / "masks", holes()) / "00002.png"
        masks = "masks=masks"
    data = bytearray(victim.read_bytes())
    if seed % 3 == 0:
        data = data[: int(rng.integers(1, len(data)))]
    for place in rng.integers(0, len(data), int(rng.integers(1, 20))):
        data[place] = rng.integers(0, 256)
    victim.write_bytes(data)
    before = names(run.folder)
    clip = "clip" if kind == "mask" else "frames" if victim.parent.name == "frames" else victim.name
    outcome = run(main, *FAST, f"input={clip}", masks, "output=done.mp4")
    if outcome.status == 0:
        with open_clip(run.folder / clip) as given, open_clip(run.folder / "done.mp4") as done:
            assert (done.num_frames, done.height, done.width) == (given.num_frames, given.height, given.width)
        assert names(run.folder) == before | {"done.mp4"}
    else:
        assert_refused(outcome, run.folder, before)
