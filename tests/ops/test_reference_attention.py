"""Attention among the references that see a pixel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vinpaint.ops.reference_attention import AttentionSum, attend, attended, masked_softmax, visible_similarity


def scene(num_references: int = 5, seed: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Values ``(2, R, 4, 6, 7)``, logits ``(2, R)`` and visibility ``(2, R, 1, 6, 7)`` with pixels that nobody sees."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(2, num_references, 4, 6, 7, generator=generator)
    visible = (torch.rand(2, num_references, 1, 6, 7, generator=generator) > 0.5).float()
    visible[..., :2, :2] = 0
    return values, torch.randn(2, num_references, generator=generator) * 4, visible


def gathered_in(portions: list[slice], legacy: bool, offset: float = 0.0) -> tuple[Tensor, Tensor]:
    values, logits, visible = scene()
    total: AttentionSum | None = None
    for portion in portions:
        total = attend(total, values[:, portion], logits[:, portion] + offset, visible[:, portion], legacy=legacy)
    assert total is not None
    return attended(total, legacy=legacy)


@pytest.mark.parametrize("legacy", [False, True])
def test_full_masks_give_the_ordinary_softmax(legacy: bool) -> None:
    logits = torch.randn(3, 5, 4)
    weights = masked_softmax(logits, torch.ones_like(logits), dim=1, legacy=legacy)
    torch.testing.assert_close(weights, logits.softmax(1))


@pytest.mark.parametrize("offset", [0.0, -30.0, -2000.0, 80.0, 2000.0])
def test_weights_sum_to_one_where_anyone_sees(offset: float) -> None:
    _, logits, visible = scene()
    weights = masked_softmax(logits[..., None, None, None] + offset, visible, dim=1)
    torch.testing.assert_close(weights.sum(1), visible.amax(1), atol=1e-6, rtol=0)
    assert torch.equal(weights[visible == 0], torch.zeros_like(weights[visible == 0]))


def test_the_released_softmax_overlooks_a_lone_reference_that_fits_badly() -> None:
    logits, mask = torch.tensor([-12.0, 3.0]), torch.tensor([1.0, 0.0])
    assert masked_softmax(logits, mask, dim=0, legacy=True).sum() < 1e-4
    assert masked_softmax(logits, mask, dim=0).tolist() == [1.0, 0.0]


def test_a_row_without_any_entry_has_no_weight_and_no_nan() -> None:
    logits = torch.randn(4, requires_grad=True)
    weights = masked_softmax(logits, torch.zeros(4), dim=0)
    weights.sum().backward()
    assert weights.tolist() == [0.0] * 4
    assert logits.grad is not None
    assert logits.grad.tolist() == [0.0] * 4


@pytest.mark.parametrize("offset", [0.0, -2000.0])
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("portions", [[slice(0, 5)], [slice(0, 2), slice(2, 5)], [slice(i, i + 1) for i in range(5)]])
def test_portions_give_what_all_at_once_gives(portions: list[slice], legacy: bool, offset: float) -> None:
    values, logits, visible = scene()
    weights = masked_softmax(logits[..., None, None, None] + offset, visible, dim=1, legacy=legacy)
    sums, covered = gathered_in(portions, legacy, offset)
    torch.testing.assert_close(sums, (weights * values).sum(1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(covered, weights.sum(1), atol=1e-6, rtol=0)


def test_what_is_covered_is_exactly_what_anyone_sees() -> None:
    _, covered = gathered_in([slice(0, 3), slice(3, 5)], legacy=False, offset=-2000.0)
    assert torch.equal(covered, scene()[2].amax(1))


def test_a_logit_per_pixel_is_taken_too() -> None:
    values, logits, visible = scene()
    map_of_logits = logits[..., None, None, None].expand_as(visible)
    whole, by_pixel = attend(None, values, logits, visible), attend(None, values, map_of_logits, visible)
    assert torch.equal(whole.values, by_pixel.values)


def test_gradients_reach_values_and_logits() -> None:
    values, logits, visible = (part.double() for part in scene(3))
    values.requires_grad_()
    logits.requires_grad_()
    first = attend(None, values[:, :1], logits[:, :1], visible[:, :1])
    sums, _ = attended(attend(first, values[:, 1:], logits[:, 1:], visible[:, 1:]))
    weight = torch.randn_like(sums)
    gradients = torch.autograd.grad((sums * weight).sum(), (values, logits))
    expected = (masked_softmax(logits[..., None, None, None], visible, dim=1) * values).sum(1)
    wanted = torch.autograd.grad((expected * weight).sum(), (values, logits))
    for gradient, true in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, true, atol=1e-5, rtol=1e-4)


def test_similarity_is_the_mean_product_over_what_both_see() -> None:
    target, reference = torch.randn(1, 3, 4, 5), torch.randn(1, 1, 3, 4, 5)
    visible = torch.zeros(1, 1, 1, 4, 5)
    visible[..., 1, 2] = visible[..., 3, 0] = 1
    products = (target[0] * reference[0, 0])[:, [1, 3], [2, 0]]
    torch.testing.assert_close(visible_similarity(target, reference, visible), products.mean().view(1, 1))
    assert visible_similarity(target, reference, torch.zeros_like(visible)).item() == 0
