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
    ],
)
def test_numbers_out_of_range_are_named(make: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()  # type: ignore[operator]


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
