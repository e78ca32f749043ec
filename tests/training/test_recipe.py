from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from vinpaint.errors import UserError
from vinpaint.training import Game, Optimization
from vinpaint.training.random_state import capture_random_state, restore_random_state
from vinpaint.training.recipe import plain


def test_recipes_flatten_into_what_a_checkpoint_can_hold() -> None:
    values = plain(Game(), Optimization(milestones=(3, 1)))
    assert values["gan_loss"] == "hinge"
    assert values["milestones"] == [3, 1]
    assert all(value is None or isinstance(value, (int, float, str, list)) for value in values.values())


def test_the_optimizer_takes_whole_numbers_and_leaves_frozen_weights_alone() -> None:
    network = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    network[0].requires_grad_(False)
    optimizer = Optimization(betas=(0, 0.99)).optimizer(network)
    assert optimizer.defaults["betas"] == (0.0, 0.99)
    assert optimizer.param_groups[0]["params"] == list(network[1].parameters())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Game(critic_steps=0), "critic_steps=0"),
        (lambda: Optimization(micro_batch_size=0), "micro_batch_size=0"),
        (lambda: Optimization(warmup=-1), "warmup=-1"),
        (lambda: Optimization(annealing="linear"), "annealing='linear'"),  # type: ignore[arg-type]
    ],
)
def test_numbers_out_of_range_are_named(make: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()  # type: ignore[operator]


def learning_rates(optimization: Optimization, updates: int, *, max_steps: int = -1) -> list[float]:
    """The learning rate of each of the first updates."""
    optimizer = optimization.optimizer(nn.Linear(1, 1))
    schedule = optimization.schedule(optimizer, max_steps=max_steps)
    rates = []
    for _ in range(updates):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_the_learning_rate_drops_at_milestones_as_that_of_torch() -> None:
    optimization = Optimization(learning_rate=1.0, milestones=(2, 4), learning_rate_decay=0.1)
    optimizer = optimization.optimizer(nn.Linear(1, 1))
    reference = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4], gamma=0.1)
    expected = []
    for _ in range(6):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    assert learning_rates(optimization, 6) == pytest.approx(expected)


def test_the_learning_rate_rises_in_equal_steps_and_falls_along_a_cosine() -> None:
    rates = learning_rates(Optimization(learning_rate=1.0, warmup=3, annealing="cosine"), 12, max_steps=11)
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[7] == pytest.approx(0.5)
    assert rates == sorted(rates[:4]) + sorted(rates[4:], reverse=True)
    assert rates[11] == 0.0


def test_a_cosine_needs_an_end() -> None:
    optimization = Optimization(annealing="cosine")
    with pytest.raises(UserError, match=r"max_steps=-1: set trainer\.max_steps"):
        optimization.schedule(optimization.optimizer(nn.Linear(1, 1)))


def test_every_generator_goes_on_where_it_was() -> None:
    def draw() -> tuple[float, float, float, float]:
        # normal() and gauss() keep a second value for the next call
        return torch.rand(1).item(), float(np.random.normal()), random.gauss(0, 1), random.random()  # noqa: NPY002

    draw()
    state = capture_random_state()
    expected = draw()
    draw()
    restore_random_state(state)
    assert draw() == expected


def test_a_random_state_survives_a_checkpoint_without_pickled_code(tmp_path: object) -> None:
    state = capture_random_state()
    torch.save(state, f"{tmp_path}/state.ckpt")
    loaded = torch.load(f"{tmp_path}/state.ckpt", weights_only=True)
    expected = torch.rand(3)
    restore_random_state(loaded)
    assert torch.equal(torch.rand(3), expected)
