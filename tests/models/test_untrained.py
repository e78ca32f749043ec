"""Untrained networks are the same everywhere and disturb nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vinpaint.models.untrained import seeded


def test_the_weights_do_not_depend_on_the_random_state() -> None:
    torch.manual_seed(1)
    first = seeded(lambda: nn.Linear(4, 3))
    torch.manual_seed(2)
    second = seeded(lambda: nn.Linear(4, 3))
    torch.testing.assert_close(first.weight, second.weight, rtol=0, atol=0)


def test_the_random_state_is_left_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def reseeds_gpus(*_: object) -> None:
        raise AssertionError("generators of GPUs are seeded, and never put back")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", reseeds_gpus)
    state = torch.get_rng_state()
    seeded(lambda: nn.Linear(4, 3))
    torch.testing.assert_close(torch.get_rng_state(), state)
