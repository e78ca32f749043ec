"""STRA-Net at low resolution: what it promises whatever its weights are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vinpaint.errors import UserError
from vinpaint.models.cpnet import CPNet, PreparedFrames
from vinpaint.models.flow.dis import DISFlow
from vinpaint.models.flow.estimator import FlowPair
from vinpaint.models.flow.irr_pwc import IRRPWC
from vinpaint.models.pretrained import load_pretrained
from vinpaint.models.stra_net import References, STRANet

SMALL: dict[str, Any] = {"channels": 4, "alignment_channels": 4, "alignment_size": 32}


def tiny(**options: Any) -> STRANet:
    """A narrow network whose alignment moves references by a few pixels."""
    torch.manual_seed(1)
    model = STRANet(**{**SMALL, **options}).eval()
    nn.init.normal_(model.affine.regressor.fc.weight, std=0.05)
    return model


def clip(batch: int = 1, num_frames: int = 3, height: int = 32, width: int = 48) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    frames = torch.rand(batch, num_frames, 3, height, width, generator=generator)
    masks = torch.zeros(batch, num_frames, 1, height, width)
    for time in range(num_frames):
        masks[:, time, :, 2 : 2 + height // 2, time : time + width // 2] = 1
    return frames, masks


def parameters(module: nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


# ---------------------------------------------------------------- parameters and weights


def test_parameter_counts_are_those_of_the_specification() -> None:
    model = STRANet()
    assert model.spatial is not None
    parts = (
        model.affine.encoder,
        model.affine.regressor,
        model.temporal.encoder,
        model.temporal.decoder,
        model.spatial,
    )
    assert [parameters(part) for part in parts] == [1_740_160, 14_161_926, 575_264, 5_834_835, 2_218_150]
    assert parameters(model) == sum(parameters(part) for part in parts)


def test_saved_weights_come_back_without_the_flow_estimator(tmp_path: Path) -> None:
    model = tiny(temporal="vanilla", similarity="cosine", flow=IRRPWC(weights="random"))
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()).get("flow") is None
    assert not any("flow" in key for key in model.state_dict())
    assert all("flow" not in name for name, _ in model.named_parameters())
    loaded = load_pretrained(tmp_path)
    frames, masks = clip()
    assert isinstance(loaded, STRANet)
    model.flow.estimator = DISFlow()  # what a loaded model has unless told otherwise
    assert torch.equal(loaded(frames, masks), model(frames, masks))


@torch.no_grad()
def test_a_network_of_flow_runs_in_full_precision_beside_half_precision_weights() -> None:
    frames, masks = clip(num_frames=2, height=64, width=64)
    model = tiny(alignment="flow", flow=IRRPWC(weights="random")).to(torch.bfloat16)
    assert torch.isfinite(model(frames, masks)).all()
    estimator = model.flow.estimator
    assert isinstance(estimator, IRRPWC)
    assert all(value.dtype == torch.float32 for value in estimator.parameters())


@pytest.mark.parametrize(
    "options",
    [
        {"alignment": "both"},
        {"temporal": "none"},
        {"similarity": "dot"},
        {"spatial": False},
        {"align_domain": "pixel"},
        {"leftover_fill": "telea"},
        {"flow_mode": "chained"},
        {"flow_fill": "telea"},
        {"flow_window": -1},
        {"flow_margin": -1},
        {"reference_chunk": 0},
    ],
    ids=lambda options: next(iter(options)),
)
def test_an_argument_that_cannot_be_says_what_can(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="expected"):
        STRANet(**SMALL, **options)


# ---------------------------------------------------------------- against CPNet


def test_with_everything_off_it_is_cpnet() -> None:
    reference = CPNet(channels=4, alignment_size=32).eval()
    nn.init.normal_(reference.A_Regressor.fc.weight, std=0.05)
    model = STRANet(
        channels=2, alignment_channels=4, alignment_size=32, alignment="affine", temporal="cpnet", spatial="off"
    ).eval()
    model.affine.encoder.load_state_dict(reference.A_Encoder.state_dict())
    model.affine.regressor.load_state_dict(reference.A_Regressor.state_dict())
    model.temporal.encoder.load_state_dict(reference.Encoder.state_dict())
    model.temporal.decoder.load_state_dict(reference.Decoder.state_dict())
    frames, masks = clip(batch=2, num_frames=4)
    made, wanted = model(frames, masks), reference(frames, masks)
    hole = masks.expand_as(frames) > 0
    assert torch.allclose(made[hole], wanted[hole], atol=1e-6)
    assert torch.equal(made[~hole], frames[~hole])


# ---------------------------------------------------------------- holes


@pytest.mark.parametrize("align_domain", ["image", "feature"])
@pytest.mark.parametrize("alignment", ["affine", "flow", "joint"])
@torch.no_grad()
def test_hole_content_is_irrelevant(alignment: str, align_domain: str) -> None:
    model = tiny(alignment=alignment, align_domain=align_domain)
    frames, masks = clip(height=31, width=45)
    other = torch.where(masks > 0, torch.rand_like(frames), frames)
    other[:, 1] = torch.where(masks[:, 1] > 0, float("nan"), other[:, 1])
    assert torch.equal(model(frames, masks), model(other, masks))


@pytest.mark.parametrize("size", [(32, 48), (31, 45), (3, 50), (1, 1)])
@torch.no_grad()
def test_any_size_keeps_known_pixels_to_the_bit(size: tuple[int, int]) -> None:
    frames, masks = clip(num_frames=2, height=size[0], width=size[1])
    masks[:, :, :, :1, :1] = 1
    completed = tiny()(frames, masks)
    assert completed.shape == frames.shape
    assert completed.min() >= 0
    assert completed.max() <= 1
    known = masks.expand_as(frames) == 0
    assert torch.equal(completed[known], frames[known])


@torch.no_grad()
def test_visible_is_the_largest_visibility_and_leftover_the_rest_of_the_hole() -> None:
    model = tiny()
    frames, masks = clip(batch=2, num_frames=4)
    completion = model.complete_in_clip(model.prepare_clip(frames, masks), 1, keep_aligned=True)
    every = torch.cat([aligned.visible for aligned in completion.aligned], dim=1)
    assert every.shape[1] == 6  # three references, each laid in two ways
    assert 0 < completion.visible.mean() < 1
    assert torch.equal(completion.visible, every.amax(1))
    assert torch.equal(completion.leftover, masks[:, 1] * (1 - completion.visible))


@torch.no_grad()
def test_the_frame_is_put_together_from_its_three_sources() -> None:
    frames, masks = clip(num_frames=3)
    model = tiny()
    completion = model.complete_in_clip(model.prepare_clip(frames, masks), 0)
    assert completion.spatial is not None
    left, hole = completion.leftover, masks[:, 0]
    assert left.any()
    wanted = left * completion.spatial + (hole - left) * completion.temporal + (1 - hole) * frames[:, 0]
    assert torch.allclose(completion.frame, wanted, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("leftover_fill", ["temporal", "smooth"])
def test_the_spatial_stage_finds_its_fill_in_the_leftover(leftover_fill: str) -> None:
    frames, masks = clip(num_frames=3)
    frames[:, 0] = torch.linspace(0.2, 0.8, frames.shape[-2]).unsqueeze(1)  # a ramp, smoothly continued, goes on
    model = tiny(leftover_fill=leftover_fill)
    assert model.spatial is not None
    found: list[Tensor] = []
    model.spatial.register_forward_pre_hook(lambda _, given: found.append(given[0]))
    completion = model.complete_in_clip(model.prepare_clip(frames, masks), 0, hide=masks[:, 0])
    (given,), left = found, (completion.leftover > 0).expand_as(frames[:, 0])
    assert left.any()
    assert torch.equal(given[~left], frames[:, 0][~left])
    if leftover_fill == "temporal":
        assert torch.equal(given[left], completion.temporal[left])
    else:
        torch.testing.assert_close(given[left], frames[:, 0][left], rtol=0, atol=0.06)


@torch.no_grad()
def test_the_spatial_stage_is_skipped_where_nothing_is_left_over() -> None:
    frames, masks = clip(num_frames=3)
    masks[:, 1:] = 0
    model = tiny(alignment="affine")
    nn.init.zeros_(model.affine.regressor.fc.weight)  # the identity: all is visible
    completion = model.complete_in_clip(model.prepare_clip(frames, masks), 0)
    assert not completion.leftover.any()
    assert completion.spatial is None
    assert completion.patch_scores is None


@torch.no_grad()
def test_what_is_hidden_on_purpose_is_left_over_and_not_seen() -> None:
    frames, masks = clip(num_frames=3)
    masks[:, 1:] = 0
    model = tiny()
    blob = torch.zeros_like(masks[:, 0])
    blob[..., 6:12, 8:20] = 1
    prepared = model.prepare_clip(frames, masks)
    completion = model.complete_in_clip(prepared, 0, hide=blob, keep_aligned=True)
    assert (completion.leftover[blob > 0] == 1).all()
    for aligned in completion.aligned:
        assert aligned.frames[..., 6:12, 8:20].std((-2, -1)).max() < 1e-6
    assert model.complete_in_clip(prepared, 0, spatial=False, hide=blob).spatial is None


@torch.no_grad()
def test_made_is_the_frame_before_known_pixels_were_put_back() -> None:
    model = tiny(alignment="flow")
    frames, masks = clip(num_frames=1, height=64, width=128)
    completion = model.complete_in_clip(model.prepare_clip(frames, masks), 0)
    hole = masks[:, 0].expand(-1, 3, -1, -1) > 0
    assert completion.leftover.sum() == masks.sum()
    assert torch.equal(completion.made[hole], completion.frame[hole])
    assert not torch.allclose(completion.made[hole], completion.temporal[hole])
    assert torch.equal(completion.made[~hole], completion.temporal[~hole])


@torch.no_grad()
def test_known_maps_take_the_place_of_learned_ones() -> None:
    model = tiny(alignment="affine")
    frames, masks = clip(num_frames=2)
    prepared = model.prepare(frames, masks)
    features = model.encode_alignment(prepared)
    shift = torch.tensor([[1.0, 0, 8 / 47], [0, 1, 0]]).view(1, 1, 2, 3)  # four pixels to the right
    target, others = (PreparedFrames(*(part[:, place] for part in prepared)) for place in (0, slice(1, 2)))
    portion = References(others, features[:, 1:], theta=shift)
    aligned = model.complete(target, features[:, 0], [portion], size=(32, 48), keep_aligned=True).aligned
    assert len(aligned) == 1
    torch.testing.assert_close(aligned[0].frames[0, 0, :, :, :-4], others.frames[0, 0, :, :, 4:], atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_frame_without_references_is_completed() -> None:
    frames, masks = clip(num_frames=1)
    completion = tiny().complete_in_clip(tiny().prepare_clip(frames, masks), 0)
    assert not completion.visible.any()
    assert torch.isfinite(completion.frame).all()


@torch.no_grad()
def test_a_frame_that_is_all_hole_is_completed() -> None:
    frames, masks = clip(num_frames=2)
    completed = tiny()(frames, torch.ones_like(masks))
    assert torch.isfinite(completed).all()
    # there is nothing to continue
    assert torch.equal(tiny(leftover_fill="smooth")(frames, torch.ones_like(masks)), completed)


# ---------------------------------------------------------------- references


@pytest.mark.parametrize("similarity", ["dot_mean", "cosine", "local"])
@torch.no_grad()
def test_portions_of_references_change_nothing(similarity: str) -> None:
    frames, masks = clip(num_frames=5)
    together, apart = tiny(similarity=similarity), tiny(similarity=similarity, reference_chunk=1)
    assert torch.allclose(together(frames, masks), apart(frames, masks), atol=1e-5)


@torch.no_grad()
def test_the_clips_of_a_batch_do_not_see_each_other() -> None:
    frames, masks = clip(batch=2)
    masks[1] = masks[1].roll(5, -1)
    model = tiny()
    both = model(frames, masks)
    for index in range(2):
        assert torch.allclose(both[index], model(frames[index : index + 1], masks[index : index + 1])[0], atol=1e-5)


@torch.no_grad()
def test_true_flow_replaces_the_estimate() -> None:
    model = tiny(alignment="flow")
    frames, masks = clip(num_frames=2)
    masks.zero_()
    masks[:, 0, :, 8:16, 8:16] = 1
    frames[:, 1] = frames[:, 0].roll(3, -1)
    flow = torch.zeros(1, 1, 2, 32, 48)
    flow[:, :, 0] = 3
    prepared = model.prepare_clip(frames, masks, flows=FlowPair(flow, -flow))
    (aligned,) = model.complete_in_clip(prepared, 0, keep_aligned=True).aligned
    assert torch.allclose(aligned.frames[0, 0, :, :, :-4], frames[0, 0, :, :, :-4], atol=1e-5)
    assert not aligned.visible[..., -3:].any()


@torch.no_grad()
def test_true_flow_is_not_known_in_holes() -> None:
    model = tiny(alignment="flow", flow_margin=1)
    frames, masks = clip(num_frames=2)
    masks.zero_()
    masks[:, 0, :, 8:16, 8:16] = 1
    flow = torch.zeros(1, 1, 2, 32, 48)
    flow[:, :, 0] = 3
    wrong = flow.clone()
    wrong[..., 8:16, 8:16] = -20
    motions = [
        next(model.prepare_clip(frames, masks, flows=FlowPair(onward, -flow)).steps.walk(0, 1))[1].flow
        for onward in (flow, wrong)
    ]
    assert torch.allclose(motions[0], motions[1], atol=1e-5)
    as_it_is = tiny(alignment="flow", flow_fill="none")
    followed = next(as_it_is.prepare_clip(frames, masks, flows=FlowPair(wrong, -flow)).steps.walk(0, 1))[1].flow
    assert torch.equal(followed[0, 0, 8:16, 8:16], wrong[0, 0, 0, 8:16, 8:16])


@pytest.mark.parametrize("scale", [2, 4, 8])
@torch.no_grad()
def test_features_are_laid_where_the_image_is(scale: int) -> None:
    model = tiny(alignment="joint")
    frames, masks = clip(num_frames=2, height=64, width=96)
    masks.zero_()
    smooth = nn.functional.interpolate(torch.rand(1, 3, 4, 6), (64, 96), mode="bicubic", align_corners=False)
    frames[:] = smooth.unsqueeze(1)
    flow = torch.full((1, 1, 2, 64, 96), 5.0)
    prepared = model.prepare_clip(frames, masks, flows=FlowPair(flow, -flow))
    for aligned in model.complete_in_clip(prepared, 0, keep_aligned=True).aligned:
        features = nn.functional.avg_pool2d(smooth, scale).unsqueeze(1)
        laid = aligned.placement.warp(features, size=(64, 96))
        wanted = nn.functional.avg_pool2d(aligned.frames.flatten(0, 1), scale)
        inside = (
            (slice(None), slice(None), slice(3, -3), slice(3, -3)) if scale < 8 else (..., slice(2, -2), slice(2, -2))
        )
        assert (laid.flatten(0, 1) - wanted)[inside].abs().max() < 0.05 * scale / 2


@pytest.mark.parametrize("temporal", ["multiscale", "vanilla", "cpnet"])
@torch.no_grad()
def test_the_domain_of_alignment_makes_no_difference_where_nothing_moves(temporal: str) -> None:
    frames, masks = clip(num_frames=3)
    made = []
    for align_domain in ("image", "feature"):
        model = tiny(temporal=temporal, alignment="affine", align_domain=align_domain)
        nn.init.zeros_(model.affine.regressor.fc.weight)  # the identity
        made.append(model(frames, masks))
    assert torch.allclose(*made, atol=1e-4)


@pytest.mark.parametrize("temporal", ["multiscale", "vanilla", "cpnet"])
@pytest.mark.parametrize("alignment", ["joint", "affine", "flow"])
@pytest.mark.parametrize("spatial", ["multiscale", "off"])
def test_every_ablation_learns(alignment: str, temporal: str, spatial: str) -> None:
    model = tiny(alignment=alignment, temporal=temporal, spatial=spatial).train()
    frames, masks = clip(num_frames=3, width=128)  # wide enough for a cell to borrow from
    prepared = model.prepare_clip(frames, masks)
    completion = model.complete_in_clip(prepared, 1, keep_aligned=True)
    loss = (completion.frame - frames[:, 1]).abs().mean() + (completion.temporal - frames[:, 1]).abs().mean()
    loss.backward()  # type: ignore[no-untyped-call]
    moved = {name for name, value in model.named_parameters() if value.grad is not None and value.grad.any()}
    assert all(torch.isfinite(value.grad).all() for value in model.parameters() if value.grad is not None)
    assert any(name.startswith("temporal.encoder") for name in moved)
    assert any(name.startswith("affine") for name in moved) == (alignment != "flow")
    assert any(name.startswith("spatial") for name in moved) == (spatial != "off")


@torch.no_grad()
def test_direct_flow_is_chained_flow_between_neighbours() -> None:
    frames, masks = clip(num_frames=2)
    chained, direct = tiny(flow_mode="chain"), tiny(flow_mode="direct")
    assert torch.allclose(chained(frames, masks), direct(frames, masks), atol=1e-6)


@torch.no_grad()
def test_half_precision_keeps_maps_and_flow_in_full() -> None:
    frames, masks = clip(num_frames=3)
    model = tiny()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        completion = model.complete_in_clip(model.prepare_clip(frames, masks), 1, keep_aligned=True)
    for aligned in completion.aligned:
        placed = aligned.placement.theta if aligned.placement.motion is None else aligned.placement.motion.flow
        assert placed is not None
        assert placed.dtype == aligned.logits.dtype == aligned.frames.dtype == torch.float32
    assert completion.frame.dtype == torch.float32


def test_wrong_shapes_say_what_is_expected() -> None:
    frames, masks = clip()
    with pytest.raises(ValueError, match=r"expected \(B, T, 3, H, W\)"):
        tiny()(frames, masks[:, :1])
