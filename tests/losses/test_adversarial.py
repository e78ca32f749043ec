from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vinpaint.losses import AdversarialLoss, gradient_penalty


def test_values_are_those_of_the_public_code(golden_dir: Path) -> None:
    stored = np.load(golden_dir / "sttn_units.npz")
    scores = torch.from_numpy(stored["adv_x"])
    expected = dict(zip(stored["adv_names"].tolist(), stored["adv_values"].tolist(), strict=True))
    for kind in ("hinge", "lsgan", "nsgan"):
        loss = AdversarialLoss(kind)
        assert loss.real(scores).item() == pytest.approx(expected[f"{kind}_real_dis"], abs=1e-6)
        assert loss.fake(scores).item() == pytest.approx(expected[f"{kind}_fake_dis"], abs=1e-6)
        assert loss.generator(scores).item() == pytest.approx(expected[f"{kind}_real_gen"], abs=1e-6)


def test_hand_worked_hinge() -> None:
    scores, loss = torch.tensor([-2.0, 0.0, 3.0]), AdversarialLoss("hinge")
    assert loss.real(scores).item() == pytest.approx(4 / 3)
    assert loss.fake(scores).item() == pytest.approx(5 / 3)
    assert loss.generator(scores).item() == pytest.approx(-1 / 3)


def test_nsgan_is_the_cross_entropy_of_logits_and_survives_large_ones() -> None:
    scores, loss = torch.tensor([-300.0, -1.0, 2.0, 300.0]), AdversarialLoss("nsgan")
    torch.testing.assert_close(loss.real(scores), F.binary_cross_entropy_with_logits(scores, torch.ones(4)))
    torch.testing.assert_close(loss.fake(scores), F.binary_cross_entropy_with_logits(scores, torch.zeros(4)))


def test_critic_measures_the_difference_of_means() -> None:
    real, fake, loss = torch.tensor([1.0, 2.0]), torch.tensor([5.0, 1.0]), AdversarialLoss("wgan_gp")
    assert (loss.real(real) + loss.fake(fake)).item() == pytest.approx(1.5)
    assert loss.generator(fake).item() == pytest.approx(-3.0)


@pytest.mark.parametrize("kind", ["hinge", "nsgan", "lsgan", "wgan_gp"])
def test_both_players_pull_the_scores_in_opposite_directions(kind: str) -> None:
    loss = AdversarialLoss(kind)
    scores = torch.full((3,), 0.5, requires_grad=True)
    (discriminator,) = torch.autograd.grad(loss.fake(scores), scores)
    (generator,) = torch.autograd.grad(loss.generator(scores), scores)
    assert (discriminator > 0).all()
    assert (generator < 0).all()


def test_an_unknown_kind_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="hinge, nsgan, lsgan, wgan_gp"):
        AdversarialLoss("wgan")


def test_penalty_of_a_linear_critic_is_its_slope_minus_one_squared() -> None:
    real, fake = torch.rand(2, 3, 3, 4, 4), torch.rand(2, 3, 3, 4, 4)
    pixels = real[0].numel()
    for slope in (1.0, 3.0):
        critic = lambda x, s=slope: x.flatten(1).sum(dim=1) * s / pixels**0.5  # noqa: E731
        assert gradient_penalty(critic, real, fake).item() == pytest.approx((slope - 1) ** 2, abs=1e-4)


def test_penalty_counts_only_the_hole_when_told_so() -> None:
    real, fake = torch.rand(1, 1, 3, 4, 4), torch.rand(1, 1, 3, 4, 4)
    masks = torch.zeros(1, 1, 1, 4, 4)
    masks[..., :1] = 1  # 12 of 48 values
    critic = lambda x: x.flatten(1).sum(dim=1)  # noqa: E731
    assert gradient_penalty(critic, real, fake, masks=masks).item() == pytest.approx((12**0.5 - 1) ** 2, rel=1e-4)


def test_penalty_reaches_the_critic_and_nobody_else() -> None:
    critic = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 1, 3))
    real, fake = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8, requires_grad=True)
    gradient_penalty(critic, real, fake).backward()
    assert fake.grad is None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in critic.parameters() if p.ndim > 1)


def test_penalty_is_measured_between_the_two_clips() -> None:
    real, fake = torch.full((1, 3, 2, 2), 1.0), torch.zeros(1, 3, 2, 2)
    seen: list[torch.Tensor] = []

    def critic(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.detach())
        return x.flatten(1).sum(dim=1)

    gradient_penalty(critic, real, fake, position=torch.tensor([0.25]))
    assert torch.equal(seen[0], torch.full_like(real, 0.25))
