from __future__ import annotations

import pytest
import torch

from vinpaint.losses import alignment_l1


def test_hand_worked_difference_of_what_both_know() -> None:
    target = torch.zeros(1, 3, 2, 2)
    known = torch.tensor([[1.0, 1.0], [1.0, 0.0]]).view(1, 1, 2, 2)
    aligned = torch.stack([torch.full((1, 3, 2, 2), 0.5), torch.full((1, 3, 2, 2), -1.0)], dim=1)
    visible = torch.tensor([[[1.0, 1.0], [0.0, 1.0]], [[0.0, 0.0], [1.0, 1.0]]]).view(1, 2, 1, 2, 2)
    # first reference: two pixels of 0.5; second: one of 1; of eight pixels in all
    assert alignment_l1(target, known, aligned, visible).item() == pytest.approx((2 * 0.5 + 1) / 8)


def test_is_equation_2_divided_by_the_number_of_values() -> None:
    target, aligned = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 3, 4, 5)
    known, visible = (torch.rand(2, 1, 4, 5) < 0.6).float(), (torch.rand(2, 3, 1, 4, 5) < 0.6).float()
    norms = (known.unsqueeze(1) * visible * (target.unsqueeze(1) - aligned)).abs().sum()
    torch.testing.assert_close(alignment_l1(target, known, aligned, visible), norms / aligned.numel())


def test_references_that_lie_right_or_see_nothing_cost_nothing() -> None:
    target, visible = torch.rand(2, 3, 4, 4), torch.ones(2, 2, 1, 4, 4)
    known = torch.ones(2, 1, 4, 4)
    lying_right = target.unsqueeze(1).expand(2, 2, 3, 4, 4)
    assert alignment_l1(target, known, lying_right, visible).item() == 0
    assert alignment_l1(target, known, 1 - lying_right, 0 * visible).item() == 0
    assert alignment_l1(target, known, lying_right[:, :0], visible[:, :0]).item() == 0


def test_gradient_is_right_and_nothing_hidden_sends_any() -> None:
    target = torch.rand(1, 3, 3, 3, dtype=torch.double).float()
    aligned = torch.rand(1, 2, 3, 3, 3, requires_grad=True)
    known, visible = torch.ones(1, 1, 3, 3), torch.ones(1, 2, 1, 3, 3)
    known[..., 0], visible[:, 1, :, 0] = 0, 0
    both = (known.unsqueeze(1) * visible).expand_as(aligned)
    alignment_l1(target, known, aligned, visible).backward()
    expected = torch.where(both > 0, (aligned.detach() - target.unsqueeze(1)).sign() / aligned.numel(), 0.0)
    torch.testing.assert_close(aligned.grad, expected)
    hidden = aligned.detach().masked_fill(both == 0, float("nan")).requires_grad_(True)
    alignment_l1(target, known, hidden, visible).backward()
    torch.testing.assert_close(hidden.grad, expected)


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"visible \(1, 3, 1, 4, 4\): expected"):
        alignment_l1(
            torch.rand(1, 3, 4, 4), torch.ones(1, 1, 4, 4), torch.rand(1, 2, 3, 4, 4), torch.ones(1, 3, 1, 4, 4)
        )
