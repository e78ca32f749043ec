"""Reduced frames, detail, how it is chosen and how patches are put together."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from vinpaint.ops.residual_patches import aggregate_patches, cells_touched, patch_attention, patch_features
from vinpaint.ops.residual_selection import residual_sum
from vinpaint.ops.residuals import (
    agreement_error,
    detail_at,
    enlarge_frames,
    identity_places,
    known_at,
    reduce_frames,
)


def test_reduced_pixels_are_means_and_the_hole_covers_what_it_touches() -> None:
    frames, masks = torch.rand(1, 3, 8, 12), torch.zeros(1, 1, 8, 12)
    masks[..., 5, 6] = 1
    reduced, covered = reduce_frames(frames, masks, 4)
    assert covered.nonzero().tolist() == [[0, 0, 1, 1]]
    expected = F.avg_pool2d(frames, 4)
    expected[..., 1, 1] = 0
    assert torch.allclose(reduced, expected)


def test_nothing_under_the_hole_reaches_the_reduced_frame() -> None:
    frames, masks = torch.rand(1, 3, 9, 13), (torch.rand(1, 1, 9, 13) > 0.8).float()
    other = torch.where(masks > 0, torch.nan, frames)
    assert torch.equal(reduce_frames(frames, masks, 4)[0], reduce_frames(other, masks, 4)[0])


@pytest.mark.parametrize("size", [(8, 12), (7, 13), (1, 1)])
def test_detail_and_enlarged_frame_make_up_the_frame(size: tuple[int, int]) -> None:
    frame = torch.rand(1, 3, *size)
    reduced, _ = reduce_frames(frame, torch.zeros(1, 1, *size), 4)
    base = enlarge_frames(reduced, 4, size)
    assert base.shape == frame.shape
    detail = detail_at(frame[0], reduced[0], identity_places(*size), 4, origin=(0, 0)).reshape(3, *size)
    assert float((base[0] + detail - frame[0]).abs().max()) < 1e-5


def test_a_part_of_a_frame_gives_the_detail_of_the_whole() -> None:
    frame = torch.rand(1, 3, 16, 24)
    reduced, _ = reduce_frames(frame, torch.zeros(1, 1, 16, 24), 4)
    places = torch.tensor([[10.3, 7.8], [12.0, 9.5]])
    whole = detail_at(frame[0], reduced[0], places, 4, origin=(0, 0))
    part = detail_at(frame[0, :, 6:12, 9:15], reduced[0], places, 4, origin=(6, 9))
    assert float((whole - part).abs().max()) < 1e-5


def test_a_sample_is_known_only_if_all_its_taps_are() -> None:
    hole = torch.zeros(5, 5)
    hole[2, 2] = 1
    places = torch.tensor([[1.0, 2.0], [1.01, 2.0], [2.0, 2.0], [1.0, 1.5], [3.0, 3.0], [2.9, 2.9]])
    assert known_at(hole, places).tolist() == [True, False, False, True, True, False]


def test_agreement_is_the_mean_difference_as_far_as_the_frame_reaches() -> None:
    target, aligned = torch.zeros(3, 6, 6), torch.zeros(3, 6, 6)
    aligned[:, 0, 0] = 0.9
    error = agreement_error(target, aligned, window=3)
    assert error[0, 0].item() == pytest.approx(0.9 / 4)
    assert error[1, 1].item() == pytest.approx(0.9 / 9)
    assert error[2, 2].item() == 0


RESIDUALS = torch.tensor([1.0, 2.0, 4.0, 8.0])
ERRORS = torch.tensor([0.03, 0.01, 0.02, 0.0])


def gathered(select: str, visible: list[bool], *, logits: list[float] | None = None) -> tuple[float, bool]:
    """One pixel, four references that offer 1, 2, 4 and 8."""
    total = residual_sum(select, count=2, temperature=0.01)  # type: ignore[arg-type]
    for index, seen in enumerate(visible):
        total.add(
            RESIDUALS[index].expand(3, 1), torch.tensor([seen]),
            torch.tensor([0.0 if logits is None else logits[index]]), ERRORS[index : index + 1],
        )  # fmt: skip
    value, shown = total.result()
    return value[0, 0].item(), bool(shown[0])


def test_soft_is_the_softmax_of_the_logits_over_what_is_visible() -> None:
    logits = [0.0, 1.0, -500.0, 300.0]
    weights = torch.softmax(torch.tensor(logits[:3]), 0)
    value, shown = gathered("soft", [True, True, True, False], logits=logits)
    assert shown
    assert value == pytest.approx(float((weights * RESIDUALS[:3]).sum()), rel=1e-5)


def test_logits_far_below_zero_still_sum_to_one() -> None:
    assert gathered("soft", [False, True, False, False], logits=[-1e4] * 4) == (2.0, True)


@pytest.mark.parametrize(
    ("select", "visible", "expected"),
    [
        ("hard", [True] * 4, 8.0),
        ("hard", [True, True, True, False], 2.0),
        ("topk", [True] * 4, 5.0),
        ("topk", [True, False, True, False], 2.5),
        ("topk", [True, False, False, False], 1.0),
    ],
)
def test_the_references_that_agree_best_are_taken(select: str, visible: list[bool], expected: float) -> None:
    assert gathered(select, visible) == (pytest.approx(expected), True)


def test_agree_weighs_by_agreement() -> None:
    weights = torch.softmax(-ERRORS / 0.01, 0)
    assert gathered("agree", [True] * 4)[0] == pytest.approx(float((weights * RESIDUALS).sum()), rel=1e-5)


@pytest.mark.parametrize("select", ["soft", "hard", "topk", "agree"])
def test_what_nothing_shows_is_left_over(select: str) -> None:
    assert gathered(select, [False] * 4) == (0.0, False)
    with pytest.raises(ValueError, match="no residual was added"):
        residual_sum(select, count=2, temperature=0.01).result()  # type: ignore[arg-type]


def test_patches_are_weighted_sums_of_patches() -> None:
    residual = torch.rand(3, 8, 12)
    weights = torch.tensor([[0.25, 0.75]])
    filled = aggregate_patches(residual, torch.tensor([4]), torch.tensor([0, 2]), weights, 4)
    expected = torch.zeros_like(residual)
    expected[:, 4:, 4:8] = 0.25 * residual[:, :4, :4] + 0.75 * residual[:, :4, 8:]
    assert torch.allclose(filled, expected)


def test_patches_may_reach_over_the_border() -> None:
    residual = torch.rand(3, 7, 10)
    filled = aggregate_patches(residual, torch.tensor([5]), torch.tensor([0]), torch.ones(1, 1), 4)
    assert filled.shape == residual.shape
    assert torch.allclose(filled[:, 4:, 8:], residual[:, :3, :2])
    assert not filled[:, :4].any()


def test_like_cells_score_highest_and_rows_sum_to_one() -> None:
    frame = torch.rand(3, 32, 80)
    frame[:, :, 64:] = frame[:, :, :16]
    features = patch_features(frame, 16)
    assert features.shape == (54, 2, 5)
    weights = patch_attention(features, torch.tensor([0, 5]), torch.tensor([2, 3, 4, 7, 8, 9]), sharpness=100.0)
    assert torch.allclose(weights.sum(1), torch.ones(2))
    assert weights.argmax(1).tolist() == [2, 5]


def test_cells_are_those_a_mask_touches() -> None:
    mask = torch.zeros(7, 9)
    mask[6, 8] = 1
    assert cells_touched(mask, 4).nonzero().tolist() == [[1, 2]]
