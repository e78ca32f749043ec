"""The window engine: what it sees, when it speaks, and what it leaves alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

import golden_weights
from vinpaint.errors import UserError
from vinpaint.inference.aligned_inputs import AlignedInputs
from vinpaint.inference.inpainter import Inpainter, MaskedClip
from vinpaint.inference.resizing import resize_completed, resize_visible
from vinpaint.inference.schedule import window_schedule
from vinpaint.inference.window import WindowInpainter
from vinpaint.inference.window_inputs import PendingFrame, WindowInputs
from vinpaint.inference.window_model import RegionModel, WindowModel
from vinpaint.masks import ArrayMasks
from vinpaint.models.sttn import STTN
from vinpaint.ops.affine import affine_warp, pixel_theta
from vinpaint.ops.conversion import mask_to_tensor, to_tensor, to_uint8
from vinpaint.ops.region import Region
from vinpaint.video import ArrayClip

Pictures = NDArray[np.uint8]
Holes = NDArray[np.bool_]

ALIGNED: dict[str, object] = {"alignment": "affine", "residual": "temporal", "compositing": "poisson"}


def pictures(num_frames: int = 13, height: int = 48, width: int = 48) -> tuple[Pictures, Holes]:
    frames = golden_weights.texture(3, "window", 3 * num_frames, height, width).reshape(num_frames, 3, height, width)
    holes = golden_weights.box_masks(3, "window", num_frames, height, width, fractions=[0.2, 0.4]).astype(bool)
    return frames.permute(0, 2, 3, 1).numpy().copy(), holes


def panned(num_frames: int = 13, height: int = 60, width: int = 90) -> tuple[Pictures, Holes]:
    """A still scene under a camera that moves by 2.5 and 1 pixels per frame, and a hole that keeps its place in it."""
    grain = np.random.default_rng(0).random((height, width, 3), np.float32)
    scene = cv2.GaussianBlur(cv2.resize(grain, (3 * width, 3 * height), interpolation=cv2.INTER_CUBIC), (0, 0), 2)
    scene = (scene - scene.min()) / (scene.max() - scene.min()) * 255
    frames, holes = [], np.zeros((num_frames, height, width), bool)
    for index, hole in enumerate(holes):
        camera = np.array([[1, 0, width / 2 + 2.5 * index], [0, 1, height / 2 + index]])
        frames.append(cv2.warpAffine(scene, camera, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP))
        hole[10:40, 4 + 4 * index : 24 + 4 * index] = True
    return np.stack(frames).round().astype(np.uint8), holes


def masked(frames: Pictures, holes: Holes) -> MaskedClip:
    return MaskedClip(ArrayClip(frames), ArrayMasks(holes))


def tiny_sttn() -> STTN:
    torch.manual_seed(1)
    return STTN(channels=8, num_blocks=2, init_gain=1.0)


def completed(model: nn.Module, frames: Pictures, holes: Holes, **options: object) -> Tensor:
    arguments: dict[str, object] = {"size": "native", "device": "cpu", **options}
    return torch.stack(list(WindowInpainter(model, **arguments).stream(masked(frames, holes))))  # type: ignore[arg-type]


class Plain(nn.Module):
    """A network that hides that it could share features."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor, masks: Tensor) -> Tensor:
        output: Tensor = self.network(frames, masks)
        return output


class Counting(nn.Module):
    """Completes the n-th window with the value ``n / 255 + offset`` and writes down what it saw."""

    def __init__(self, offset: float = 0.0) -> None:
        super().__init__()
        self.offset = offset
        self.lengths: list[int] = []

    def forward(self, frames: Tensor, masks: Tensor) -> Tensor:
        self.lengths.append(frames.shape[1])
        return torch.full_like(frames, len(self.lengths) / 255 + self.offset)


# ---------------------------------------------------------------- schedule


def test_schedule_is_the_public_scripts(golden_dir: Path) -> None:
    stored = json.loads((golden_dir / "sttn_test_schedule.json").read_text())["schedule"]
    for num_frames, windows in stored.items():
        found = [
            {"f": window.center, "neighbors": list(window.neighbors), "refs": list(window.references)}
            for window in window_schedule(int(num_frames))
        ]
        assert found == windows


def test_schedule_of_a_hundred_frames_costs_what_is_documented() -> None:
    windows = list(window_schedule(100))
    decoded = [index for window in windows for index in window.neighbors]
    assert len(windows) == 20
    assert len(decoded) == 214
    assert len(decoded) + sum(len(window.references) for window in windows) == 385
    assert np.bincount(np.bincount(decoded)).tolist() == [0, 4, 78, 18]


@pytest.mark.parametrize("limit", [0, 1, 4, 7])
def test_capped_references_are_the_nearest_on_the_grid(limit: int) -> None:
    for window, every in zip(window_schedule(200, max_references=limit), window_schedule(200), strict=True):
        nearest = sorted(every.references, key=lambda index: (abs(index - window.center), index))[:limit]
        assert list(window.references) == sorted(nearest)


@pytest.mark.parametrize("num_frames", [1, 2, 7, 30])
@pytest.mark.parametrize(("radius", "stride"), [(5, 5), (5, 6), (0, 1), (3, 2)])
def test_every_frame_is_in_a_window(num_frames: int, radius: int, stride: int) -> None:
    windows = window_schedule(num_frames, neighbor_radius=radius, neighbor_stride=stride)
    assert {index for window in windows for index in window.neighbors} == set(range(num_frames))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neighbor_stride": 7}, r"neighbor_stride=7: expected 1 to 6 \(neighbor_radius \+ 1\)"),
        ({"reference_stride": 0}, "reference_stride=0"),
        ({"max_references": -1}, "max_references=-1"),
        ({"blend": "median"}, "blend=median: expected mean or ema_half"),
        ({"quantize": "floor"}, "quantize=floor: expected round or truncate"),
        ({"alignment": "flow"}, "alignment=flow: expected none or affine"),
        ({"residual": "full"}, "residual=full: expected none or temporal"),
        ({"residual": "temporal"}, "residual=temporal with alignment=none: .* use alignment=affine or residual=none"),
        ({"compositing": "feather"}, "compositing=feather: expected paste or poisson"),
        (
            {"alignment": "affine", "blend": "ema_half"},
            "blend=ema_half with alignment=affine: .* use blend=mean or alignment=none",
        ),
        ({"precision": "int8"}, "precision=int8: expected fp32, bf16, fp16"),
        ({"size": (240,)}, r"size=\(240,\): expected native or \[height, width\]"),
        ({"size": "full"}, "size=full: expected native"),
        ({"chunk_size": 0}, "chunk_size=0: expected at least 1"),
        ({"device": "gpu"}, "device=gpu: expected auto, keep, cpu or cuda:0"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        WindowInpainter(nn.Identity(), **options)  # type: ignore[arg-type]


# ---------------------------------------------------------------- what comes out


def test_it_is_an_engine_and_sttn_shares_features() -> None:
    assert isinstance(WindowInpainter(tiny_sttn()), Inpainter)
    assert isinstance(tiny_sttn(), WindowModel)
    assert not isinstance(Plain(tiny_sttn()), WindowModel)


@pytest.mark.parametrize("size", ["native", (48, 60), (96, 144)])
@pytest.mark.parametrize("options", [{}, ALIGNED])
def test_known_pixels_are_untouched_and_the_hole_is_completed(size: object, options: dict[str, object]) -> None:
    frames, holes = pictures(7, 50, 63)
    out = completed(tiny_sttn(), frames, holes, size=size, **options)
    known = to_tensor(frames)
    outside = ~mask_to_tensor(holes).bool().expand_as(known)
    assert out.dtype == torch.float32
    assert torch.equal(out[outside], known[outside])
    assert (out[~outside] != known[~outside]).float().mean() > 0.9
    assert out.min() >= 0
    assert out.max() <= 1


@pytest.mark.parametrize("size", ["native", (48, 60), (96, 144)])
@pytest.mark.parametrize("options", [{}, ALIGNED])
def test_hole_content_is_irrelevant(size: object, options: dict[str, object]) -> None:
    frames, holes = panned(7, 50, 63)
    other = frames.copy()
    other[holes] = np.random.default_rng(0).integers(0, 256, other[holes].shape, np.uint8)
    assert not np.array_equal(frames, other)
    out = completed(tiny_sttn(), frames, holes, size=size, **options)
    assert torch.equal(completed(tiny_sttn(), other, holes, size=size, **options), out)


class Everywhere(nn.Module):
    """A network that hides that it could leave out what no hole reaches."""

    def __init__(self, network: STTN) -> None:
        super().__init__()
        self.network = network
        self.encode, self.transform, self.decode = network.encode, network.transform, network.decode


@pytest.mark.parametrize("size", ["native", (96, 144)])
@pytest.mark.parametrize("options", [{}, ALIGNED, {"compositing": "poisson"}])
def test_leaving_out_what_no_hole_reaches_changes_nothing(size: object, options: dict[str, object]) -> None:
    frames, holes = panned(7, 60, 90)
    holes[:] = False
    for index, hole in enumerate(holes):
        hole[4 * index : 4 * index + 9, 60:71] = True
    model = tiny_sttn()
    assert isinstance(model, RegionModel)
    assert not isinstance(Everywhere(model), RegionModel)
    expected = completed(Everywhere(model), frames, holes, size=size, **options)
    torch.testing.assert_close(completed(model, frames, holes, size=size, **options), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("num_frames", [1, 5, 23])
def test_streaming_equals_the_whole_clip_at_once(num_frames: int) -> None:
    frames, holes = pictures(num_frames)
    holes[num_frames // 2] = False
    model = tiny_sttn().eval()
    known, masks = to_tensor(frames), mask_to_tensor(holes)
    total, windows = torch.zeros_like(known), torch.zeros(num_frames, 1, 1, 1)
    for window in window_schedule(num_frames):
        together = [*window.neighbors, *window.references]
        with torch.no_grad():
            out = model(known[together][None], masks[together][None])[0]
        total[window.neighbors.start : window.neighbors.stop] += out[: len(window.neighbors)]
        windows[window.neighbors.start : window.neighbors.stop] += 1
    expected = torch.where(masks > 0.5, total / windows, known)
    torch.testing.assert_close(completed(model, frames, holes), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("options", [{}, ALIGNED])
@pytest.mark.parametrize("max_references", [None, 0, 2])
def test_a_plain_network_is_run_the_same_way(max_references: int | None, options: dict[str, object]) -> None:
    frames, holes = pictures(27) if not options else panned(27)
    holes[2::5] = False  # places in a window are then not places among what is completed
    model = tiny_sttn()
    shared = completed(model, frames, holes, max_references=max_references, **options)
    plain = completed(Plain(model), frames, holes, max_references=max_references, **options)
    torch.testing.assert_close(shared, plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize("chunk_size", [1, 3, 100])
def test_chunks_change_nothing(chunk_size: int) -> None:
    frames, holes = pictures(7)
    expected = completed(tiny_sttn(), frames, holes)
    torch.testing.assert_close(
        completed(tiny_sttn(), frames, holes, chunk_size=chunk_size), expected, atol=1e-5, rtol=0
    )


class Borrowing(nn.Module):
    """Completes each place with the mean of what the frames of the window show there, as attention learns to."""

    def forward(self, frames: Tensor, masks: Tensor) -> Tensor:
        shown = (frames * (1 - masks)).sum(dim=1, keepdim=True)
        mean = shown / (1 - masks).sum(dim=1, keepdim=True).clamp_min(1)
        return mean.expand_as(frames)


def hole_error(out: Tensor, frames: Pictures, holes: Holes) -> float:
    inside = mask_to_tensor(holes).bool().expand_as(out)
    return float((out - to_tensor(frames))[inside].abs().mean()) * 255


@pytest.mark.parametrize("size", ["native", (80, 120)])
def test_under_a_moving_camera_aligned_windows_borrow_from_the_right_places(size: object) -> None:
    frames, holes = panned()
    plain = hole_error(completed(Borrowing(), frames, holes, size=size), frames, holes)
    aligned = hole_error(completed(Borrowing(), frames, holes, size=size, alignment="affine"), frames, holes)
    assert plain > 15
    assert aligned < 4


def test_a_camera_that_stands_still_is_not_aligned() -> None:
    frames, holes = panned()
    frames = np.broadcast_to(frames[0], frames.shape).copy()
    model = tiny_sttn()
    expected = completed(model, frames, holes)
    torch.testing.assert_close(completed(model, frames, holes, alignment="affine"), expected, atol=1e-6, rtol=0)


def test_samples_beside_a_hole_are_made_of_known_pixels_alone() -> None:
    frames, holes = np.full((1, 40, 60, 3), 150, np.uint8), panned(1, 40, 60)[1]
    inputs = AlignedInputs(masked(frames, holes), nn.Identity(), None, torch.device("cpu"), 4)
    images, masks = inputs.prepare([PendingFrame(frames[0], holes[0])])
    turned = np.array([[0.98, 0.1, 2.3], [-0.1, 1.01, 1.4], [0, 0, 1]])
    laid, hole = inputs._laid(inputs._values(images, masks), masks > 0.5, turned)
    shown = laid[(hole == 0).expand_as(laid)]
    torch.testing.assert_close(shown, torch.full_like(shown, 150 / 255))
    touched = affine_warp(masks, pixel_theta(turned, (40, 60)), align_corners=True) > 0.01
    assert hole[touched].all()
    assert not laid[hole.bool().expand_as(laid)].any()
    assert 0.02 < hole.mean() < 0.6


def test_what_lies_outside_the_centres_frame_counts_where_nothing_else_does() -> None:
    """A pan so fast that the hole at a frame's edge is in no other's view, but in that of the window about it."""
    frames, holes = panned(11, 60, 90)
    holes[:] = False
    holes[0, 10:40, :12] = True
    holes[3, 10:40, :12] = True
    out = completed(Borrowing(), frames, holes, alignment="affine", neighbor_radius=3, neighbor_stride=3)
    # frame 0 saw further left than any other; frame 3 is seen by the windows about frames 0 and 3
    assert hole_error(out[3:4], frames[3:4], holes[3:4]) < 4
    assert torch.isfinite(out).all()


def test_poisson_takes_out_a_shift_of_colours() -> None:
    frames, holes = panned()

    class Shifted(Borrowing):
        def forward(self, frames: Tensor, masks: Tensor) -> Tensor:
            shifted: Tensor = super().forward(frames, masks) + 0.1
            return shifted

    errors = {
        compositing: hole_error(
            completed(Shifted(), frames, holes, alignment="affine", compositing=compositing), frames, holes
        )
        for compositing in ("paste", "poisson")
    }
    assert errors["paste"] > 20
    assert errors["poisson"] < 4


class Blurring(Borrowing):
    """Knows what belongs into each place, and blurs all that it returns."""

    def forward(self, frames: Tensor, masks: Tensor) -> Tensor:
        B, T = frames.shape[:2]
        blurred = F.avg_pool2d(super().forward(frames, masks).flatten(0, 1), 9, 1, 4, count_include_pad=False)
        return torch.unflatten(blurred, 0, (B, T)) * 0.9


def test_what_a_network_blurs_is_restored_from_frames_that_show_it() -> None:
    frames, holes = panned()
    errors = {
        residual: hole_error(completed(Blurring(), frames, holes, alignment="affine", residual=residual), frames, holes)
        for residual in ("none", "temporal")
    }
    assert errors["none"] > 15
    assert errors["temporal"] < 4


def test_windows_are_averaged() -> None:
    frames, holes = pictures(21)
    holes[:] = True
    levels = completed(Counting(), frames, holes)[:, 0, 0, 0] * 255
    # windows 1 to 5 are centred on frames 0, 5, 10, 15, 20
    assert levels[[0, 3, 5, 7, 10, 20]].tolist() == pytest.approx([1.5, 1.5, 2, 2.5, 3, 4.5], abs=1e-4)


def test_windows_are_halved_and_cut_as_in_the_public_script() -> None:
    frames, holes = pictures(21)
    holes[:] = True
    out = completed(Counting(offset=0.5 / 255), frames, holes, blend="ema_half", quantize="truncate") * 255
    levels = out[:, 0, 0, 0]
    # n + 0.5 is cut to n; 5 is in windows 1, 2, 3: (1 / 2 + 2 / 2) / 2 + 3 / 2 = 2.25, cut to 2
    assert levels[[0, 5, 7, 10, 20]].tolist() == pytest.approx([1, 2, 2, 3, 4], abs=1e-4)
    assert (out - out.round()).abs().max() < 1e-4


def test_truncated_frames_are_stored_level_for_level() -> None:
    frames, holes = pictures(6)
    out = completed(tiny_sttn(), frames, holes, quantize="truncate", blend="ema_half")
    exact = completed(tiny_sttn(), frames, holes, blend="ema_half")
    stored = to_uint8(out)
    assert np.array_equal(stored[~holes], frames[~holes])
    lost = to_uint8(exact)[holes].astype(int) - stored[holes]
    assert lost.min() >= 0
    assert 0.2 < lost.mean() < 1.2


def test_bfloat16_is_near_and_leaves_the_network_alone() -> None:
    frames, holes = pictures(7)
    model = tiny_sttn().train()
    out = completed(model, frames, holes, precision="bf16")
    assert model.training
    assert model.dtype == torch.float32
    assert (out - completed(model, frames, holes)).abs().mean() < 2e-3
    assert out.dtype == torch.float32


# ---------------------------------------------------------------- what is read, computed and kept


class Watched(STTN):
    """Counts the frames that pass each stage."""

    def __init__(self) -> None:
        super().__init__(channels=8, num_blocks=1, init_gain=1.0)
        self.encoded = self.decoded = 0

    def encode(self, frames: Tensor, masks: Tensor) -> Tensor:
        self.encoded += frames.shape[1]
        return super().encode(frames, masks)

    def decode(self, features: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
        self.decoded += features.shape[1]
        return super().decode(features, size=size)

    def decode_region(self, features: Tensor, *, region: Region, size: tuple[int, int]) -> Tensor:
        self.decoded += features.shape[1]
        return super().decode_region(features, region=region, size=size)


@pytest.mark.parametrize("max_references", [None, 0, 1, 3])
def test_frames_are_encoded_once(max_references: int | None) -> None:
    frames, holes = pictures(61, 12, 12)
    model = Watched()
    completed(model, frames, holes, max_references=max_references)
    assert model.encoded == 61


def test_only_frames_with_a_hole_are_decoded() -> None:
    frames, holes = pictures(21, 12, 12)
    holes[:] = False
    holes[12, 2:5, 2:5] = True
    model = Watched()
    out = completed(model, frames, holes)
    assert model.decoded == 2  # frame 12 is in the windows of 10 and 15
    assert torch.equal(out[:12], to_tensor(frames[:12]))
    assert model.encoded == 20 - 5 + 1 + 1  # neighbours 5 to 20, reference 0


def test_windows_without_a_hole_are_skipped() -> None:
    frames, holes = pictures(21, 12, 12)
    holes[:] = False
    model = Counting()
    assert torch.equal(completed(model, frames, holes), to_tensor(frames))
    assert model.lengths == []
    holes[0, :3, :3] = True
    completed(model, frames, holes)
    assert model.lengths == [6 + 2, 11 + 1]  # frame 0 is in two windows; references 10 and 20, then 20


class Logged:
    """A clip that writes down which frames are asked for."""

    def __init__(self, frames: Pictures) -> None:
        self.clip = ArrayClip(frames)
        self.name, self.frame_rate = self.clip.name, self.clip.frame_rate
        self.num_frames, self.height, self.width = self.clip.num_frames, self.clip.height, self.clip.width
        self.asked: list[int] = []

    def read(self, indices: Sequence[int]) -> Pictures:
        self.asked.extend(indices)
        return self.clip.read(indices)

    def close(self) -> None:
        self.clip.close()

    def __enter__(self) -> Logged:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def test_frames_leave_as_soon_as_they_are_final() -> None:
    frames, holes = pictures(61, 12, 12)
    clip = Logged(frames)
    engine = WindowInpainter(tiny_sttn(), size="native", device="cpu", max_references=0)
    stream: Iterator[Tensor] = engine.stream(MaskedClip(clip, ArrayMasks(holes)))
    assert clip.asked == []
    for index, _ in enumerate(stream):
        # final after the last window that holds it, centred at most 5 behind, which reads 5 further
        assert max(clip.asked) <= min(index // 5 * 5 + 10, 60)
    assert sorted(clip.asked) == list(range(61)), "each frame is read once"


@pytest.mark.parametrize("max_references", [0, 4])
@pytest.mark.parametrize("options", [{}, ALIGNED])
def test_memory_does_not_grow_with_the_clip(
    max_references: int, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    fill = WindowInputs._fill

    def watched(self: WindowInputs, *arguments: object) -> None:
        fill(self, *arguments)  # type: ignore[arg-type]
        kept.append(len(self._kept))

    monkeypatch.setattr(WindowInputs, "_fill", watched)
    frames, holes = pictures(200, 12, 12)
    completed(tiny_sttn(), frames, holes, max_references=max_references, **options)
    assert max(kept[-20:]) <= max(kept[:8])
    assert max(kept) <= 11 + max_references + 5


def test_an_abandoned_stream_restores_the_network() -> None:
    frames, holes = pictures(12, 12, 12)
    model = tiny_sttn().train()
    stream = WindowInpainter(model, size="native", device="keep").stream(masked(frames, holes))
    next(iter(stream))
    assert not model.training
    stream.close()  # type: ignore[attr-defined]
    assert model.training


# ---------------------------------------------------------------- resizing


def test_resizing_without_holes_is_pillows_bicubic() -> None:
    frames, _ = pictures(1, 90, 130)
    resized, _ = resize_visible(to_tensor(frames), torch.zeros(1, 1, 90, 130), (48, 60))
    expected = np.asarray(Image.fromarray(frames[0]).resize((60, 48), Image.Resampling.BICUBIC))
    assert np.abs(to_uint8(resized)[0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("size", [(30, 50), (100, 140), (61, 40)])
def test_known_pixels_beside_a_hole_are_made_of_known_pixels(size: tuple[int, int]) -> None:
    masks = torch.zeros(1, 1, 60, 80)
    masks[..., 20:41, 31:55] = 1
    frames = torch.where(masks > 0.5, torch.rand(1, 3, 60, 80), torch.tensor(0.25))
    resized, covered = resize_visible(frames, masks, size)
    outside = (covered == 0).expand_as(resized)
    torch.testing.assert_close(resized[outside], torch.full_like(resized[outside], 0.25))
    assert not resized[~outside].any()


@pytest.mark.parametrize("size", [(30, 50), (100, 140), (61, 40)])
def test_the_resized_hole_covers_the_hole(size: tuple[int, int]) -> None:
    masks = torch.zeros(1, 1, 60, 80)
    masks[..., 20:41, 31:55] = 1
    masks[..., 3, 3] = 1
    _, covered = resize_visible(torch.rand(1, 3, 60, 80), masks, size)
    area = F.interpolate(masks, size, mode="area")
    assert ((area > 0) <= (covered > 0)).all()
    assert covered.mean() < 2.5 * masks.mean()


def test_equal_sizes_are_left_alone() -> None:
    frames, masks = torch.rand(1, 3, 8, 8), (torch.rand(1, 1, 8, 8) > 0.5).float()
    resized, covered = resize_visible(frames, masks, (8, 8))
    assert torch.equal(resized, frames * (1 - masks))
    assert torch.equal(covered, masks)
    assert torch.equal(resize_completed(frames, (8, 8)), frames)


# ---------------------------------------------------------------- the public script


@pytest.mark.slow
@pytest.mark.parametrize(("attn_mask", "prefix"), [("none", ""), ("keys", "paper_")])
def test_the_whole_public_script_is_reproduced(golden_dir: Path, attn_mask: str, prefix: str) -> None:
    with np.load(golden_dir / "sttn_test_t12.npz") as stored:
        frames = golden_weights.moving_clip(int(stored["seed"]), str(stored["video_key"]), int(stored["T"]), 240, 432)
        assert golden_weights.sha256(frames) == str(stored["frames_sha256"])
        holes, expected = stored["dilated_masks_u8"].astype(bool), stored[prefix + "comp_in_hole"]
    model = STTN(attn_mask=attn_mask)  # type: ignore[arg-type]
    model.load_state_dict(golden_weights.official_state(golden_dir, "sttn_generator"))
    out = to_uint8(completed(model, frames, holes, blend="ema_half", quantize="truncate", size=(240, 432)))
    assert np.array_equal(out[~holes], frames[~holes])
    difference = np.abs(out[holes].astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3
