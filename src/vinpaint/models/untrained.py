"""Networks as initialised: the same in every process, whatever its random state."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

RANDOM_WEIGHTS = "random"
"""What stands in place of a file of weights where a network is meant to stay as initialised, for trying a run."""

T = TypeVar("T")


def seeded(build: Callable[[], T]) -> T:
    """Build a network with the same random weights every time, and leave every random generator where it was.

    Args:
        build: makes the network, on the CPU.
    """
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed the generators of GPUs as well, which nothing would put back
        torch.default_generator.manual_seed(0)
        return build()
