"""Data sets on disk: any folder, DAVIS and YouTube-VOS in both layouts, split files."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import warnings
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from vinpaint.data import DAVIS_2016, DataError, DavisClips, FileSource, FolderClips, YouTubeVOSClips
from vinpaint.data.split_files import PUBLISHED_SIZES, check_size, read_split
from vinpaint.data.splits import main
from vinpaint.masks import MaskError


def jpeg(value: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 12), (value, value, value)).save(stream, "JPEG")
    return stream.getvalue()


def frame_folder(path: Path, num_frames: int = 3, first: int = 0) -> Path:
    path.mkdir(parents=True)
    for index in range(num_frames):
        (path / f"{first + index:05d}.jpg").write_bytes(jpeg(40 * index))
    return path


def frame_zip(path: Path, num_frames: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with ZipFile(path, "w") as file:
        for index in range(num_frames):
            file.writestr(f"{index:05d}.jpg", jpeg(40 * index))
    return path


def annotations(path: Path, num_frames: int = 3) -> Path:
    path.mkdir(parents=True)
    for index in range(num_frames):
        labels = np.zeros((12, 16), np.uint8)
        labels[2:5, index : index + 4] = 1
        image = Image.fromarray(labels, "P")
        image.putpalette([0, 0, 0, 128, 0, 0])
        image.save(path / f"{index:05d}.png")
    return path


def test_any_folder_of_clips_is_listed_by_name(tmp_path: Path) -> None:
    frame_folder(tmp_path / "b")
    frame_zip(tmp_path / "a.zip")
    (tmp_path / "notes.txt").write_text("not a clip")
    frame_folder(tmp_path / ".hidden")
    clips = FolderClips(tmp_path)
    assert [clip.name for clip in clips] == ["a", "b"]
    for clip in clips:
        with clip.open() as opened:
            assert opened.num_frames == 3
            assert clip.open_masks(opened) is None
            assert opened.read([2]).mean() == pytest.approx(80, abs=2)


def test_a_pattern_says_where_clips_and_masks_lie(tmp_path: Path) -> None:
    for name in ("dog", "cat"):
        frame_folder(tmp_path / name / "frames")
        annotations(tmp_path / name / "masks_own")
    clips = FolderClips(tmp_path, clips="*/frames", masks="{name}/masks_own")
    assert [clip.name for clip in clips] == ["cat", "dog"]
    with clips[0].open() as opened:
        masks = clips[0].open_masks(opened)
        assert masks is not None
        assert masks.read([1])[0].sum() == 12
    nested = FolderClips(tmp_path, clips="dog/*")
    assert [clip.name for clip in nested] == ["frames", "masks_own"]


def davis(root: Path, names: list[str], *, listed: dict[str, list[str]]) -> Path:
    for name in names:
        frame_folder(root / "JPEGImages" / "480p" / name)
        annotations(root / "Annotations" / "480p" / name)
    (root / "ImageSets" / "2017").mkdir(parents=True)
    for part, members in listed.items():
        (root / "ImageSets" / "2017" / f"{part}.txt").write_text("\n".join(members) + "\n")
    return root


def test_davis_is_read_in_its_published_layout(tmp_path: Path) -> None:
    names = [f"clip{number:02d}" for number in range(90)]
    root = davis(tmp_path, names, listed={"train": names[:60], "val": names[60:]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # these are the published sizes
        assert [clip.name for clip in DavisClips(root)] == names
        assert len(DavisClips(root, split="2017_train")) == 60
        assert len(DavisClips(root, split="test")) == 90
        clip = DavisClips(root, split="2017_val")[0]
    with clip.open() as opened:
        masks = clip.open_masks(opened)
        assert masks is not None
        assert masks.num_frames == 3
        assert masks.read([0])[0].sum() == 12


def test_davis_2016_has_its_fifty_names(tmp_path: Path) -> None:
    assert len(set(DAVIS_2016)) == 50 == PUBLISHED_SIZES["davis/2016"]
    assert list(DAVIS_2016) == sorted(DAVIS_2016)
    assert (DAVIS_2016[0], DAVIS_2016[-1]) == ("bear", "train")
    root = davis(tmp_path, [*DAVIS_2016, "another"], listed={})
    assert [clip.name for clip in DavisClips(root, split="2016")] == list(DAVIS_2016)


def test_davis_is_read_in_the_layout_of_the_public_code(tmp_path: Path) -> None:
    for name in ("x", "y"):
        frame_zip(tmp_path / "JPEGImages" / f"{name}.zip")
    (tmp_path / "train.json").write_text(json.dumps({"y": 3, "x": 3}))
    with pytest.warns(UserWarning, match="2 clips, but the published davis/train has 60"):
        clips = list(DavisClips(tmp_path, split="train"))
    assert [clip.name for clip in clips] == ["y", "x"]
    with clips[0].open() as opened:
        assert opened.num_frames == 3


def test_youtube_vos_is_read_in_both_layouts(tmp_path: Path) -> None:
    published = tmp_path / "published"
    for name in ("0a", "0b"):
        frame_folder(published / "train_all_frames" / "JPEGImages" / name)
        frame_folder(published / "train" / "JPEGImages" / name, 1)
    packed = tmp_path / "packed"
    for name in ("0a", "0b", "0c"):
        frame_zip(packed / "JPEGImages" / f"{name}.zip")
    (packed / "train.json").write_text('{"0a": 3, "0b": 3}')
    (packed / "test.json").write_text('{"0c": 3}')
    for root, split, names in (
        (published, "train", ["0a", "0b"]),
        (packed, "train", ["0a", "0b"]),
        (packed, "test", ["0c"]),
    ):
        with pytest.warns(UserWarning, match=f"published youtube-vos/{split} has {3471 if split == 'train' else 508}"):
            clips = list(YouTubeVOSClips(root, split=split))  # type: ignore[arg-type]
        assert [clip.name for clip in clips] == names
        with clips[0].open() as opened:
            assert opened.num_frames == 3


def test_the_published_sizes_are_those_of_the_papers() -> None:
    sizes = ("youtube-vos/train", "youtube-vos/test", "davis/train", "davis/test", "davis/2016")
    assert [PUBLISHED_SIZES[split] for split in sizes] == [3471, 508, 60, 90, 50]
    with pytest.warns(UserWarning, match="not be comparable"):
        check_size("davis/test", 89, where="somewhere")


def test_a_split_file_is_written_from_what_is_on_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame_zip(tmp_path / "JPEGImages" / "b.zip", 4)
    frame_folder(tmp_path / "JPEGImages" / "a", 2)
    split = tmp_path / "test.json"
    assert main([str(tmp_path / "JPEGImages"), "-o", str(split), "--published", "davis/test"]) == 0
    assert read_split(split) == {"a": 2, "b": 4}
    shown = capsys.readouterr().err
    assert "2 clips, 6 frames, 2 to 4" in shown
    assert "the published davis/test has 90" in shown
    assert sorted(path.name for path in tmp_path.iterdir()) == ["JPEGImages", "test.json"]
    with pytest.warns(UserWarning, match="has 90"):
        assert [clip.name for clip in DavisClips(tmp_path, split="test")] == ["a", "b"]
    (tmp_path / "names.txt").write_text("b\n")
    assert main([str(tmp_path / "JPEGImages"), "--names", str(tmp_path / "names.txt")]) == 0
    assert json.loads(capsys.readouterr().out) == {"b": 4}


def test_the_split_command_explains_itself_and_fails_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "number of frames" in capsys.readouterr().out
    command = [sys.executable, "-m", "vinpaint.data.splits", str(tmp_path / "none")]
    failed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert failed.stderr.startswith("error: ")
    assert failed.stderr.count("\n") == 1


def bad_folder(root: Path, kind: str) -> object:
    if kind == "no folder":
        return FolderClips(root / "none")
    if kind == "nothing in it":
        return FolderClips(root)
    if kind == "two of one name":
        frame_folder(root / "a")
        frame_zip(root / "a.zip")
        return FolderClips(root)
    if kind == "masks not there":
        frame_folder(root / "a")
        return FolderClips(root, masks="masks/{name}")
    if kind == "no davis":
        return DavisClips(root / "davis")
    if kind == "davis without lists":
        frame_folder(root / "JPEGImages" / "480p" / "bear")
        return DavisClips(root, split="train")
    if kind == "davis clip missing":
        return DavisClips(davis(root, ["bear"], listed={}), split="2016")
    if kind == "no youtube":
        return YouTubeVOSClips(root)
    if kind == "youtube every fifth frame":
        frame_folder(root / "train" / "JPEGImages" / "0a")
        return YouTubeVOSClips(root)
    if kind == "youtube without split":
        frame_zip(root / "JPEGImages" / "0a.zip")
        return YouTubeVOSClips(root)
    if kind == "youtube clip missing":
        frame_zip(root / "JPEGImages" / "0a.zip")
        (root / "train.json").write_text('{"0a": 3, "0b": 3}')
        return YouTubeVOSClips(root)
    (root / "JPEGImages").mkdir()
    (root / "train.json").write_text("[1]")
    return YouTubeVOSClips(root)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no folder", "no such folder"),
        ("nothing in it", r"nothing matches \*"),
        ("two of one name", "both named a; rename one"),
        ("masks not there", "a: no masks at"),
        ("no davis", r"set paths\.data_dir, or download DAVIS"),
        ("davis without lists", r"neither .*train\.json nor .*test-dev\.txt"),
        ("davis clip missing", "49 of 50 clips are missing: blackswan, bmx-bumps"),
        ("no youtube", "download YouTube-VOS"),
        ("youtube every fifth frame", "every fifth frame only; download train_all_frames"),
        ("youtube without split", r"train\.json is not there"),
        ("youtube clip missing", "1 of 2 clips are missing: 0b"),
        ("split of another kind", "expected one JSON object"),
    ],
)
def test_a_data_set_that_is_not_there_is_explained_when_it_is_used(tmp_path: Path, kind: str, message: str) -> None:
    clips = bad_folder(tmp_path, kind)  # naming it is no error: a configuration names sets that are not used
    with pytest.raises(DataError, match=message) as caught:
        len(clips)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FolderClips("x", clips="clip"), r"a pattern with a \*"),
        (lambda: DavisClips("x", split="2018"), "expected one of 2016, 2017_train"),  # type: ignore[arg-type]
        (lambda: YouTubeVOSClips("x", split="val"), "expected train or test"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_option_is_refused_at_once(make: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()  # type: ignore[operator]


def test_own_masks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    source = FileSource("a", frame_folder(tmp_path / "a"), annotations(tmp_path / "masks", 2))
    with source.open() as clip, pytest.raises(MaskError, match="2 masks for 3 frames"):
        source.open_masks(clip)
    with pytest.raises(DataError, match="is gone"):
        FileSource("a", tmp_path / "none").open()
