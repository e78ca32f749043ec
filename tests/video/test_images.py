"""Folders and zips of frames."""

from __future__ import annotations

import multiprocessing
import pickle
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from child_process import read_numbers
from video.conftest import number_of, numbered_frame, numbers_of
from vinpaint.video import ClipError, ClipReader, ImageClip, open_clip

_RNG = np.random.default_rng(0)
_PICTURE = _RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def _folder(path: Path, names: list[str]) -> Path:
    path.mkdir()
    for number, name in enumerate(names):
        Image.fromarray(numbered_frame(number)).save(path / name, quality=95)
    return path


def _zip(folder: Path, path: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir(), reverse=True):
            archive.write(file, prefix + file.name)
    return path


def _single(path: Path, image: Image.Image) -> NDArray[np.uint8]:
    image.save(path)
    return open_clip(path).read([0])[0]


def test_frames_come_in_natural_order(tmp_path: Path) -> None:
    clip = open_clip(_folder(tmp_path / "walk", ["f1.png", "f2.jpg", "f10.bmp", "f11.webp", "f100.tif", "g3.JPEG"]))
    assert isinstance(clip, ClipReader)
    assert (clip.name, clip.num_frames, clip.height, clip.width) == ("walk", 6, 64, 96)
    assert numbers_of(clip.read([5, 0, 3, 3, 1, 2, 4])) == [5, 0, 3, 3, 1, 2, 4]


def test_hidden_files_and_other_files_are_no_frames(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "clip", ["0.png", "1.png"])
    (folder / "._0.png").write_bytes(b"resource fork")
    (folder / "notes.txt").write_text("two frames")
    (folder / "masks").mkdir()
    assert open_clip(folder).num_frames == 2


def test_images_are_told_their_rate(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "clip", ["0.png"])
    assert open_clip(folder).frame_rate == 24
    assert open_clip(folder, frame_rate=Fraction(30000, 1001)).frame_rate == Fraction(30000, 1001)


@pytest.mark.parametrize("prefix", ["", "clip/frames/"])
def test_a_zip_is_read_where_it_lies(tmp_path: Path, prefix: str) -> None:
    names = [f"{number:05d}.png" for number in range(12)]
    path = _zip(_folder(tmp_path / "frames", names), tmp_path / "clip.zip", prefix)
    with open_clip(path) as clip:
        assert (clip.name, clip.num_frames) == ("clip", 12)
        assert numbers_of(clip.read([11, 0, 7])) == [11, 0, 7]
    assert number_of(clip.read([4])[0]) == 4, "a read after closing opens it again"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["clip.zip", "frames"], "nothing is unpacked"


def test_members_with_evil_names_are_only_read(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "frames", ["0.png", "1.png"])
    clip = open_clip(_zip(folder, tmp_path / "evil.zip", "../../"))
    assert numbers_of(clip.read([0, 1])) == [0, 1]
    assert not list(tmp_path.parent.glob("*.png"))


def test_greyscale_palette_alpha_and_cmyk_become_rgb(tmp_path: Path) -> None:
    rgb = Image.fromarray(_PICTURE)
    grey = rgb.convert("L")
    np.testing.assert_array_equal(_single(tmp_path / "l.png", grey), np.repeat(np.array(grey)[..., None], 3, 2))
    alpha = rgb.copy()
    alpha.putalpha(Image.fromarray(_PICTURE[..., 0]))
    np.testing.assert_array_equal(_single(tmp_path / "rgba.png", alpha), _PICTURE)
    both = Image.merge("LA", (grey, grey))
    np.testing.assert_array_equal(_single(tmp_path / "la.png", both)[..., 1], np.array(grey))
    palette = rgb.quantize(64)
    np.testing.assert_array_equal(_single(tmp_path / "p.png", palette), np.array(palette.convert("RGB")))
    two = Image.fromarray(_PICTURE[..., 0] > 128)
    np.testing.assert_array_equal(_single(tmp_path / "one.png", two)[..., 2], np.array(two) * np.uint8(255))
    assert _single(tmp_path / "cmyk.tif", rgb.convert("CMYK")).shape == (20, 30, 3)


def test_16_bit_images_keep_their_upper_byte(tmp_path: Path) -> None:
    import cv2

    grey = _PICTURE[..., 0]
    deep = (grey.astype(np.uint16) << 8) | 0x7F
    np.testing.assert_array_equal(_single(tmp_path / "grey.png", Image.fromarray(deep)), np.stack([grey] * 3, -1))
    np.testing.assert_array_equal(_single(tmp_path / "grey.tif", Image.fromarray(deep)), np.stack([grey] * 3, -1))
    colour = (_PICTURE.astype(np.uint16) << 8) | 0x7F
    cv2.imwrite(str(tmp_path / "colour.png"), colour[..., ::-1])
    np.testing.assert_array_equal(open_clip(tmp_path / "colour.png").read([0])[0], _PICTURE)


def test_the_orientation_of_a_photograph_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGB", (40, 24), (200, 0, 0))
    image.paste((0, 0, 200), (0, 0, 20, 24))
    image.save(tmp_path / "photo.jpg", exif=exif)
    clip = open_clip(tmp_path / "photo.jpg")
    assert (clip.height, clip.width) == (40, 24)
    assert clip.read([0])[0, 4, 12, 2] > 150, "the left half is now the upper one"


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_frames_of_two_sizes_are_refused_by_name(tmp_path: Path, *, packed: bool) -> None:
    path = _folder(tmp_path / "clip", ["0.png", "1.png", "2.png"])
    Image.fromarray(_PICTURE).save(path / "1.png")
    if packed:
        path = _zip(path, tmp_path / "clip.zip")
    with pytest.raises(ClipError, match=r"1\.png: 30x20, but the first frame is 96x64"):
        open_clip(path)
    late = open_clip(path, verify=False)
    assert numbers_of(late.read([0, 2])) == [0, 2]
    with pytest.raises(ClipError, match=r"1\.png: 30x20"):
        late.read([0, 1])


def test_a_broken_image_is_told_by_name(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "clip", ["0.png", "1.png", "2.png"])
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[: len(whole) // 2])
    clip = open_clip(folder)
    with pytest.raises(ClipError, match=r"\A[^\n]*1\.png: cannot be read[^\n]*replace or remove it\Z"):
        clip.read([1])
    (folder / "2.png").write_bytes(b"not an image")
    with pytest.raises(ClipError, match=r"2\.png: cannot be read \(not an image\)"):
        open_clip(folder)


def test_folders_and_zips_without_images_say_what_to_give(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ClipError, match=r"empty: no images in it; give a video, or a folder or zip"):
        open_clip(tmp_path / "empty")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(ClipError, match="no images in it"):
        open_clip(tmp_path / "empty.zip")


def test_a_zip_of_two_clips_is_refused(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "frames", ["0.png"])
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.write(folder / "0.png", "frames/0.png")
        archive.write(folder / "0.png", "masks/0.png")
    with pytest.raises(ClipError, match=r"several folders \(frames, masks\)"):
        open_clip(tmp_path / "two.zip")


def test_a_damaged_zip_is_told_in_one_line(tmp_path: Path) -> None:
    path = _zip(_folder(tmp_path / "frames", ["0.png", "1.png"]), tmp_path / "clip.zip")
    content = bytearray(path.read_bytes())
    (tmp_path / "cut.zip").write_bytes(content[: len(content) // 2])
    with pytest.raises(ClipError, match=r"\A[^\n]*cut\.zip: cannot be listed[^\n]*\Z"):
        open_clip(tmp_path / "cut.zip")
    content[200:260] = bytes(60)
    (tmp_path / "bad.zip").write_bytes(content)
    with pytest.raises(ClipError, match=r"\A[^\n]*bad\.zip/[01]\.png: cannot be read[^\n]*\Z"):
        open_clip(tmp_path / "bad.zip").read([0, 1])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_zip_opened_before_a_new_process_reads_right_in_both(tmp_path: Path, method: str) -> None:
    names = [f"{number}.png" for number in range(9)]
    clip = open_clip(_zip(_folder(tmp_path / "frames", names), tmp_path / "clip.zip"))
    context = multiprocessing.get_context(method)
    answer = context.Queue()
    child = context.Process(target=read_numbers, args=(clip, [8, 1, 5], answer))
    child.start()
    assert numbers_of(clip.read([3, 2, 7])) == [3, 2, 7]
    assert answer.get(timeout=60) == [8, 1, 5]
    child.join(60)


def test_an_image_clip_can_be_pickled(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "frames", ["0.png", "1.png"])
    for path in (folder, _zip(folder, tmp_path / "clip.zip")):
        assert numbers_of(pickle.loads(pickle.dumps(ImageClip(path))).read([1, 0])) == [1, 0]
