"""Engines that go on in the middle of a clip, and what is kept of it meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from engine_promises import complete, noise, wandering_box
from vinpaint import api
from vinpaint.data import ProceduralClip
from vinpaint.errors import UserError
from vinpaint.inference.baselines import DiffusionInpainter, IdentityInpainter, TemporalMedianInpainter
from vinpaint.inference.finished_frames import FinishedFrames
from vinpaint.inference.flow_guided import FlowGuidedInpainter
from vinpaint.inference.flow_guided_offer import Offer, nothing_judged
from vinpaint.inference.inpainter import MaskedClip, ResumableInpainter
from vinpaint.inference.window import WindowInpainter
from vinpaint.masks import ArrayMasks
from vinpaint.models.sttn import STTN
from vinpaint.ops.conversion import to_uint8
from vinpaint.video import ArrayClip

NUM_FRAMES = 20


def sttn_engine(**options: object) -> WindowInpainter:
    torch.manual_seed(1)
    network = STTN(channels=8, num_blocks=2, init_gain=1.0)
    return WindowInpainter(network, size="native", device="cpu", **options)  # type: ignore[arg-type]


def _brighten(offer: Offer) -> tuple[np.ndarray, np.ndarray]:
    coefficients, residual = nothing_judged(offer)
    return coefficients, residual + 8


ENGINES: dict[str, Callable[[], ResumableInpainter]] = {
    "identity": IdentityInpainter,
    "telea": DiffusionInpainter,
    "temporal_median": lambda: TemporalMedianInpainter(radius=3),
    "flow_guided": lambda: FlowGuidedInpainter(window=6, context=3, distances=[1, 2]),
    "flow_guided_fusion": lambda: FlowGuidedInpainter(window=6, context=3, distances=[1, 2], fusion=_brighten),
    "window": lambda: sttn_engine(neighbor_radius=3, neighbor_stride=2, reference_stride=4),
    "window_capped": lambda: sttn_engine(neighbor_radius=2, neighbor_stride=3, reference_stride=3, max_references=2),
    "window_aligned": lambda: sttn_engine(
        neighbor_radius=2,
        neighbor_stride=3,
        reference_stride=3,
        max_references=2,
        alignment="affine",
        residual="temporal",
        compositing="poisson",
    ),
    "window_public": lambda: sttn_engine(neighbor_radius=2, neighbor_stride=2, blend="ema_half", quantize="truncate"),
}


@pytest.fixture(params=["moving", "still"])
def clip(request: pytest.FixtureRequest) -> MaskedClip:
    """A moving scene, some frames without a hole; or a still one whose hole no frame shows behind."""
    frames = ProceduralClip(5, num_frames=NUM_FRAMES, height=48, width=64).read(range(NUM_FRAMES))
    holes = np.zeros(frames.shape[:3], bool)
    if request.param == "moving":
        holes = wandering_box(NUM_FRAMES, 48, 64)
    else:
        grain = np.random.default_rng(0).integers(-3, 4, frames.shape)
        frames = np.clip(frames[:1].astype(int) + grain, 0, 255).astype(np.uint8)
    holes[:, 16:30, 20:40] = True
    if request.param == "moving":
        holes[8:10] = False
    return MaskedClip(ArrayClip(frames), ArrayMasks(holes))


@pytest.mark.parametrize("name", ENGINES)
def test_going_on_anywhere_equals_an_uninterrupted_run(name: str, clip: MaskedClip) -> None:
    whole = np.stack([to_uint8(frame) for frame in ENGINES[name]().stream(clip)])
    for start in (5, 6, 17, NUM_FRAMES):
        engine = ENGINES[name]()
        assert isinstance(engine, ResumableInpainter)

        def earlier(index: int, start: int = start) -> np.ndarray:
            assert 0 <= index < start, "only frames that are completed may be asked for"
            return whole[index].copy()

        rest = [to_uint8(frame) for frame in engine.stream_from(clip, start, earlier)]
        assert len(rest) == NUM_FRAMES - start
        for index, frame in enumerate(rest, start=start):
            np.testing.assert_array_equal(frame, whole[index], err_msg=f"frame {index} after a start at {start}")


@pytest.mark.parametrize("name", ["flow_guided", "flow_guided_fusion"])
def test_what_frames_hand_on_is_kept_and_nothing_is_completed_again(
    name: str, clip: MaskedClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    completed_again: list[object] = []
    finish = FlowGuidedInpainter._finish

    def counted(self: FlowGuidedInpainter, *arguments: object) -> object:
        completed_again.append(arguments)
        return finish(self, *arguments)  # type: ignore[arg-type]

    whole = np.stack([to_uint8(frame) for frame in ENGINES[name]().stream(clip)])
    monkeypatch.setattr(FlowGuidedInpainter, "_finish", counted)
    for start in (5, 17):
        path = tmp_path / f"log{start}"
        with suppress(KeyboardInterrupt), kept(path, clip) as finished:
            for number, _ in enumerate(api._go_on(ENGINES[name](), clip, finished), start=1):
                if number == start:
                    raise KeyboardInterrupt
        completed_again.clear()
        with kept(path, clip) as finished:
            assert len(finished) == start
            frames = [to_uint8(frame) for frame in api._go_on(ENGINES[name](), clip, finished)]
        np.testing.assert_array_equal(np.stack(frames), whole)
        assert len(completed_again) == clip.masks.read(range(start, NUM_FRAMES)).any(axis=(1, 2)).sum()


@pytest.mark.parametrize("name", [name for name in ENGINES if name.startswith("window")])
@pytest.mark.parametrize("start", [7, 16])
def test_windows_go_on_to_the_last_digit(name: str, start: int, clip: MaskedClip) -> None:
    """Frames that are encoded in other company differ in their last digits, which rounding to levels can show."""
    whole = torch.stack(list(ENGINES[name]().stream(clip)))
    rest = torch.stack(list(ENGINES[name]().stream_from(clip, start, lambda index: to_uint8(whole[index]))))
    assert torch.equal(rest, whole[start:])


def test_a_start_late_in_a_clip_completes_few_windows_again() -> None:
    engine, lengths = sttn_engine(neighbor_radius=2, neighbor_stride=2, reference_stride=4, max_references=1), []
    engine.model.register_forward_pre_hook(lambda *_: lengths.append(1))
    engine = WindowInpainter(_Whole(engine.model), neighbor_radius=2, neighbor_stride=2, max_references=1, device="cpu")
    frames, holes = noise(40, 16, 16), wandering_box(40, 16, 16)
    whole = complete(engine, frames, holes)
    assert len(lengths) == 20
    lengths.clear()
    clip = MaskedClip(ArrayClip(frames), ArrayMasks(holes))
    rest = torch.stack(list(engine.stream_from(clip, 36, lambda index: to_uint8(whole[index]))))
    assert torch.equal(rest, whole[36:])
    assert len(lengths) == 3, "windows about frames 34, 36 and 38"


class _Whole(torch.nn.Module):
    """A network that hides that it could share features, so that calls can be counted."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        completed: torch.Tensor = self.network(frames, masks)
        return completed


# ---------------------------------------------------------------- what is kept


@pytest.fixture
def small() -> MaskedClip:
    return MaskedClip(ArrayClip(noise(6, 9, 11)), ArrayMasks(wandering_box(6, 9, 11)))


@pytest.fixture
def completed(small: MaskedClip) -> np.ndarray:
    frames, holes = small.read(range(6))
    frames = frames.copy()
    frames[holes] = noise(6, 9, 11, seed=3)[holes]
    return frames


def kept(path: Path, clip: MaskedClip, **identity: str) -> FinishedFrames:
    return FinishedFrames(path, clip, {"input": "a", "model": "b", **identity})


def interrupted(path: Path, clip: MaskedClip, frames: np.ndarray) -> None:
    with suppress(KeyboardInterrupt), kept(path, clip) as finished:
        for frame in frames:
            finished.add(frame)
        raise KeyboardInterrupt


def test_what_was_finished_is_read_back_to_the_bit(tmp_path: Path, small: MaskedClip, completed: np.ndarray) -> None:
    interrupted(tmp_path / "log", small, completed[:4])
    with suppress(KeyboardInterrupt), kept(tmp_path / "log", small) as finished:
        assert len(finished) == 4
        for index in range(4):
            np.testing.assert_array_equal(finished.read(index), completed[index])
        finished.add(completed[4])
        raise KeyboardInterrupt
    with kept(tmp_path / "log", small) as finished:
        assert len(finished) == 5
        np.testing.assert_array_equal(finished.read(4), completed[4])
    assert not (tmp_path / "log").exists(), "a clip that is complete leaves nothing behind"


def test_what_a_frame_hands_on_is_read_back_beside_it(tmp_path: Path, small: MaskedClip, completed: np.ndarray) -> None:
    handed_on = np.where(small.masks.read([1])[0][..., None], 255 - completed[1], completed[1])
    with kept(tmp_path / "log", small) as finished:
        finished.add(completed[0])
        finished.add(completed[1], handed_on)
        for index, carried in enumerate((completed[0], handed_on)):
            np.testing.assert_array_equal(finished.read(index), completed[index])
            np.testing.assert_array_equal(finished.read_carried(index), carried)


def test_whatever_byte_a_process_dies_at_whole_frames_are_kept(
    tmp_path: Path, small: MaskedClip, completed: np.ndarray
) -> None:
    interrupted(tmp_path / "log", small, completed[:3])
    content = (tmp_path / "log").read_bytes()
    counts = []
    for length in range(len(content) + 1):
        (tmp_path / "log").write_bytes(content[:length])
        with suppress(KeyboardInterrupt), kept(tmp_path / "log", small) as finished:
            counts.append(len(finished))
            for index in range(len(finished)):
                np.testing.assert_array_equal(finished.read(index), completed[index])
            raise KeyboardInterrupt
    assert sorted(set(counts)) == [0, 1, 2, 3]
    assert counts == sorted(counts)


def test_another_run_is_refused(tmp_path: Path, small: MaskedClip, completed: np.ndarray) -> None:
    interrupted(tmp_path / "log", small, completed[:2])
    with pytest.raises(UserError, match="another model"), kept(tmp_path / "log", small, model="c"):
        pass
    with kept(tmp_path / "log", small) as finished:
        assert len(finished) == 2, "a refused run takes nothing away"


def test_a_damaged_record_is_named(tmp_path: Path, small: MaskedClip, completed: np.ndarray) -> None:
    interrupted(tmp_path / "log", small, completed[:2])
    content = bytearray((tmp_path / "log").read_bytes())
    content[-3] ^= 255
    (tmp_path / "log").write_bytes(content)
    with pytest.raises(UserError, match="frame 1 is damaged"), kept(tmp_path / "log", small) as finished:
        finished.read(1)


def test_two_processes_cannot_complete_the_same_clip(tmp_path: Path, small: MaskedClip) -> None:
    pytest.importorskip("fcntl")
    with (
        kept(tmp_path / "log", small),
        pytest.raises(UserError, match="another process"),
        kept(tmp_path / "log", small),
    ):
        pass
    assert not (tmp_path / "log").exists()
