"""Completing clips frame by frame: the promises of an engine, and a plain form of the method."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from engine_promises import EnginePromises, assert_kept, complete, noise, wandering_box
from vinpaint.api import load_inpainter
from vinpaint.errors import UserError
from vinpaint.inference.inpainter import Inpainter, MaskedClip
from vinpaint.inference.recurrent import RecurrentInpainter
from vinpaint.inference.recurrent_plan import HoleFlow
from vinpaint.inference.recurrent_references import RecurrentReferences
from vinpaint.inference.recurrent_run import RecurrentRun
from vinpaint.inference.residual_aggregation import ResidualAggregation
from vinpaint.inference.residual_candidates import AffineMap, AggregationPlan, PlanningInpainter, ReducedFrame
from vinpaint.inference.residual_reduction import reduced_clip
from vinpaint.masks import ArrayMasks
from vinpaint.models.cpnet import CPNet
from vinpaint.models.flow.dis import DISFlow
from vinpaint.models.flow.estimator import FlowPair
from vinpaint.models.stra_net import Completion, Motion, References, STRANet
from vinpaint.models.stra_net.motion import stack_motions
from vinpaint.ops.affine import affine_warp
from vinpaint.ops.conversion import mask_to_tensor, to_tensor
from vinpaint.video import ArrayClip


class CountingFlow:
    """Dense inverse search that counts the pairs it was asked for."""

    def __init__(self) -> None:
        self.pairs = 0

    def estimate(self, first: Tensor, second: Tensor) -> Tensor:
        return self.both(first, second).forward

    def both(self, first: Tensor, second: Tensor) -> FlowPair:
        self.pairs += len(first)
        return DISFlow(preset="ultrafast").both(first, second)


def tiny_network(**options: Any) -> STRANet:
    torch.manual_seed(1)
    model = STRANet(
        **{"channels": 4, "alignment_channels": 4, "alignment_size": 32, "flow": DISFlow(preset="ultrafast"), **options}
    )
    nn.init.normal_(model.affine.regressor.fc.weight, std=0.05)
    return model.eval()


SMALL: dict[str, Any] = {
    "near_references": 2,
    "distant_references": 2,
    "reference_window": 5,
    "device": "cpu",
}


def engine(network: STRANet | None = None, **options: Any) -> RecurrentInpainter:
    return RecurrentInpainter(network or tiny_network(), **{**SMALL, **options})


def arrays(num_frames: int = 12, height: int = 32, width: int = 48) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    rng = np.random.default_rng(4)
    picture = np.repeat(np.repeat(rng.integers(0, 256, (height, width, 3), np.uint8), 4, 0), 4, 1)[:height]
    frames = np.stack([picture[:, 2 * index : 2 * index + width] for index in range(num_frames)])
    masks = np.zeros((num_frames, height, width), bool)
    for index in range(num_frames):
        masks[index, 6:20, 8 + index : 24 + index] = index != 3  # one frame has no hole
    return frames, masks


class TestRecurrent(EnginePromises):
    look_ahead = 5

    @pytest.fixture
    def engine(self) -> Inpainter:
        return engine()


class TestFeatureDomain(EnginePromises):
    look_ahead = 5

    @pytest.fixture
    def engine(self) -> Inpainter:
        return engine(tiny_network(align_domain="feature"), reference_strategy="coverage", chunk_size=2)


class TestCameraAndNetworkResiduals(EnginePromises):
    look_ahead = 2 * 5

    @pytest.fixture
    def engine(self) -> Inpainter:
        return engine(affine="camera", base="network")


# ---------------------------------------------------------------- against a plain form


@torch.no_grad()
def offline(
    network: STRANet, frames: NDArray[np.uint8], masks: NDArray[np.bool_], schedule: RecurrentReferences
) -> Tensor:
    """The method with everything in memory: no ring, no portions, nothing kept but frames and holes."""
    images, holes = to_tensor(frames), mask_to_tensor(masks)
    read = network.prepare(images, holes)
    steps = network.flow.steps(type(read)(*(part.unsqueeze(0) for part in read)))
    now, still = images.clone(), holes.clone()
    for target in range(len(images)):
        if not holes[target].any():
            continue
        prepared = network.prepare(now, still)
        features = network.encode_alignment(prepared)
        motions = dict(steps.walk(target, schedule.near_count))

        def portion(indices: Sequence[int], motion: Motion | None) -> References:
            chosen = list(indices)
            parts = type(prepared)(*(part[chosen].unsqueeze(0) for part in prepared))  # noqa: B023
            return References(parts, features[chosen].unsqueeze(0), motion)  # noqa: B023

        near, distant = schedule.near(target), schedule.distant(target)
        portions = [portion(near, stack_motions([motions[index] for index in near]))]
        if distant:
            portions.append(portion(distant, None))
        completion = network.complete(
            type(prepared)(*(part[target : target + 1] for part in prepared)),
            features[target : target + 1],
            portions,
            size=(images.shape[-2], images.shape[-1]),
        )
        now[target] = completion.frame[0].clamp(0, 1)
        still[target] = 0
    return now


@pytest.mark.parametrize("size", [(32, 48), (28, 40)])
def test_streaming_equals_the_method_with_everything_in_memory(size: tuple[int, int]) -> None:
    frames, masks = arrays(12, *size)
    network = tiny_network()
    schedule = RecurrentReferences(12, near=2, distant=2, window=5)
    streamed = complete(engine(network, chunk_size=3), frames, masks)
    assert torch.allclose(streamed, offline(network, frames, masks, schedule), atol=1e-5)
    assert not torch.equal(streamed, complete(engine(network, recurrent=False), frames, masks))


def test_without_recurrence_frames_do_not_depend_on_those_before() -> None:
    frames, masks = arrays(8)
    network = tiny_network()
    alone = engine(network, recurrent=False, distant_references=0)
    whole = complete(alone, frames, masks)
    later = complete(alone, frames[2:], masks[2:])
    assert torch.allclose(whole[4:], later[2:], atol=1e-6)
    recurrent = engine(network, distant_references=0)
    assert not torch.allclose(complete(recurrent, frames, masks)[4:], complete(recurrent, frames[2:], masks[2:])[2:])


def test_the_flow_of_each_pair_of_neighbours_is_estimated_once() -> None:
    frames, masks = arrays(12)
    flow = CountingFlow()
    complete(engine(tiny_network(flow=flow)), frames, masks)
    assert flow.pairs == 11


@pytest.mark.parametrize(
    "options",
    [
        {"alignment": "affine"},
        {"alignment": "flow"},
        {"flow_mode": "direct"},
        {"similarity": "local"},
        {"temporal": "cpnet"},
        {"temporal": "vanilla", "align_domain": "feature"},
        {"spatial": "off"},
    ],
    ids=str,
)
def test_every_ablation_completes_a_clip(options: dict[str, Any]) -> None:
    frames, masks = arrays(6)
    completed = complete(engine(tiny_network(**options)), frames, masks)
    inside = mask_to_tensor(masks).expand_as(completed) > 0
    assert completed[inside].std() > 0
    assert torch.equal(completed[~inside], to_tensor(frames)[~inside])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_close_to_full(precision: str) -> None:
    frames, masks = arrays(5)
    network = tiny_network()
    before = copy.deepcopy(network.state_dict())
    full, half = (complete(engine(network, precision=name), frames, masks) for name in ("fp32", precision))
    assert (full - half).abs().mean() < 0.02
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in before.items())


def test_memory_does_not_grow_with_length() -> None:
    frames, masks = noise(30, 16, 16), wandering_box(30, 16, 16)
    run = RecurrentRun(
        MaskedClip(ArrayClip(frames), ArrayMasks(masks)),
        tiny_network(),
        references=RecurrentReferences(30, near=2, distant=2, window=5),
        affine="camera",
        recurrent=True,
        chunk_size=4,
        keep_aligned=False,
        makes_known=True,
    )
    kept = []
    for target in range(30):
        run.complete(target)
        assert run.camera is not None
        kept.append((len(run.frames), len(run.steps), len(run.hidden), len(run.camera._steps)))
    assert kept[8:21:3] == kept[11:24:3]  # the stride of the distant references
    assert max(kept)[0] <= 5 + 1 + 5
    assert kept[-1][0] <= 5


# ---------------------------------------------------------------- motion of the camera


def panned(num_frames: int, step: int, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """A camera that moves over a picture, ``step`` pixels to the right from frame to frame."""
    rng = np.random.default_rng(7)
    picture = gaussian_filter(rng.random((height, width + step * num_frames, 3)), (1.5, 1.5, 0))
    picture = (255 * (picture - picture.min()) / np.ptp(picture)).astype(np.uint8)
    return np.stack([picture[:, step * index : step * index + width] for index in range(num_frames)])


@pytest.mark.parametrize("size", [(48, 64), (44, 60)])
def test_references_lie_where_the_camera_has_moved_them(size: tuple[int, int]) -> None:
    frames = panned(7, 2, *size)
    masks = np.zeros((7, *size), bool)
    masks[3, 16:28, 24:36] = True
    inpainter = engine(tiny_network(alignment="affine"), affine="camera", near_references=1)
    plan = list(inpainter.stream_planned(MaskedClip(ArrayClip(frames), ArrayMasks(masks))))[3][1]
    assert {candidate.index for candidate in plan.candidates} == {0, 2, 4, 6}
    places = torch.tensor([[25.0, 17.0], [35.0, 27.0]])
    for candidate in plan.candidates:
        moved = candidate.position(places)
        assert torch.allclose(moved - places, torch.tensor([2.0 * (3 - candidate.index), 0]), atol=0.3)


def test_the_camera_is_not_asked_where_flow_alone_aligns() -> None:
    frames, masks = arrays(6)
    network = tiny_network(alignment="flow")
    learned, camera = (complete(engine(network, affine=affine), frames, masks) for affine in ("learned", "camera"))
    assert torch.equal(learned, camera)


# ---------------------------------------------------------------- what the network leaves out


class Veiled(STRANet):
    """Makes of everything what frames show of it, veiled: the contrast halved."""

    def complete(self, target: Any, target_features: Any, references: Any, **options: Any) -> Completion:
        completion = super().complete(target, target_features, references, **{**options, "keep_aligned": True})
        shown = [target.frames * target.known]
        known = [target.known]
        for candidates in completion.aligned:
            shown += (candidates.frames * candidates.visible).unbind(1)
            known += candidates.visible.unbind(1)
        made = 0.5 * torch.stack(shown).sum(0) / torch.stack(known).sum(0).clamp_min(1) + 0.25
        height, width = options["size"]
        made, frames, holes = (part[..., :height, :width] for part in (made, target.frames, target.holes))
        kept = completion.aligned if options.get("keep_aligned") else ()
        return completion._replace(frame=torch.where(holes > 0, made, frames), temporal=made, aligned=kept)


def veiled(**options: Any) -> RecurrentInpainter:
    network = Veiled(channels=4, alignment_channels=4, alignment_size=32, spatial="off").eval()
    return engine(network, **{"affine": "camera", "residual": "temporal", **options})


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("clear", [(), (2, 5)], ids=["all have holes", "some have none"])
def test_what_the_network_leaves_out_comes_back(clear: tuple[int, ...], scale: int) -> None:
    frames = panned(8, 2)
    masks = np.zeros(frames.shape[:3], bool)
    for index in range(8):
        masks[index, 16:30, 6 * index : 10 + 6 * index] = index not in clear
    inside = mask_to_tensor(masks).expand(-1, 3, -1, -1) > 0
    errors = []
    for base in ("reduced", "network"):
        completed = complete(veiled(base=base, lr_scale=scale, recurrent=False), frames, masks)
        assert_kept(completed, frames, masks)
        errors.append(float((completed - to_tensor(frames))[inside].abs().mean()))
    assert errors[1] < errors[0] / 3


def test_frames_without_a_hole_are_made_where_one_may_borrow_from_them() -> None:
    frames, masks = panned(20, 1), np.zeros((20, 48, 64), bool)
    masks[8, 16:28, 24:36] = True
    clip = MaskedClip(ArrayClip(frames), ArrayMasks(masks))
    for known, made in ((True, range(8 - 5, 8 + 5 + 1)), (False, ())):
        planned = list(veiled().stream_planned(clip, known=known))
        changed = [i for i, (frame, _) in enumerate(planned) if not torch.equal(frame, to_tensor(frames)[i])]
        assert changed == [i for i in range(20) if i in made or (i == 8 and not known)]
        if known:
            torch.testing.assert_close(planned[4][0], 0.5 * to_tensor(frames)[4] + 0.25)


# ---------------------------------------------------------------- which frames are references


def test_up_to_nineteen_references_of_the_paper_are_taken_by_default() -> None:
    schedule = RecurrentReferences(200, near=3, distant=13, window=30)
    counts = {len(schedule.near(target)) + len(schedule.distant(target)) for target in range(30, 170)}
    assert max(counts) <= 20
    assert min(counts) >= 18


@pytest.mark.parametrize("strategy", ["strided", "cpnet", "coverage"])
def test_references_lie_in_the_window_and_are_kept(strategy: Any) -> None:
    schedule = RecurrentReferences(70, near=2, distant=5, window=12, strategy=strategy)
    hidden = {index: torch.rand(6, generator=torch.Generator().manual_seed(index)) for index in range(70)}
    for target in range(70):
        near, distant = schedule.near(target), schedule.distant(target, hidden)
        chosen = (*near, *distant)
        assert len(set(chosen)) == len(chosen)
        assert target not in chosen
        assert len(distant) <= 5
        assert all(0 <= index < 70 and abs(index - target) <= 12 for index in chosen)
        for earlier in range(target):
            assert all(schedule.kept(index, earlier) for index in chosen if index <= earlier)


def test_coverage_prefers_what_shows_the_hole() -> None:
    schedule = RecurrentReferences(9, near=1, distant=2, window=4, strategy="coverage")
    hidden = {index: torch.ones(4) for index in range(9)}
    hidden[0], hidden[7] = torch.tensor([0.0, 0, 1, 1]), torch.tensor([1.0, 1, 0, 0])
    hidden[1] = torch.tensor([0.0, 1, 1, 1])
    assert schedule.distant(4, hidden) == (0, 7)


# ---------------------------------------------------------------- wrong arguments


@pytest.mark.parametrize(
    "options",
    [
        {"near_references": -1},
        {"reference_window": 1},
        {"reference_strategy": "random"},
        {"affine": "guessed"},
        {"base": "sharp"},
        {"chunk_size": 0},
        {"device": "abacus"},
        {"precision": "int8"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_an_argument_that_cannot_be_says_what_can(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="expected"):
        engine(**options)


def test_another_network_is_refused() -> None:
    with pytest.raises(UserError, match="this engine runs a STRANet"):
        RecurrentInpainter(CPNet(channels=4, alignment_size=32))  # type: ignore[arg-type]


# ---------------------------------------------------------------- high resolution


@pytest.mark.parametrize("size", [(64, 96), (62, 91)])
@pytest.mark.parametrize("residual", ["none", "temporal", "full"])
def test_a_reduced_network_completes_a_clip_of_any_size(residual: str, size: tuple[int, int]) -> None:
    frames, masks = arrays(6, *size)
    completed = complete(engine(lr_scale=4, residual=residual), frames, masks)
    assert_kept(completed, frames, masks)


def test_detail_comes_from_references() -> None:
    frames, masks = arrays(6, 64, 96)
    plain, temporal = (complete(engine(lr_scale=2, residual=kind), frames, masks) for kind in ("none", "temporal"))
    assert not torch.equal(plain, temporal)


def test_the_plan_names_each_reference_once_per_kind_and_places_it_as_the_network_did() -> None:
    frames, masks = arrays(8, 31, 45)
    clip = MaskedClip(ArrayClip(frames), ArrayMasks(masks))
    inpainter = engine(tiny_network(similarity="local"), chunk_size=3)
    assert isinstance(inpainter, PlanningInpainter)
    planned = list(inpainter.stream_planned(clip))
    assert torch.equal(torch.stack([completed for completed, _ in planned]), complete(inpainter, frames, masks))
    schedule = RecurrentReferences(8, near=2, distant=2, window=5)
    assert not planned[3][1].candidates  # no hole
    for target in (0, 2, 5):
        candidates = planned[target][1].candidates
        near, distant = schedule.near(target), schedule.distant(target)
        by_kind = {
            kind: sorted(c.index for c in candidates if isinstance(c.position, kind)) for kind in (AffineMap, HoleFlow)
        }
        assert by_kind == {AffineMap: sorted((*near, *distant)), HoleFlow: sorted(near)}
        assert all(c.logits.shape == (31, 45) for c in candidates)
        assert all((c.visible is None) == isinstance(c.position, AffineMap) for c in candidates)
    places = torch.tensor([[3.0, 4.0], [40.0, 29.0]])
    network = inpainter.model
    prepared = network.prepare_clip(to_tensor(frames)[None, :2], mask_to_tensor(masks)[None, :2])
    aligned = network.complete_in_clip(prepared, 0, keep_aligned=True).aligned
    theta = aligned[0].placement.theta
    assert theta is not None
    first = next(c for c in planned[0][1].candidates if c.index == 1 and isinstance(c.position, AffineMap))
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(48.0), indexing="ij")
    ramp = affine_warp(torch.stack((x, y))[None], theta[0], align_corners=True)[0]
    moved = first.position(places)
    for place, where in zip(places.long(), moved, strict=True):
        if 0 <= where[0] <= 47 and 0 <= where[1] <= 31:
            assert torch.allclose(ramp[:, place[1], place[0]], where, atol=1e-3)


def test_flow_is_handed_on_as_far_as_it_is_asked_for() -> None:
    frames, masks = arrays(4, 48, 64)
    network = tiny_network(alignment="flow")
    inpainter = engine(network, recurrent=False)
    plan = list(inpainter.stream_planned(MaskedClip(ArrayClip(frames), ArrayMasks(masks))))[1][1]
    steps = network.prepare_clip(to_tensor(frames)[None], mask_to_tensor(masks)[None]).steps
    assert steps is not None
    motion = dict(steps.walk(1, 2))
    rows, columns = masks[1].any(1).nonzero()[0], masks[1].any(0).nonzero()[0]
    for candidate in plan.candidates:
        assert isinstance(candidate.position, HoleFlow)
        assert candidate.position.flow[0].numel() < masks[1].size / 2
        assert candidate.visible is not None
        assert torch.equal(candidate.visible.float(), motion[candidate.index].valid[0, 0])
        for y in range(rows[0] - 3, rows[-1] + 4, 5):
            for x in range(columns[0] - 3, columns[-1] + 4, 5):
                there = candidate.position(torch.tensor([[float(x), float(y)]]))[0]
                flow = motion[candidate.index].flow[0, :, y, x]
                assert torch.allclose(there - torch.tensor([x, y]), flow, atol=1e-4)


@pytest.mark.parametrize("base", ["reduced", "network"])
def test_residual_aggregation_around_the_engine_is_that_within_it(base: str) -> None:
    frames, masks = arrays(4, 48, 64)
    small = [
        *("model.network.alignment_size=32", "model.engine.reference_window=3", "model.engine.near_references=2"),
        *("model.engine.distant_references=1", "model.engine.device=cpu"),
    ]
    within = load_inpainter(
        "stra_net_small", weights="random", overrides=[*small, "model.engine.lr_scale=2", f"model.engine.base={base}"]
    )
    wrapped = [*small, "refine.lr_scale=2", f"refine.base={base}"]
    around = load_inpainter("stra_net_small", weights="random", refine="stra", overrides=wrapped)
    first, second = complete(within, frames, masks), complete(around, frames, masks)
    assert_kept(first, frames, masks)
    assert torch.equal(first, second)


class _Replay:
    """Completed reduced frames and their plans as they were, given as scores: of these every frame is held."""

    def __init__(self, planned: list[tuple[Tensor, AggregationPlan]], reach: int) -> None:
        self.planned = planned
        self.reach = reach

    def stream(self, clip: MaskedClip) -> Iterator[Tensor]:
        return (completed for completed, _ in self.planned)

    def plan(self, target: int, frames: Mapping[int, ReducedFrame]) -> AggregationPlan:
        return self.planned[target][1]


def test_frames_that_no_plan_names_are_not_missed() -> None:
    frames, masks = arrays(16, 48, 64)
    inpainter = engine(lr_scale=2)
    clip = MaskedClip(ArrayClip(frames), ArrayMasks(masks))
    replay = _Replay(list(inpainter.stream_planned(reduced_clip(clip, 2))), inpainter.reach)
    holding = ResidualAggregation(replay, scores=replay, lr_scale=2)
    assert torch.equal(torch.stack(list(holding.stream(clip))), complete(inpainter, frames, masks))


def test_patch_attention_is_handed_on() -> None:
    frames, masks = arrays(3, 64, 128)
    inpainter = engine(tiny_network(alignment="flow"))
    plans = [plan for _, plan in inpainter.stream_planned(MaskedClip(ArrayClip(frames), ArrayMasks(masks)))]
    spatial = plans[0].spatial
    assert spatial is not None
    assert spatial.grid == (4, 8)
    assert torch.allclose(spatial.weights.sum(1), torch.ones(len(spatial.queries)), atol=1e-5)
    assert not set(spatial.queries.tolist()) & set(spatial.keys.tolist())
