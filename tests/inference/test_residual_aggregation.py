"""High resolution around an engine: what it reproduces exactly, what it improves, what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from engine_promises import EnginePromises, Frames, Holes, WatchedClip, complete, noise, wandering_box
from vinpaint.errors import UserError
from vinpaint.inference.baselines import DiffusionInpainter
from vinpaint.inference.flow_guided import FlowGuidedInpainter
from vinpaint.inference.inpainter import Inpainter, MaskedClip
from vinpaint.inference.residual_aggregation import ResidualAggregation
from vinpaint.inference.residual_candidates import AffineMap, AggregationPlan, Candidate, DenseMap, FlowMap
from vinpaint.inference.residual_flow_scores import FlowScores
from vinpaint.masks import ArrayMasks
from vinpaint.ops.conversion import mask_to_tensor, to_tensor
from vinpaint.ops.lifting import affine_places, lift_affine, sample_at
from vinpaint.ops.residuals import enlarge_frames, identity_places, reduce_frames


def texture(height: int, width: int, seed: int = 0, blur: float = 0.7) -> Frames:
    picture = gaussian_filter(np.random.default_rng(seed).random((height, width, 3)), (blur, blur, 0))
    picture = (picture - picture.min()) / (picture.max() - picture.min())
    return (picture * 255).round().astype(np.uint8)


class Perfect:
    """An engine that knows the truth at reduced size, and how frames are aligned."""

    def __init__(self, truth: Tensor, *, maps: dict[tuple[int, int], DenseMap] | None = None, reach: int = 2) -> None:
        self.truth = truth
        self.maps = maps or {}
        self.reach = reach

    def stream(self, clip: MaskedClip) -> Iterator[Tensor]:
        yield from self.truth

    def stream_planned(self, clip: MaskedClip, *, known: bool = False) -> Iterator[tuple[Tensor, AggregationPlan]]:
        for target, frame in enumerate(self.truth):
            yield frame, AggregationPlan([
                Candidate(reference, position, torch.zeros(()))
                for (here, reference), position in self.maps.items()
                if here == target
            ])  # fmt: skip


class Still:
    """Scores for a scene that does not move."""

    reach = 3

    def plan(self, target: int, frames: dict[int, object]) -> AggregationPlan:
        def stay(places: Tensor) -> Tensor:
            return places

        return AggregationPlan([Candidate(index, stay, torch.zeros(())) for index in frames if index != target])


def reduced(frames: Frames, scale: int) -> Tensor:
    """The truth at reduced size, ``(T, 3, h, w)``."""
    tensors = to_tensor(frames)
    return reduce_frames(tensors, torch.zeros_like(tensors[:, :1]), scale)[0]


def hole_psnr(completed: Tensor, frames: Frames, holes: Holes) -> float:
    error = (completed - to_tensor(frames)).square().mean(1)[torch.from_numpy(holes)]
    return float(-10 * error.mean().log10())


class TestPromises(EnginePromises):
    look_ahead = 48 + 24 + 2

    @pytest.fixture
    def engine(self) -> Inpainter:
        return ResidualAggregation(FlowGuidedInpainter(), lr_scale=2, scores=FlowScores(distances=(1, 2)))


class TestPromisesWithoutReferences(EnginePromises):
    look_ahead = 0

    @pytest.fixture
    def engine(self) -> Inpainter:
        return ResidualAggregation(DiffusionInpainter(), lr_scale=4, residual="none")


@pytest.mark.parametrize("select", ["soft", "hard", "topk", "agree"])
@pytest.mark.parametrize("scale", [2, 4])
def test_a_static_scene_with_perfect_reduced_frames_is_reproduced(scale: int, select: str) -> None:
    frames = np.repeat(texture(42, 78)[None], 4, axis=0)
    holes = np.zeros((4, 42, 78), bool)
    for index in range(4):  # apart even when grown by a tap at reduced size: every pixel is shown by another frame
        holes[index, 8:21, 3 + 20 * index : 13 + 20 * index] = True
    engine = ResidualAggregation(Perfect(reduced(frames, scale)), scores=Still(), lr_scale=scale, select=select)  # type: ignore[arg-type]
    completed = complete(engine, frames, holes)
    assert float((completed - to_tensor(frames)).abs().max()) < 1e-5
    plain = ResidualAggregation(Perfect(reduced(frames, scale)), lr_scale=scale, residual="none")
    assert float((complete(plain, frames, holes) - to_tensor(frames)).abs().max()) > 0.1


def lifted(angle: float, shift: tuple[float, float], size: tuple[int, int]) -> Tensor:
    """A rotation about the centre and a shift in reduced pixels, normalised with aligned corners."""
    height, width = size
    cos, sin = np.cos(angle), np.sin(angle)
    ratio = (height - 1) / (width - 1)
    return torch.tensor([
        [cos, -sin * ratio, 2 * shift[0] / (width - 1)],
        [sin / ratio, cos, 2 * shift[1] / (height - 1)],
    ], dtype=torch.float32)  # fmt: skip


def moved_scene(scale: int, angle: float, shift: tuple[float, float]) -> tuple[Frames, Tensor]:
    """A smooth picture and the same turned and shifted; and the map from the second to the first."""
    height, width = 64, 96
    theta = lifted(angle, shift, (height // scale, width // scale))
    picture = to_tensor(texture(height, width, blur=1.2)[None])[0]
    # the map is normalised, so after lifting it holds at full size as well
    places = affine_places(
        lift_affine(theta, (height // scale, width // scale)), identity_places(height, width), (height, width)
    )
    second = sample_at(picture, places).reshape_as(picture)
    return np.stack([(p.movedim(0, -1).numpy() * 255).round().astype(np.uint8) for p in (picture, second)]), theta


@pytest.mark.parametrize("kind", ["affine", "flow"])
def test_a_known_motion_gives_far_more_than_enlarging(kind: str) -> None:
    scale = 4
    frames, theta = moved_scene(scale, 0.03, (0.8, -0.6))
    size = (16, 24)
    affine = AffineMap(theta, size)
    position: DenseMap = affine
    if kind == "flow":
        places = identity_places(*size)
        position = FlowMap((affine(places) - places).T.reshape(2, *size))
    holes = np.zeros(frames.shape[:3], bool)
    holes[1, 20:44, 30:62] = True
    truth = Perfect(reduced(frames, scale), maps={(1, 0): position})
    refined = complete(ResidualAggregation(truth, lr_scale=scale), frames, holes)
    plain = complete(ResidualAggregation(truth, lr_scale=scale, residual="none"), frames, holes)
    assert hole_psnr(refined[1:], frames[1:], holes[1:]) > hole_psnr(plain[1:], frames[1:], holes[1:]) + 8


def test_switched_off_it_is_the_bilinear_composite_to_the_bit() -> None:
    frames, holes = noise(3, 31, 45), wandering_box(3, 31, 45)
    engine = DiffusionInpainter()
    completed = complete(ResidualAggregation(engine, lr_scale=4, residual="none"), frames, holes)
    known, masks = to_tensor(frames), mask_to_tensor(holes)
    small, covered = reduce_frames(known, masks, 4)
    levels = (small * 255).round().to(torch.uint8).movedim(1, -1).numpy()
    own = complete(engine, levels, covered[:, 0].numpy() > 0)
    expected = enlarge_frames(torch.where(covered > 0, own, small), 4, (31, 45)).clamp(0, 1)
    assert torch.equal(completed, torch.where(masks > 0, expected, known))


@pytest.mark.parametrize("lr_scale", [1, "auto"])
def test_at_scale_one_it_is_the_engine(lr_scale: int | str) -> None:
    frames, holes = noise(3, 31, 45), wandering_box(3, 31, 45)
    engine = DiffusionInpainter()
    refined = complete(ResidualAggregation(engine, lr_scale=lr_scale), frames, holes)
    assert torch.equal(refined, complete(engine, frames, holes))


def test_without_residuals_nothing_is_taken_against_the_engine() -> None:
    frames, holes = noise(3, 31, 45), wandering_box(3, 31, 45)
    engines = [
        ResidualAggregation(DiffusionInpainter(), lr_scale=2, residual="none", base=base)
        for base in ("reduced", "network")
    ]
    assert torch.equal(*(complete(engine, frames, holes) for engine in engines))


@pytest.mark.parametrize("residual", ["temporal", "full"])
def test_what_nothing_shows_of_the_engines_residual_is_continued(residual: str) -> None:
    frames, holes = texture(40, 56, blur=3)[None], np.zeros((1, 40, 56), bool)
    holes[0, 12:24, 20:36] = True
    ramp = torch.linspace(-0.1, 0.1, 56).expand(40, 56)
    off = Perfect((to_tensor(frames) + ramp).clamp(0, 1))  # off by a shade that changes across the frame
    completed = complete(ResidualAggregation(off, lr_scale=1, base="network", residual=residual), frames, holes)
    assert hole_psnr(completed, frames, holes) > 50  # a frame without a cell to borrow from has no patches
    assert hole_psnr(off.truth, frames, holes) < 40


def test_an_earlier_completed_frame_passes_its_detail_on() -> None:
    frames = np.repeat(texture(40, 56)[None], 6, axis=0)
    holes = np.zeros((6, 40, 56), bool)
    holes[1:, 12:24, 20:36] = True  # only the first frame shows what is there

    class Neighbour(Still):
        reach = 1

    truth = Perfect(reduced(frames, 4))
    completed = complete(ResidualAggregation(truth, scores=Neighbour(), lr_scale=4), frames, holes)
    assert float((completed - to_tensor(frames)).abs().max()) < 0.01  # a level of rounding per frame at most


def test_detail_of_something_else_is_not_pasted() -> None:
    frames = np.stack([texture(40, 56, seed) for seed in range(4)])
    holes = np.zeros((4, 40, 56), bool)
    holes[2, 12:24, 20:36] = True
    smooth = torch.full((4, 3, 10, 14), 0.0)
    options = {"scores": Still(), "lr_scale": 4}
    gated = complete(ResidualAggregation(Perfect(smooth), gate=0.08, residual="temporal", **options), frames, holes)
    plain = complete(ResidualAggregation(Perfect(smooth), residual="none", **options), frames, holes)
    pasted = complete(ResidualAggregation(Perfect(smooth), gate=None, residual="temporal", **options), frames, holes)
    assert torch.allclose(gated, plain, atol=1e-6)
    assert not torch.allclose(pasted, plain, atol=1e-2)


def test_what_no_reference_shows_takes_detail_of_like_patches() -> None:
    stripes = np.zeros((160, 192, 3), np.uint8)
    stripes[:, ::2] = 200
    frames, holes = stripes[None], np.zeros((1, 160, 192), bool)
    holes[0, 36:44, 70:78] = True
    truth = Perfect(reduced(frames, 2))
    made_up = complete(ResidualAggregation(truth, lr_scale=2, residual="full"), frames, holes)
    smooth = complete(ResidualAggregation(truth, lr_scale=2, residual="temporal"), frames, holes)
    assert hole_psnr(made_up, frames, holes) > hole_psnr(smooth, frames, holes) + 20


def test_it_reads_no_further_than_its_engine_and_its_reach() -> None:
    clip = WatchedClip(noise(12, 20, 24))
    engine = ResidualAggregation(DiffusionInpainter(), scores=FlowScores(distances=(1, 3)), lr_scale=2)
    for index, _ in enumerate(engine.stream(MaskedClip(clip, ArrayMasks(wandering_box(12, 20, 24))))):
        assert max(clip.asked) <= index + 3


class Counting(FlowScores):
    """Counts the frames a plan is given."""

    def __init__(self) -> None:
        super().__init__(distances=(1, 2))
        self.most = 0

    def plan(self, target: int, frames: dict[int, object]) -> AggregationPlan:  # type: ignore[override]
        self.most = max(self.most, len(frames))
        return super().plan(target, frames)  # type: ignore[arg-type]


def test_it_holds_the_same_number_of_frames_however_long_the_clip() -> None:
    scores = Counting()
    complete(
        ResidualAggregation(DiffusionInpainter(), scores=scores, lr_scale=2),
        noise(14, 20, 24),
        wandering_box(14, 20, 24),
    )
    assert scores.most == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr_scale": 3}, "lr_scale=3: expected 1, 2, 4, 8 or auto"),
        ({"lr_scale": "big"}, "lr_scale=big: expected 1, 2, 4, 8 or auto"),
        ({"residual": "some"}, "residual=some: expected none, temporal, full"),
        ({"base": "none"}, "base=none: expected reduced or network"),
        ({"base": "network"}, "base=network around a DiffusionInpainter: .* use base=reduced"),
        ({"select": "best"}, "select=best: expected soft, hard, topk, agree"),
        ({"topk": 0}, "topk=0"),
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"gate": 0.0}, "gate=0.0: expected more than 0, or null for none"),
    ],
)
def test_a_wrong_setting_is_told(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ResidualAggregation(DiffusionInpainter(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("distances", "round_trip"), [((), 1.0), ((0, 1), 1.0), ((1,), 0.0)])
def test_wrong_scores_are_told(distances: Sequence[int], round_trip: float) -> None:
    with pytest.raises(UserError, match="expected"):
        FlowScores(distances=distances, round_trip=round_trip)
