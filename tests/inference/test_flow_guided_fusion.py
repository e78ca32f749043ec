"""A network inside flow_guided: the promises of an engine hold, and an untrained one changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from engine_promises import EnginePromises, complete, noise, wandering_box
from vinpaint.errors import UserError
from vinpaint.inference.flow_guided import FlowGuidedInpainter
from vinpaint.inference.flow_guided_fusion import FusionInpainter, NetworkFusion, offer_tensors
from vinpaint.inference.flow_guided_offer import Offer, nothing_judged
from vinpaint.inference.fusion_records import Recording, plain_error, read_record, record_files
from vinpaint.inference.inpainter import CarryingInpainter, Inpainter, MaskedClip, no_earlier_frame
from vinpaint.masks import ArrayMasks, MovingMask
from vinpaint.models.fusion import FusionNetwork
from vinpaint.ops.conversion import to_uint8
from vinpaint.video import ArrayClip, ClipReader


def network() -> FusionNetwork:
    torch.manual_seed(0)
    model = FusionNetwork(channels=8)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    return model


class TestFusionInpainter(EnginePromises):
    look_ahead = 7

    @pytest.fixture
    def engine(self) -> Inpainter:
        return FusionInpainter(network(), base=FlowGuidedInpainter(window=3, context=2, distances=[1, 2]))


class TestFusionInpainterOnReducedFrames(EnginePromises):
    @pytest.fixture
    def engine(self) -> Inpainter:
        return FusionInpainter(network(), base=FlowGuidedInpainter(max_flow_side=24))


@pytest.mark.parametrize("max_flow_side", [640, 32])
def test_an_untrained_network_changes_nothing(max_flow_side: int) -> None:
    frames, holes = noise(6, 40, 56), wandering_box(6, 40, 56)
    plain = complete(FlowGuidedInpainter(max_flow_side=max_flow_side), frames, holes)
    engine = FusionInpainter(FusionNetwork(), base=FlowGuidedInpainter(max_flow_side=max_flow_side))
    assert torch.equal(complete(engine, frames, holes), plain)


def test_what_is_judged_is_what_is_applied() -> None:
    """Where frames show the hole, the mixture at the frame's own size is the network's own if the two sizes are one."""
    frames, holes = np.repeat(noise(1, 40, 56), 6, axis=0), wandering_box(6, 40, 56)
    model = network()
    offers: list[Offer] = []

    class Kept(NetworkFusion):
        def __call__(self, offer: Offer) -> tuple[np.ndarray, np.ndarray]:
            offers.append(offer)
            return super().__call__(offer)

    done = complete(FlowGuidedInpainter(fusion=Kept(model)), frames, holes)
    with torch.inference_mode():
        for t, offer in enumerate(offers):
            mixed = model(offer_tensors(offer))[0]
            rows, columns = np.nonzero(holes[t])
            inside = offer.hole
            # away from the border of the box, where a blur sees the same
            core = np.zeros_like(inside)
            core[10:-10, 10:-10] = (inside & ~offer.missing)[10:-10, 10:-10]
            if not core.any():
                continue
            top, left = rows.min() - np.nonzero(inside)[0].min(), columns.min() - np.nonzero(inside)[1].min()
            y, x = np.nonzero(core)
            found = done[t][:, y + top, x + left]
            torch.testing.assert_close(found, mixed[:, y, x].clamp(0, 1), atol=2.5 / 255, rtol=0)


def test_it_goes_on_in_the_middle_of_a_clip() -> None:
    frames, holes = np.repeat(noise(1, 30, 40), 9, axis=0), wandering_box(9, 30, 40)
    holes[:, 5:15, 10:20] = True  # never visible
    engine = FusionInpainter(network(), base=FlowGuidedInpainter(window=4, context=2, distances=[1, 2]))
    whole = complete(engine, frames, holes)
    clip = MaskedClip(ArrayClip(frames), ArrayMasks(holes))
    rest = torch.stack(list(engine.stream_from(clip, 5, lambda index: to_uint8(whole[index]))))
    np.testing.assert_array_equal(to_uint8(rest), to_uint8(whole[5:]))


def test_it_goes_on_from_what_a_frame_hands_on() -> None:
    frames, holes = np.repeat(noise(1, 30, 40), 9, axis=0), wandering_box(9, 30, 40)
    holes[:, 5:15, 10:20] = True  # never visible
    engine = FusionInpainter(network(), base=FlowGuidedInpainter(window=4, context=2, distances=[1, 2]))
    assert isinstance(engine, CarryingInpainter)
    clip = MaskedClip(ArrayClip(frames), ArrayMasks(holes))
    whole, carried = zip(*engine.stream_carrying(clip, 0, no_earlier_frame), strict=True)
    assert not np.array_equal(to_uint8(whole[4]), carried[4])
    rest = [frame for frame, _ in engine.stream_carrying(clip, 5, lambda index: carried[index])]
    assert torch.equal(torch.stack(rest), torch.stack(whole[5:]))


def test_half_the_strength_is_half_of_the_way() -> None:
    frames, holes = np.repeat(noise(1, 40, 56), 4, axis=0), wandering_box(4, 40, 56)
    results = [
        complete(FusionInpainter(network(), base=FlowGuidedInpainter(), strength=strength), frames, holes).clamp(
            0.02, 0.98
        )
        for strength in (0.0, 0.5, 1.0)
    ]
    assert torch.equal(results[0], complete(FlowGuidedInpainter(), frames, holes).clamp(0.02, 0.98))
    inside = torch.stack([(result > 0.02) & (result < 0.98) for result in results]).all(dim=0)  # not cut off
    middle = (results[0] + results[2]) / 2
    assert (results[1] - middle)[inside].abs().max() < 1.1 / 255
    with pytest.raises(UserError, match=r"strength=1\.5: expected a share"):
        FusionInpainter(network(), base=FlowGuidedInpainter(), strength=1.5)


def test_what_no_frame_shows_is_left_alone() -> None:
    frames, holes = np.repeat(noise(1, 40, 56), 6, axis=0), wandering_box(6, 40, 56)
    never = np.zeros_like(holes)
    never[:, 12:24, 36:48] = True
    holes |= never
    plain = complete(FlowGuidedInpainter(), frames, holes)
    mixed = complete(FusionInpainter(network(), base=FlowGuidedInpainter()), frames, holes)
    changed = (mixed != plain).any(dim=1).numpy()
    assert not changed[never].any()
    assert changed[holes & ~never].any()


def test_another_network_is_refused() -> None:
    with pytest.raises(UserError, match="model is a Linear: expected a FusionNetwork"):
        FusionInpainter(nn.Linear(1, 1), base=FlowGuidedInpainter())


def test_nothing_judged_has_the_shapes_of_a_judgement() -> None:
    offers: list[Offer] = []

    class Listener:
        def __call__(self, offer: Offer) -> tuple[np.ndarray, np.ndarray]:
            offers.append(offer)
            return nothing_judged(offer)

    complete(FlowGuidedInpainter(fusion=Listener()), noise(3, 30, 40), wandering_box(3, 30, 40))
    coefficients, residual = NetworkFusion(network())(offers[0])
    nothing = nothing_judged(offers[0])
    assert (coefficients.shape, residual.shape) == (nothing[0].shape, nothing[1].shape)


class Known:
    """A clip of noise as a source of records."""

    name = "noise"

    def open(self) -> ClipReader:
        return ArrayClip(noise(6, 48, 64))


def test_records_hold_the_truth_and_come_out_the_same_twice(tmp_path: Path) -> None:
    recording = Recording(mask=MovingMask(), num_frames=5, max_step=1, dilation=1)
    for folder in ("first", "second"):
        recording.record(Known(), tmp_path / folder, seed=(1, 2), crop=24)
    files = record_files(tmp_path / "first")
    assert len(files) == 5
    errors, count = 0.0, 0
    for file in files:
        offer, truth, place = read_record(file)
        again, other_truth, _ = read_record(tmp_path / "second" / file.name)
        np.testing.assert_array_equal(offer.colours, again.colours)
        np.testing.assert_array_equal(truth, other_truth)
        known = ~offer.hole
        np.testing.assert_array_equal(offer.image[known], truth[known])
        np.testing.assert_array_equal(offer.plain[known], truth[known])
        assert (offer.image[offer.hole] == 0).all()
        assert truth.shape[0] <= 24
        assert tuple(place[2:]) == (48, 64)
        errors += float(((offer.plain[offer.hole] / 255 - truth[offer.hole] / 255) ** 2).sum())
        count += 3 * int(offer.hole.sum())
    assert plain_error(tmp_path / "first") == pytest.approx(errors / count, rel=1e-4)


def test_finished_records_are_left_alone(tmp_path: Path) -> None:
    recording = Recording(mask=MovingMask(), num_frames=3, dilation=0)
    recording.record(Known(), tmp_path / "done", seed=(0,), limit=2)
    before = {path.name: path.stat().st_mtime_ns for path in record_files(tmp_path / "done")}
    assert len(before) == 2
    recording.record(Known(), tmp_path / "done", seed=(5,))
    assert {path.name: path.stat().st_mtime_ns for path in record_files(tmp_path / "done")} == before


def test_a_recording_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="num_frames=0: expected 1 or more"):
        Recording(mask=MovingMask(), num_frames=0)
