"""Masks that are stored: every kind of file, what counts as a hole, and what does not fit."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from vinpaint.masks import ArrayMasks, DilatedMasks, MaskError, MaskSequence, ResizedMasks, dilate, open_masks
from vinpaint.masks.pictures import read_picture
from vinpaint.video import open_writer

HEIGHT, WIDTH, FRAMES = 18, 32, 12


@pytest.fixture
def truth() -> NDArray[np.bool_]:
    """A block that moves one pixel per frame."""
    masks = np.zeros((FRAMES, HEIGHT, WIDTH), dtype=bool)
    for index in range(FRAMES):
        masks[index, 4:10, index : index + 8] = True
    return masks


def save_folder(folder: Path, masks: NDArray[np.bool_], pattern: str = "{}.png") -> Path:
    folder.mkdir()
    for index, mask in enumerate(masks):
        Image.fromarray(mask).save(folder / pattern.format(index))
    return folder


def opened(spec: object, *, num_frames: int = FRAMES, dilation: int = 0) -> MaskSequence:
    return open_masks(spec, num_frames=num_frames, height=HEIGHT, width=WIDTH, dilation=dilation)  # type: ignore[arg-type]


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path: Path, truth: NDArray[np.bool_]) -> None:
    folder = save_folder(tmp_path / "masks", truth, "mask{}.png")  # mask10 sorts before mask2 as text
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "readme.txt").write_text("x")
    masks = opened(folder)
    assert np.array_equal(masks.read(range(FRAMES)), truth)
    assert np.array_equal(masks.read([11, 0, 0]), truth[[11, 0, 0]])
    assert np.array_equal(opened(str(folder)).read([3]), truth[[3]])


def test_a_zip_is_read_as_its_folder_and_survives_pickling(tmp_path: Path, truth: NDArray[np.bool_]) -> None:
    folder = save_folder(tmp_path / "masks", truth)
    with ZipFile(tmp_path / "masks.zip", "w") as file:
        for path in folder.iterdir():
            file.write(path, f"masks/{path.name}")
            file.writestr(f"__MACOSX/masks/._{path.name}", b"resource fork")
    masks = opened(tmp_path / "masks.zip")
    assert np.array_equal(masks.read(range(FRAMES)), truth)
    assert np.array_equal(pickle.loads(pickle.dumps(masks)).read([5]), truth[[5]])


@pytest.mark.parametrize("kind", ["file", "folder", "zip"])
def test_one_picture_serves_the_whole_clip(tmp_path: Path, truth: NDArray[np.bool_], kind: str) -> None:
    folder = save_folder(tmp_path / "masks", truth[:1])
    with ZipFile(tmp_path / "masks.zip", "w") as file:
        file.write(folder / "0.png", "0.png")
    masks = opened({"file": folder / "0.png", "folder": folder, "zip": tmp_path / "masks.zip"}[kind])
    assert masks.num_frames == FRAMES
    assert np.array_equal(masks.read([0, 7]), truth[[0, 0]])


@pytest.mark.parametrize("spec", ["3,2,10,5", " 3, 2, 10, 5 ", "[3,2,10,5]", [3, 2, 10, 5], (3, 2, 10, 5)])
def test_a_box_is_left_top_width_height(spec: object) -> None:
    mask = opened(spec).read([4])[0]
    assert mask[2:7, 3:13].all()
    assert mask.sum() == 50


@pytest.mark.parametrize("quality", [6, 30])
def test_a_mask_video_survives_its_compression(tmp_path: Path, quality: int) -> None:
    masks = np.zeros((FRAMES, 64, 96), dtype=bool)
    for index in range(FRAMES):
        masks[index, 16:40, 4 * index : 4 * index + 24] = True
    path = tmp_path / "masks.mp4"
    with open_writer(path, frame_rate=25, height=64, width=96, quality=quality) as writer:
        for mask in masks:
            writer.write(np.repeat(mask[..., None].astype(np.uint8) * 255, 3, axis=2))
    stored = open_masks(path, num_frames=FRAMES, height=64, width=96)
    wrong = stored.read(range(FRAMES)) ^ masks
    assert wrong.mean() < (0.001 if quality == 6 else 0.01)
    with pytest.raises(MaskError, match="12 masks for 13 frames"):
        open_masks(path, num_frames=13, height=64, width=96)
    path.write_bytes(b"not a video")
    with pytest.raises(MaskError, match="masks"):
        open_masks(path, num_frames=FRAMES, height=64, width=96)


def test_masks_in_memory_are_read_as_they_are(truth: NDArray[np.bool_]) -> None:
    masks = ArrayMasks(truth)
    assert (masks.num_frames, masks.height, masks.width) == (FRAMES, HEIGHT, WIDTH)
    assert np.array_equal(masks.read([2, 9]), truth[[2, 9]])
    with pytest.raises(IndexError, match="mask 12 of 12"):
        masks.read([12])
    with pytest.raises(MaskError, match=r"expected \(T, H, W\) bool"):
        ArrayMasks(truth.astype(np.uint8))  # type: ignore[arg-type]


def labels() -> NDArray[np.uint8]:
    """Three objects numbered 1 to 3 in the four quarters of a picture."""
    quarter = np.array([[0, 1], [2, 3]], np.uint8)
    return np.kron(quarter, np.ones((8, 8), np.uint8))


def painted(colour: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(np.dstack((np.broadcast_to(colour, (*alpha.shape, 3)), alpha)), "RGBA")


def palette(background: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(labels(), "P")
    image.putpalette([*background, 128, 0, 0, 0, 128, 0, 0, 0, 0])  # the third object is drawn in black
    return image


GREY = np.full((16, 16), 255, np.uint8) * (labels() > 0)
PICTURES = {
    "grey labels": Image.fromarray(labels()),
    "black and white": Image.fromarray(labels() > 0),
    "16 bit": Image.fromarray(labels().astype(np.uint16) * 20000),
    "palette indices": palette((0, 0, 0)),
    "palette indices on white": palette((255, 255, 255)),
    "coloured labels": Image.fromarray(labels()[..., None] * np.array([0, 0, 60], np.uint8)),
    "opaque with alpha": painted(
        labels()[..., None] * np.array([60, 0, 0], np.uint8), np.full((16, 16), 255, np.uint8)
    ),
    "white on transparent": painted(np.array([255, 255, 255], np.uint8), GREY),
    "black on transparent": painted(np.array([0, 0, 0], np.uint8), GREY),
    "grey with alpha": Image.merge("LA", (Image.fromarray(GREY), Image.new("L", (16, 16), 255))),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_every_kind_of_picture_means_the_same_hole(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("mask.tif" if kind == "16 bit" else "mask.png")
    PICTURES[kind].save(path)
    assert np.array_equal(read_picture(path, "mask"), labels() > 0)


def test_an_opaque_black_picture_with_alpha_has_no_hole(tmp_path: Path) -> None:
    Image.new("RGBA", (6, 4), (0, 0, 0, 255)).save(tmp_path / "mask.png")
    assert not read_picture(tmp_path / "mask.png", "mask").any()


def test_a_jpeg_is_split_at_half_brightness(tmp_path: Path, truth: NDArray[np.bool_]) -> None:
    Image.fromarray(truth[0].astype(np.uint8) * 255).save(tmp_path / "mask.jpg", quality=40)
    assert (np.asarray(Image.open(tmp_path / "mask.jpg")) > 0).sum() > truth[0].sum()  # ringing: > 0 would be wrong
    assert np.array_equal(read_picture(tmp_path / "mask.jpg", "mask"), truth[0])


def test_labels_in_a_jpeg_are_refused(tmp_path: Path) -> None:
    Image.fromarray(labels() * 25).save(tmp_path / "mask.jpg")
    with pytest.raises(MaskError, match=r"brightest pixel is \d+.*as PNG"):
        read_picture(tmp_path / "mask.jpg", "mask")


def test_dilation_is_a_diamond_and_equals_scipy(truth: NDArray[np.bool_]) -> None:
    cross = ndimage.generate_binary_structure(2, 1)
    noise = np.random.default_rng(0).random((3, HEIGHT, WIDTH)) > 0.97
    for iterations in (0, 1, 4):
        expected = [ndimage.binary_dilation(m, cross, iterations=iterations) if iterations else m for m in noise]
        assert np.array_equal(dilate(noise, iterations), np.stack(expected))
    assert np.array_equal(opened([3, 2, 1, 1], dilation=2).read([0])[0].sum(axis=0)[1:6], [1, 3, 5, 3, 1])


def test_dilation_equals_the_public_script(golden_dir: Path) -> None:
    stored = np.load(golden_dir / "sttn_test_t12.npz")
    masks = DilatedMasks(ArrayMasks(stored["masks_u8"] > 0), dilation=4)
    assert np.array_equal(masks.read(range(12)), stored["dilated_masks_u8"] > 0)


def test_resized_masks_pick_the_nearest_pixel_as_pillow_does(truth: NDArray[np.bool_]) -> None:
    for height, width in ((9, 16), (37, 50), (5, 64), (18, 32)):
        resized = ResizedMasks(ArrayMasks(truth), height=height, width=width)
        expected = Image.fromarray(truth[3]).resize((width, height), Image.Resampling.NEAREST)
        assert np.array_equal(resized.read([3])[0], np.asarray(expected))


def test_a_folder_is_not_decoded_before_it_is_read(tmp_path: Path, truth: NDArray[np.bool_]) -> None:
    folder = save_folder(tmp_path / "masks", truth)
    whole = (folder / "3.png").read_bytes()
    pixels = whole.index(b"IDAT") + 4
    (folder / "3.png").write_bytes(whole[:pixels] + bytes(8) + whole[pixels + 8 :])
    masks = opened(folder)
    assert np.array_equal(masks.read([2, 4]), truth[[2, 4]])
    with pytest.raises(MaskError, match=r"3\.png cannot be read as an image"):
        masks.read([3])


def test_a_picture_that_changes_size_later_is_refused_when_it_is_read(tmp_path: Path, truth: NDArray[np.bool_]) -> None:
    folder = save_folder(tmp_path / "masks", truth)
    masks = opened(folder)
    Image.fromarray(truth[0, :9]).save(folder / "3.png")
    with pytest.raises(MaskError, match=r"3\.png is 32x9 but 0\.png is 32x18"):
        masks.read([3])


def broken(tmp_path: Path, truth: NDArray[np.bool_], kind: str) -> object:
    folder = save_folder(tmp_path / "masks", truth)
    if kind == "fewer masks than frames":
        (folder / "3.png").unlink()
    elif kind == "another size":
        return save_folder(tmp_path / "small", truth[:, :9])
    elif kind == "sizes differ":
        Image.fromarray(truth[0, :9]).save(folder / "3.png")
    elif kind == "no picture":
        for path in folder.iterdir():
            path.unlink()
    elif kind == "not an image":
        (folder / "0.png").write_text("hello")
    elif kind == "not a zip":
        (tmp_path / "masks.zip").write_text("hello")
        return tmp_path / "masks.zip"
    elif kind == "damaged zip":
        stream = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH), np.uint8)).save(stream, "png")
        with ZipFile(tmp_path / "masks.zip", "w") as file:
            file.writestr("0.png", stream.getvalue())
        data = bytearray((tmp_path / "masks.zip").read_bytes())
        data[200] ^= 255
        (tmp_path / "masks.zip").write_bytes(bytes(data))
        return tmp_path / "masks.zip"
    return folder


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("fewer masks than frames", "11 masks for 12 frames; give one mask per frame"),
        ("another size", "are 32x9 but the frames are 32x18"),
        ("sizes differ", r"3\.png is 32x9 but 0\.png is 32x18"),
        ("no picture", "no images in it"),
        ("not an image", r"0\.png cannot be read as an image"),
        ("not a zip", "cannot be listed"),
        ("damaged zip", r"0\.png is damaged"),
    ],
)
def test_files_that_do_not_fit_are_refused_in_one_line(
    tmp_path: Path, truth: NDArray[np.bool_], kind: str, message: str
) -> None:
    with pytest.raises(MaskError, match=message) as caught:
        opened(broken(tmp_path, truth, kind))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere.png", "no such file or folder"),
        ("30,2,10,5", "reaches to 40,7 but the frame is 32x18"),
        ("-1,2,10,5", "keep x >= 0"),
        ("1,2,0,5", "is empty"),
        ("1.5,2,3,5", "four whole numbers"),
        ([1, 2, 3], "four whole numbers"),
    ],
)
def test_a_wrong_name_or_box_is_refused(spec: object, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        opened(spec)


def test_negative_dilation_is_refused(truth: NDArray[np.bool_]) -> None:
    with pytest.raises(MaskError, match="dilation -1: expected 0 or more"):
        opened([0, 0, 4, 4], dilation=-1)
