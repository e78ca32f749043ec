"""Temporal aggregation: attention that is a softmax, at every scale, in any number of portions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vinpaint.models.stra_net.temporal import MultiScaleDecoder, TemporalAggregation
from vinpaint.ops.reference_attention import attend, attended, masked_softmax

B, R, H, W = 2, 5, 32, 48


def aggregation(**options: Any) -> TemporalAggregation:
    torch.manual_seed(2)
    return TemporalAggregation(channels=2, **options).eval()


def candidates(model: TemporalAggregation) -> tuple[tuple[Tensor, ...], Tensor]:
    generator = torch.Generator().manual_seed(3)
    visible = (torch.rand(B, R, 1, H // 8, W // 8, generator=generator) > 0.5).float()
    visible = F.interpolate(visible.flatten(0, 1), scale_factor=8, mode="nearest").view(B, R, 1, H, W)
    frames = torch.rand(B, R, 3, H, W, generator=generator)
    pyramid = model.encode(frames.flatten(0, 1), 1 - visible.flatten(0, 1))
    return tuple(level.view(B, R, *level.shape[1:]) for level in pyramid), visible


@pytest.mark.parametrize("offset", [0.0, -200.0, 300.0])
@torch.no_grad()
def test_the_one_pass_sum_is_the_softmax_at_every_scale(offset: float) -> None:
    model = aggregation()
    features, visible = candidates(model)
    logits = torch.randn(B, R, generator=torch.Generator().manual_seed(1)) * 3 + offset
    gathered = None
    for index in range(R):
        one = slice(index, index + 1)
        gathered = model.gather(gathered, logits[:, one], tuple(f[:, one] for f in features), visible[:, one])
    assert gathered is not None
    for scale, level, sums in zip(model.scales, features, gathered.sums, strict=True):
        cells = F.max_pool2d(visible.flatten(0, 1), scale).view(B, R, 1, H // scale, W // scale)
        weights = masked_softmax(logits[..., None, None, None], cells, dim=1)
        total = weights.sum(1)
        assert torch.allclose(total, cells.amax(1), atol=1e-6)  # rows sum to 1 wherever anything is visible
        average, covered = attended(sums)
        assert torch.equal(covered, cells.amax(1))
        assert torch.allclose(average, (weights * level).sum(1), atol=1e-5)


@pytest.mark.parametrize("similarity", ["dot_mean", "cosine", "local"])
@torch.no_grad()
def test_what_is_not_visible_has_no_part_in_similarity(similarity: Any) -> None:
    model = aggregation(similarity=similarity)
    features, visible = candidates(model)
    target = tuple(level[:, 0].roll(1, 0) for level in features)
    known = torch.ones(B, 1, H, W)
    known[..., :16, :24] = 0
    cells = F.max_pool2d(visible.flatten(0, 1), 8).view(B, R, 1, H // 8, W // 8)
    joint = cells * F.max_pool2d(known, 8).unsqueeze(1)
    changed = (*features[:-1], torch.where(joint > 0, features[-1], 100.0))
    same = [model.logits(target, known, each, visible) for each in (features, changed)]
    assert torch.equal(*same)


@torch.no_grad()
def test_cosine_similarity_of_a_frame_with_itself_is_the_temperature() -> None:
    model = aggregation(similarity="cosine")
    features, visible = candidates(model)
    target = tuple(level[:, 0] for level in features)
    logits = model.logits(target, torch.ones(B, 1, H, W), features, torch.ones_like(visible))
    assert torch.allclose(logits[:, 0], torch.full((B,), 10.0), atol=1e-4)
    assert (logits[:, 1:] < logits[:, :1]).all()


@torch.no_grad()
def test_local_similarity_prefers_in_each_half_the_candidate_that_fits_there() -> None:
    model = aggregation(similarity="local")
    width = 40  # cells, wider than two windows
    target = torch.rand(1, 8, 4, width)
    left, right = -target.clone(), -target.clone()
    left[..., : width // 2], right[..., width // 2 :] = target[..., : width // 2], target[..., width // 2 :]
    everywhere = torch.ones(1, 2, 1, 32, 8 * width)
    features = (target, target, torch.stack([left, right], 1))
    logits = model.logits((target, target, target), everywhere[:, 0], features, everywhere)
    assert logits.shape == (1, 2, 1, 4, width)
    assert (logits[:, 0] > logits[:, 1])[..., : width // 2 - 8].all()
    assert (logits[:, 0] < logits[:, 1])[..., width // 2 + 8 :].all()


@torch.no_grad()
def test_local_similarity_falls_back_to_the_whole_frame_deep_in_a_hole() -> None:
    model, width = aggregation(similarity="local"), 40
    target, candidate = torch.rand(1, 8, 4, width), torch.rand(1, 1, 8, 4, width)
    visible = torch.ones(1, 1, 1, 32, 8 * width)
    known = visible[:, 0].clone()
    known[..., : 8 * 30] = 0
    local = model.logits((target,) * 3, known, (candidate,) * 3, visible)
    overall = aggregation().logits((target,) * 3, known, (candidate,) * 3, visible)
    assert torch.allclose(local[..., :20], overall[..., None, None, None].expand(-1, -1, -1, 4, 20))


def test_only_the_multiscale_decoder_reads_finer_scales() -> None:
    assert aggregation(kind="multiscale").scales == (2, 4, 8)
    assert aggregation(kind="vanilla").scales == (8,)
    assert aggregation(kind="cpnet").scales == (4,)
    count = [sum(p.numel() for p in MultiScaleDecoder(skips=skips).parameters()) for skips in (True, False)]
    assert count[0] - count[1] == 9 * (257 * 128 + 129 * 64)


def test_portions_keep_their_gradient() -> None:
    values = torch.rand(1, 4, 2, 3, 3, requires_grad=True)
    logits = torch.randn(1, 4, requires_grad=True)
    visible = torch.ones(1, 4, 1, 3, 3)
    gathered = None
    for index in range(4):
        one = slice(index, index + 1)
        gathered = attend(gathered, values[:, one], logits[:, one], visible[:, one])
    assert gathered is not None
    attended(gathered)[0].square().sum().backward()  # type: ignore[no-untyped-call]
    found = [values.grad, logits.grad]
    values.grad = logits.grad = None
    weights = logits.softmax(1)[..., None, None, None]
    (weights * values).sum(1).square().sum().backward()  # type: ignore[no-untyped-call]
    for grad, exact in zip(found, (values.grad, logits.grad), strict=True):
        assert grad is not None
        assert exact is not None
        assert torch.allclose(grad, exact, atol=1e-5)
