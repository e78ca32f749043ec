"""Training windows with holes of their own: their true motion, their chance, and how they are mixed."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from vinpaint.batch import check_batch
from vinpaint.data import (
    ClipWindows,
    DataError,
    FolderClips,
    ImageMotion,
    MixtureWindows,
    ProceduralClips,
    VideoInpaintingDataModule,
    Window,
    WindowDataset,
    WindowRequest,
    WindowSource,
)
from vinpaint.data.clip_windows import _Crop, _cut
from vinpaint.data.kept import KeptPictures
from vinpaint.masks import AffineRange, BoxMask, ObjectMotionMask
from vinpaint.ops.affine import affine_warp
from vinpaint.ops.warp import backward_warp
from vinpaint.video import open_writer

H, W = 40, 56


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two smooth pictures, so that interpolation blurs next to nothing."""
    folder = tmp_path / "images"
    folder.mkdir()
    y, x = np.mgrid[:90, :120] / 12.0
    for number in range(2):
        channels = [np.sin(x * (1 + number) / 2 + y / 3), np.cos(y - x / 2), np.sin(x / 3) * np.cos(y / 2 + number)]
        picture = np.uint8(127.5 + 110 * np.stack(channels, axis=2))
        Image.fromarray(picture).save(folder / f"photo{number}.png")
    return folder


def image_motion(root: Path, **arguments: Any) -> ImageMotion:
    return ImageMotion(root, ObjectMotionMask(), **{"static_probability": 0.0, "jitter_probability": 0.0, **arguments})


def clip_windows(**arguments: Any) -> ClipWindows:
    clips = ProceduralClips(num_clips=5, num_frames=20, height=48, width=64)
    return ClipWindows(clips, ObjectMotionMask(), **arguments)


def windows(source: WindowSource, count: int = 4, **wanted: Any) -> list[Window]:
    request = WindowRequest(**{"height": H, "width": W, **wanted})
    dataset = WindowDataset(source, request, samples_per_epoch=count)
    return [dataset[index] for index in range(count)]


def test_theta_takes_a_target_to_its_reference(photographs: Path) -> None:
    for window in windows(image_motion(photographs), motion="affine"):
        theta, frames = window["theta"], window["frames"]
        assert theta.shape == (5, 5, 2, 3)
        assert torch.allclose(theta[torch.arange(5), torch.arange(5)], torch.eye(2, 3), atol=1e-6)
        for target, reference in ((2, 0), (0, 4), (3, 1)):
            warped = affine_warp(frames[reference][None], theta[target, reference][None], align_corners=True)
            seen = affine_warp(torch.ones(1, 1, H, W), theta[target, reference][None], align_corners=True) > 0.999
            assert seen.float().mean() > 0.3
            assert (warped - frames[target])[seen.expand_as(warped)].abs().max() < 0.02
            still = (frames[reference] - frames[target])[seen[0].expand(3, H, W)].abs().max()
            assert still > 0.05  # so that the test above says something


def test_flow_and_theta_agree_to_a_thousandth_of_a_pixel(photographs: Path) -> None:
    (affine,) = windows(image_motion(photographs), 1, motion="affine")
    (flow,) = windows(image_motion(photographs), 1, motion="flow")
    assert torch.equal(affine["frames"], flow["frames"])  # what else is asked for changes no draw
    x = torch.arange(W).expand(H, W) * 2 / (W - 1) - 1
    y = torch.arange(H)[:, None].expand(H, W) * 2 / (H - 1) - 1
    place = torch.stack((x, y, torch.ones(H, W)))
    half = torch.tensor([(W - 1) / 2, (H - 1) / 2])[:, None, None]
    for t in range(4):
        for name, a, b in (("flow_forward", t, t + 1), ("flow_backward", t + 1, t)):
            there = torch.einsum("ij,jhw->ihw", affine["theta"][a, b].double(), place.double())
            assert (((there - place[:2]) * half) - flow[name][t]).abs().max() < 1e-3


@pytest.mark.parametrize("kind", ["photographs", "procedural"])
def test_a_frame_warped_by_the_true_flow_is_the_other_frame(photographs: Path, kind: str) -> None:
    source = image_motion(photographs) if kind == "photographs" else clip_windows(max_stride=1, max_cover=1.5)
    for window in windows(source, motion="flow"):
        frames = window["frames"]
        pairs = ((frames[:-1], frames[1:], "forward"), (frames[1:], frames[:-1], "backward"))
        for first, second, way in pairs:
            flow, seen = window[f"flow_{way}"], window[f"seen_{way}"] > 0  # type: ignore[literal-required]
            warped, inside = backward_warp(second, flow, padding_mode="border")
            assert (inside[seen] == 1).all() or kind == "photographs"
            error = (warped - first).abs().amax(dim=1, keepdim=True)
            if kind == "photographs":
                assert error[seen].max() < 0.02
            else:  # sharp edges are blurred by resampling, so most pixels have to agree
                assert error[seen].median() < 0.03
                assert error[seen].median() < 0.5 * (second - first).abs().amax(dim=1, keepdim=True)[seen].mean()


def test_the_middle_frame_is_cut_from_the_photograph_untouched(photographs: Path) -> None:
    source = image_motion(photographs, flip_probability=0.0, min_cover=1.5, max_cover=1.5)
    picture = source.photographs.read(0)
    scale = 1.5 * max(H / 90, W / 120)
    small = cv2.resize(picture, (round(120 * scale), round(90 * scale)), interpolation=cv2.INTER_AREA)
    (window,) = windows(source, 1)
    middle = (window["frames"][2] * 255).round().byte().movedim(0, -1).numpy()
    _, _, (left, top), _ = cv2.minMaxLoc(cv2.matchTemplate(small, middle, cv2.TM_SQDIFF))
    assert np.array_equal(small[top : top + H, left : left + W], middle)


def test_a_still_camera_repeats_the_frame_and_jitter_does_not(photographs: Path) -> None:
    (still,) = windows(image_motion(photographs, static_probability=1.0), 1, motion="affine")
    assert torch.equal(still["frames"], still["frames"][:1].expand_as(still["frames"]))
    assert torch.allclose(still["theta"], torch.eye(2, 3).expand(5, 5, 2, 3))
    (jittered,) = windows(image_motion(photographs, static_probability=1.0, jitter_probability=1.0), 1)
    means = jittered["frames"].mean(dim=(1, 2, 3))
    assert 0 < (means - means[2]).abs().max() < 0.05


def test_steps_are_drawn_in_their_ranges(photographs: Path) -> None:
    steps = AffineRange(rotation=0.0, scale=0.0, anisotropy=0.0, shear=0.0, translation=0.1)
    for window in windows(image_motion(photographs, steps=steps), 20, motion="flow"):
        flow = window["flow_forward"]
        assert torch.allclose(flow, flow[..., :1, :1].expand_as(flow), atol=1e-5)
        assert flow[:, 0].abs().max() <= 0.1 * W + 1e-4
        assert flow[:, 1].abs().max() <= 0.1 * H + 1e-4


@pytest.mark.parametrize("kind", ["photographs", "clips", "mixture"])
def test_windows_depend_on_seed_epoch_and_number_alone(photographs: Path, kind: str) -> None:
    def make() -> WindowSource:
        parts: dict[str, WindowSource] = {"photographs": image_motion(photographs), "clips": clip_windows()}
        return MixtureWindows(parts) if kind == "mixture" else parts[kind]

    def seen(loader: DataLoader[Any]) -> list[bytes]:
        return [sample["frames"].numpy().tobytes() + sample["masks"].numpy().tobytes() for sample in loader]

    def dataset(seed: int = 0) -> WindowDataset:
        return WindowDataset(make(), WindowRequest(5, H, W), samples_per_epoch=6, seed=seed)

    first = seen(DataLoader(dataset(), batch_size=None))
    assert len(set(first)) == 6
    assert seen(DataLoader(dataset(), batch_size=None, num_workers=2)) == first
    backwards = dataset()
    assert [backwards[index]["frames"].numpy().tobytes() for index in (5, 4)] == [
        part[: 5 * 3 * H * W * 4] for part in first[:3:-1]
    ]
    assert seen(DataLoader(dataset(seed=1), batch_size=None)) != first
    epoch = dataset()
    assert not torch.equal(epoch[(0, 2)]["frames"], epoch[(1, 2)]["frames"])
    assert torch.equal(pickle.loads(pickle.dumps(epoch))[(1, 2)]["masks"], epoch[(1, 2)]["masks"])


def test_batches_are_what_models_read(photographs: Path) -> None:
    parts: dict[str, WindowSource] = {"photographs": image_motion(photographs), "clips": clip_windows()}
    data = VideoInpaintingDataModule(
        train=MixtureWindows(parts),
        val=None,
        mask=BoxMask(),
        height=H,
        width=W,
        num_frames=4,
        samples_per_epoch=8,
        motion="flow",
        batch_size=4,
        num_workers=0,
    )
    for batch in data.train_dataloader():
        check_batch(batch)
        assert batch["frames"].shape == (4, 4, 3, H, W)
        assert batch["flow_forward"].shape == batch["flow_backward"].shape == (4, 3, 2, H, W)
        assert batch["seen_forward"].shape == (4, 3, 1, H, W)


def test_a_mixture_draws_by_weight_and_never_opens_what_has_none(tmp_path: Path) -> None:
    absent = ImageMotion(tmp_path / "nowhere", BoxMask())
    parts: dict[str, WindowSource] = {
        "clips": clip_windows(),
        "others": ClipWindows(ProceduralClips(num_clips=3, height=16, width=24, seed=9), BoxMask()),
        "photographs": absent,
    }
    mixture = MixtureWindows(parts, weights={"clips": 3, "others": 1, "photographs": 0})
    assert len(mixture) == 8
    names = [window["name"] for window in windows(mixture, 120, height=16, width=16, num_frames=1)]
    assert 0.65 < np.mean([name.startswith("procedural-0") for name in names]) < 0.85
    with pytest.raises(DataError, match="no such folder; name one that holds photographs"):
        windows(MixtureWindows(parts), 30, height=16, width=16, num_frames=1)


def test_frames_of_a_window_lie_close_in_time_and_holes_follow_the_positions() -> None:
    source = clip_windows(window=10, max_stride=3)
    rng = np.random.default_rng(0)
    spans = set()
    for _ in range(300):
        times, positions = source._times(60, 5, rng)
        steps = np.diff(times) // np.diff(positions)
        assert len(set(times)) == 5
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] < 60
        assert positions[0] == 0
        assert positions[-1] <= 9
        assert len(set(steps)) == 1  # one stride
        spans.add(int(steps[0]))
    assert spans == {1, 2, 3}
    for length in (5, 6, 9, 11):
        times, _ = source._times(length, 5, rng)
        assert times[-1] < length


def test_cutting_and_mirroring_are_alike_for_all_frames() -> None:
    frames = np.arange(20 * 30 * 3, dtype=np.uint16).astype(np.uint8).reshape(20, 30, 3)
    assert np.array_equal(_cut(frames, _Crop(2, 5, 10, 12, False), 10, 12), frames[2:12, 5:17])
    assert np.array_equal(_cut(frames, _Crop(2, 5, 10, 12, True), 10, 12), frames[2:12, 16:4:-1])
    halved = _cut(frames, _Crop(0, 0, 20, 30, False), 10, 15)
    assert np.abs(halved.astype(int) - cv2.resize(frames, (15, 10), interpolation=cv2.INTER_AREA)).max() == 0


def test_a_kept_clip_gives_the_same_windows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        with open_writer(tmp_path / name, frame_rate=24, height=24, width=32) as writer:
            for _ in range(12):
                writer.write(rng.integers(0, 255, (24, 32, 3)).astype(np.uint8))
    fresh = windows(ClipWindows(FolderClips(tmp_path), BoxMask()), 6, height=16, width=16)
    kept = windows(ClipWindows(FolderClips(tmp_path), BoxMask(), cache_megabytes=1), 6, height=16, width=16)
    assert all(torch.equal(a["frames"], b["frames"]) for a, b in zip(fresh, kept, strict=True))


def test_what_is_kept_stays_below_its_bound() -> None:
    kept = KeptPictures(1)
    for number in (0, 1):
        kept.keep(number, np.full(400_000, number, np.uint8))
    assert kept[0].max() == 0
    kept.keep(2, np.zeros(400_000, np.uint8))  # two fit; 1 was used longest ago
    assert [number in kept for number in range(3)] == [True, False, True]
    assert kept.bytes == 800_000
    assert kept.keep("huge", np.zeros(2_000_000, np.uint8)).size == 2_000_000
    assert "huge" not in kept
    assert kept.bytes == 800_000
    with pytest.raises(DataError, match="cache_megabytes -1"):
        KeptPictures(-1)


def test_names_choose_photographs_and_clips(photographs: Path) -> None:
    def names(**arguments: Any) -> set[str]:
        return {window["name"] for window in windows(image_motion(photographs, **arguments), 4)}

    assert names() == {"photo0", "photo1"}
    assert names(include=["photo1"]) == {"photo1"}
    assert names(exclude=["*1"]) == {"photo0"}
    with pytest.raises(DataError, match="include=phto1 matches none of 2 names, such as photo0"):
        names(include=["phto1"])
    with pytest.raises(DataError, match="leave none of 2 names"):
        names(exclude=["photo*"])
    for name in ("dog", "cat"):
        (photographs / name).mkdir()
    assert [clip.name for clip in FolderClips(photographs, exclude=["dog", "photo*"])] == ["cat"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: windows(clip_windows(), num_frames=21), "has 20 frames but a window takes 21; remove the clip"),
        (lambda root: windows(ImageMotion(root, BoxMask())), "nothing matches .*expected photographs"),
        (lambda root: windows(ClipWindows([], BoxMask())), "clips to train on are an empty list"),
        (lambda root: windows(clip_windows(), motion="affine"), "its affine motion is not known; set motion to null"),
        (lambda root: windows(clip_windows(), motion="depth"), "motion depth: expected one of affine, flow"),
        (lambda root: windows(clip_windows(), height=0), "5 frames of 56x0: expected at least one of each"),
        (lambda root: WindowDataset(clip_windows(), WindowRequest(), samples_per_epoch=0), "samples_per_epoch 0"),
        (lambda root: ClipWindows([], BoxMask(), window=0), "window 0 and max_stride 3"),
        (lambda root: ClipWindows([], BoxMask(), min_cover=0.5), r"covers 0\.5 to 2\.0"),
        (lambda root: ImageMotion(root, BoxMask(), flip_probability=2), "flip_probability 2: expected 0 to 1"),
        (lambda root: ImageMotion(root, BoxMask(), jitter=1), "jitter 1"),
        (lambda root: MixtureWindows({}), "a mixture of no parts"),
        (lambda root: MixtureWindows({"a": clip_windows()}, weights={"b": 1}), "weights name b: the parts are a"),
        (lambda root: MixtureWindows({"a": clip_windows()}, weights={"a": 0}), "not all 0"),
        (
            lambda root: VideoInpaintingDataModule(train=ProceduralClips(), val=None, mask=BoxMask(), motion="flow"),
            "motion=flow: only data=image_motion",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make(tmp_path)
