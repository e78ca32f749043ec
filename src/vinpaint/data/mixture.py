"""Several kinds of training windows mixed in one data set."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vinpaint.data.sources import DataError
from vinpaint.data.windows import Window, WindowRequest, WindowSource


class MixtureWindows:
    """Draw each window from one of several sources, each with its own holes.

    Args:
        parts: sources by name.
        weights: how often each is drawn from, by name, in any unit; equal when not given. A part of weight 0, or
            without a weight, is left out and never opened.

    Raises:
        DataError: if there is no part, a weight names none, one is negative, or all are 0.
    """

    def __init__(self, parts: Mapping[str, WindowSource], *, weights: Mapping[str, float] | None = None) -> None:
        if not parts:
            raise DataError("a mixture of no parts: name at least one")
        shares = dict.fromkeys(parts, 1.0) if weights is None else dict(weights)
        if strange := [name for name in shares if name not in parts]:
            raise DataError(f"weights name {', '.join(strange)}: the parts are {', '.join(parts)}")
        if min(shares.values(), default=0) < 0 or sum(shares.values()) <= 0:
            raise DataError(f"weights {shares}: expected numbers of 0 or more, not all 0")
        self.parts = {name: parts[name] for name, share in shares.items() if share > 0}
        total = sum(shares.values())
        self.weights = {name: shares[name] / total for name in self.parts}

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts.values())

    def draw(self, number: int, rng: np.random.Generator, wanted: WindowRequest) -> Window:
        """Choose a part and draw from it."""
        name = list(self.parts)[int(rng.choice(len(self.parts), p=list(self.weights.values())))]
        return self.parts[name].draw(number, rng, wanted)
