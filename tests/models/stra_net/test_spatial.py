"""Spatial aggregation: who borrows from whom, and that the rest is left alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vinpaint.models.stra_net.spatial import SpatialAggregation, borrow, patch_scores

H, W = 96, 128  # a grid of 6 x 8 cells


def leftover(*boxes: tuple[int, int, int, int]) -> Tensor:
    mask = torch.zeros(1, 1, H, W)
    for top, bottom, left, right in boxes:
        mask[..., top:bottom, left:right] = 1
    return mask


def features(seed: int = 0, batch: int = 1) -> Tensor:
    return torch.randn(batch, 6, H // 8, W // 8, generator=torch.Generator().manual_seed(seed))


def test_rows_sum_to_one_and_only_cells_away_from_the_leftover_are_borrowed_from() -> None:
    mask = leftover((40, 50, 33, 47))  # rows 2 and 3 of cells, column 2
    scores, answered = patch_scores(100 * features(), mask)
    assert answered.tolist() == [True]
    assert scores.grid == (6, 8)
    assert scores.rows.tolist() == [2 * 8 + 2, 3 * 8 + 2]
    assert torch.allclose(scores.scores.sum(-1), torch.ones(1, 2), atol=1e-6)
    near = [row * 8 + column for row in (1, 2, 3, 4) for column in (1, 2, 3)]
    assert not scores.scores[..., near].any()
    others = [cell for cell in range(48) if cell not in near]
    assert (scores.scores[..., others] > 0).any(1).all()


def test_scores_are_the_softmax_of_ten_cosines_summed_along_diagonals() -> None:
    maps, mask = features(4), leftover((48, 60, 64, 70))
    scores, _ = patch_scores(maps, mask)
    patches = F.normalize(F.unfold(maps[..., ::2, ::2], 3, padding=1)[0], dim=0)
    cosine = patches.T @ patches

    def summed(first: list[int], second: list[int]) -> Tensor:
        total = torch.zeros(48, 48)
        for shift in (-1, 0, 1):
            for a in range(48):
                for b in range(48):
                    if 0 <= a + shift < 48 and 0 <= b + shift < 48:
                        total[first[a], second[b]] += current[first[a + shift], second[b + shift]]
        return total

    rowwise = list(range(48))
    columnwise = [row * 8 + column for column in range(8) for row in range(6)]
    current = cosine
    current = summed(rowwise, rowwise)
    current = summed(columnwise, columnwise)
    cell = 3 * 8 + 4
    allowed = torch.ones(6, 8, dtype=torch.bool)
    allowed[2:5, 3:6] = False
    logits = (10 * current[cell]).masked_fill(~allowed.flatten(), float("-inf"))
    assert scores.rows.tolist() == [cell]
    assert torch.allclose(scores.scores[0, 0], logits.softmax(0), atol=1e-5)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_cells_out_of_reach_of_the_leftover_are_untouched(scale: int) -> None:
    maps = torch.randn(1, 3, H // scale, W // scale)
    scores, _ = patch_scores(features(), leftover((48, 64, 64, 80)))
    changed = (borrow(maps, scores, scale=scale) - maps).abs().amax(1)[0] > 1e-5
    grown = F.max_pool2d(F.max_pool2d(leftover((48, 64, 64, 80)), 33, stride=1, padding=16), scale)[0, 0] > 0
    assert changed.any()
    assert not changed[~grown].any()


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_a_cell_that_attends_to_one_other_receives_its_patch(scale: int) -> None:
    maps = torch.randn(1, 3, H // scale, W // scale)
    scores, _ = patch_scores(features(), leftover((48, 64, 64, 80)))
    source, cell = 1 * 8 + 1, 3 * 8 + 4
    one_hot = F.one_hot(torch.tensor([[source]]), 48).float()
    borrowed = borrow(maps, scores._replace(scores=one_hot), scale=scale)
    side = 16 // scale
    # the features in the middle of a cell: two patches overlap at every other place
    size, padding = (3, 1) if scale == 8 else (2 * side, side // 2)
    patches = F.unfold(maps, size, padding=padding, stride=side)
    counts = F.fold(torch.ones_like(patches), maps.shape[-2:], size, padding=padding, stride=side)
    replaced = patches.clone()
    replaced[..., cell] = patches[..., source]
    expected = F.fold(replaced, maps.shape[-2:], size, padding=padding, stride=side) / counts
    assert torch.allclose(borrowed, expected, atol=1e-5)
    assert torch.equal(scores.rows, torch.tensor([cell]))


def test_samples_of_a_batch_have_their_own_leftover() -> None:
    both = torch.cat([leftover((0, 16, 0, 16)), leftover((64, 80, 96, 112))])
    maps = features(batch=2)
    together, _ = patch_scores(maps, both)
    assert together.rows.tolist() == [0, 4 * 8 + 6]
    assert together.borrows.tolist() == [[True, False], [False, True]]
    for index in range(2):
        alone, _ = patch_scores(maps[index : index + 1], both[index : index + 1])
        assert torch.allclose(together.scores[index, index], alone.scores[0, 0], atol=1e-6)
        level = torch.randn(1, 2, H // 4, W // 4).repeat(2, 1, 1, 1)
        assert torch.allclose(borrow(level, together, scale=4)[index], borrow(level[:1], alone, scale=4)[0], atol=1e-5)
    assert torch.equal(together.scores[0, 1], F.one_hot(torch.tensor(38), 48).float())


def test_a_frame_without_a_cell_to_borrow_from_is_returned_as_it_is() -> None:
    torch.manual_seed(0)
    model = SpatialAggregation(channels=2)
    frames = torch.rand(2, 3, H, W)
    mask = torch.cat([torch.ones(1, 1, H, W), leftover((48, 64, 64, 80))])
    refined, scores = model(frames, mask)
    assert torch.equal(refined[0], frames[0])
    assert not torch.equal(refined[1], frames[1])
    assert not scores.borrows[0].any()
    refined.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_output_lies_in_the_range_of_a_frame() -> None:
    torch.manual_seed(0)
    model = SpatialAggregation(channels=2)
    for value in model.parameters():
        value.data.mul_(3)
    refined, _ = model(torch.rand(1, 3, H, W), leftover((48, 64, 64, 80)))
    assert refined.min() >= 0
    assert refined.max() <= 1
