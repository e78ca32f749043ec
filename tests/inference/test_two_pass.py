"""Completing clips in two passes: the promises of an engine, a plain form of the method, and the released script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from golden_weights import moving_clip, official_state, sha256
from vinpaint.errors import UserError
from vinpaint.inference import hole_store
from vinpaint.inference.inpainter import Inpainter, MaskedClip
from vinpaint.inference.reference_schedule import ReferenceSchedule
from vinpaint.inference.two_pass import TwoPassInpainter
from vinpaint.masks import ArrayMasks
from vinpaint.models.cpnet import CPNet, PreparedFrames, References
from vinpaint.ops.conversion import mask_to_tensor, to_tensor
from vinpaint.video import ArrayClip

RELEASED: dict[str, Any] = {"reference_schedule": "released", "stale_features": True, "blend": "released"}


def tiny_network() -> CPNet:
    torch.manual_seed(1)
    model = CPNet(channels=4, alignment_size=32)
    nn.init.normal_(model.A_Regressor.fc.weight, std=0.05)
    return model


def engine(**options: Any) -> TwoPassInpainter:
    return TwoPassInpainter(tiny_network(), **{"size": "native", "device": "cpu", **options})


def arrays(num_frames: int = 7, height: int = 24, width: int = 32) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    rng = np.random.default_rng(4)
    frames = rng.integers(0, 256, (num_frames, height, width, 3), np.uint8)
    masks = np.zeros((num_frames, height, width), bool)
    for index in range(num_frames):
        masks[index, 2 : 2 + height // 2, index % 5 : index % 5 + width // 2] = index != 3  # one frame has no hole
    return frames, masks


def complete(inpainter: Inpainter, frames: NDArray[np.uint8], masks: NDArray[np.bool_]) -> Tensor:
    return torch.stack(list(inpainter.stream(MaskedClip(ArrayClip(frames), ArrayMasks(masks)))))


# ---------------------------------------------------------------- the method, written plainly


@torch.no_grad()
def complete_plainly(
    network: CPNet, frames: Tensor, masks: Tensor, schedule: ReferenceSchedule, *, released: bool, forward_only: bool
) -> Tensor:
    """Two passes over a clip held whole: ``(T, 3, H, W)`` and masks ``(T, 1, H, W)`` to completed frames."""

    def encode(images: Tensor, holes: Tensor) -> Tensor:
        return network.encode_alignment(network.prepare(images[None], holes[None]))

    count = len(frames)
    features = torch.cat([encode(*pair) for pair in zip(frames, masks, strict=True)])
    results = []
    for order in [range(count)] if forward_only else [range(count)[::-1], range(count)]:
        current, holes = frames.clone(), masks.clone()
        if not released:
            features = torch.cat([encode(*pair) for pair in zip(frames, masks, strict=True)])
        for index in order:
            others = list(schedule.references(index))
            prepared = network.prepare(current[others], holes[others])
            references = References(PreparedFrames(*(part[None] for part in prepared)), features[others][None])
            target = network.prepare(current[index][None], holes[index][None])
            portions = [references] if others else []
            completed = network.complete(
                target, encode(current[index], holes[index]), portions, size=(frames.shape[-2], frames.shape[-1])
            ).frame[0]
            current[index] = torch.where(holes[index] > 0.5, completed.clamp(0, 1), current[index])
            holes[index] = 0
            features[index] = encode(current[index], holes[index])[0]
        results.append(current)
    share = torch.arange(count) / (count if released else max(count - 1, 1))
    return torch.lerp(results[0], results[-1], share.view(-1, 1, 1, 1))


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("passes", ["backward_forward", "forward"])
@pytest.mark.parametrize(("radius", "cap", "chunk"), [(120, None, 8), (2, None, 1), (3, None, 2), (6, 2, 3)])
def test_streaming_gives_what_the_whole_clip_gives(
    released: bool, passes: Any, radius: int, cap: int | None, chunk: int
) -> None:
    frames, masks = arrays(11, 17, 22)
    options = RELEASED if released else {}
    inpainter = engine(passes=passes, reference_radius=radius, max_references=cap, chunk_size=chunk, **options)
    schedule = ReferenceSchedule(
        11, radius=radius, stride=2, max_references=cap, kind="released" if released else "grid"
    )
    expected = complete_plainly(
        inpainter.model.eval(), to_tensor(frames), mask_to_tensor(masks), schedule,
        released=released, forward_only=passes == "forward",
    )  # fmt: skip
    torch.testing.assert_close(complete(inpainter, frames, masks), expected, atol=2e-5, rtol=0)


# ---------------------------------------------------------------- promises of every engine


@pytest.mark.parametrize("size", ["native", (16, 40), (48, 64)])
@pytest.mark.parametrize("passes", ["backward_forward", "forward"])
def test_known_pixels_are_untouched_and_hidden_ones_have_no_influence(size: Any, passes: Any) -> None:
    frames, masks = arrays(5, 23, 31)
    inpainter = engine(size=size, passes=passes)
    completed = complete(inpainter, frames, masks)
    hole = torch.from_numpy(masks).unsqueeze(1).expand_as(completed)
    assert torch.equal(completed[~hole], to_tensor(frames)[~hole])
    assert completed.min() >= 0
    assert completed.max() <= 1
    other = np.where(masks[..., None], 255 - frames, frames)
    assert torch.equal(complete(inpainter, other, masks), completed)


@pytest.mark.parametrize("options", [{}, RELEASED, {"passes": "forward"}, {"max_references": 0}])
def test_a_lone_frame_and_a_clip_that_is_all_hole_are_completed(options: dict[str, Any]) -> None:
    for num_frames in (1, 3):
        frames, masks = arrays(num_frames, 9, 13)
        completed = complete(engine(**options), frames, np.ones_like(masks))
        assert completed.shape == (num_frames, 3, 9, 13)
        assert completed.isfinite().all()


def test_a_clip_without_holes_passes_without_work() -> None:
    frames, masks = arrays()
    inpainter = engine()
    inpainter.model.Decoder.register_forward_pre_hook(lambda *_: pytest.fail("the network was run"))
    assert torch.equal(complete(inpainter, frames, np.zeros_like(masks)), to_tensor(frames))


def test_the_network_is_left_as_it_was() -> None:
    inpainter = engine()
    inpainter.model.train()
    before = {key: value.clone() for key, value in inpainter.model.state_dict().items()}
    assert complete(inpainter, *arrays(3)).requires_grad is False
    assert inpainter.model.training
    assert all(torch.equal(value, before[key]) for key, value in inpainter.model.state_dict().items())


def test_half_precision_stays_near() -> None:
    frames, masks = arrays(3)
    exact, half = complete(engine(), frames, masks), complete(engine(precision="bf16"), frames, masks)
    assert (exact - half).abs().mean() < 0.02


# ---------------------------------------------------------------- streaming


class WatchedClip(ArrayClip):
    """A clip that remembers the last frame it was asked for."""

    def __init__(self, frames: NDArray[np.uint8]) -> None:
        super().__init__(frames)
        self.farthest = -1

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        self.farthest = max(self.farthest, *indices)
        return super().read(indices)


def test_one_pass_looks_no_farther_ahead_than_its_references() -> None:
    frames, masks = arrays(30)
    clip = WatchedClip(frames)
    stream = engine(passes="forward", reference_radius=4, chunk_size=2).stream(MaskedClip(clip, ArrayMasks(masks)))
    for index in range(30):
        next(stream)
        assert clip.farthest <= max(8, index + 4) + 1  # a chunk of two is read at once


def test_frames_kept_do_not_grow_with_the_clip() -> None:
    most = []
    for num_frames in (20, 40):
        clip = MaskedClip(ArrayClip(arrays(num_frames)[0]), ArrayMasks(arrays(num_frames)[1]))
        inpainter = engine(reference_radius=6, max_references=4, chunk_size=2)
        running = inpainter._pass(clip, inpainter.model, 1)
        most.append(max(len(running.frames) for _ in running.run()))
    assert most[0] == most[1] < 10


def test_a_first_pass_that_does_not_fit_in_memory_goes_to_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, masks = arrays(5)
    in_memory = complete(engine(), frames, masks)
    monkeypatch.setattr(hole_store, "_IN_MEMORY", 1)
    assert torch.equal(complete(engine(), frames, masks), in_memory)


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"passes": "both"}, "passes=both: expected backward_forward or forward"),
        ({"blend": "mean"}, "blend=mean: expected symmetric or released"),
        ({"reference_stride": 0}, "reference_stride=0"),
        ({"chunk_size": 0}, "chunk_size=0"),
        ({"size": (0, 3)}, r"size=\(0, 3\): expected native or"),
        ({"device": "cuda:99x"}, "device=cuda:99x: expected auto, keep"),
        ({"precision": "int8"}, "precision=int8: expected fp32"),
    ],
)
def test_a_wrong_option_is_refused_before_any_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        engine(**options)


def test_another_network_is_refused() -> None:
    with pytest.raises(UserError, match="model is a Identity: this engine runs a CPNet"):
        TwoPassInpainter(nn.Identity())  # type: ignore[arg-type]


# ---------------------------------------------------------------- the released script


@pytest.mark.slow
def test_levels_are_those_of_the_released_script(golden_dir: Path) -> None:
    stored = np.load(golden_dir / "cpnet_test_script_5.npz")
    frames = moving_clip(int(stored["seed"]), str(stored["video_key"]), 5, 240, 424, vy=1, vx=2)
    assert sha256(frames) == str(stored["frames_sha256"])
    network = CPNet(ref_mask_polarity="visible", legacy_softmax=True, padding="zeros")
    constants = {key: value for key, value in network.state_dict().items() if "mean" in key or "std" in key}
    network.load_state_dict(official_state(golden_dir, "cpnet", keep=constants))
    masks = stored["dataset_masks"] > 0
    completed = complete(TwoPassInpainter(network, size="native", device="cpu", **RELEASED), frames, masks)
    # the script cuts every value down to a whole level, known pixels included, which so lose a level here and there
    levels = np.floor(completed.permute(0, 2, 3, 1).numpy() * 255)
    off = np.abs(levels - stored["canvas"])[masks]
    assert off.max() <= 1
    assert (off > 0).mean() < 1e-3
