"""A choice between generators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vinpaint.masks.protocols import MaskError, MaskGenerator


class MixtureMask:
    """Draw each clip's holes by one of several generators.

    Args:
        generators: what to choose from, at least one.
        weights: how often each is chosen, in any unit (they are normalised); equal when not given.

    Raises:
        MaskError: if there is no generator, or the weights do not match them or are not positive in sum.
    """

    def __init__(self, generators: Sequence[MaskGenerator], *, weights: Sequence[float] | None = None) -> None:
        if not generators:
            raise MaskError("a mixture of no generators: give at least one")
        shares = np.ones(len(generators)) if weights is None else np.asarray(weights, dtype=float)
        if shares.shape != (len(generators),) or (shares < 0).any() or shares.sum() <= 0:
            raise MaskError(
                f"weights {weights} for {len(generators)} generators: give one number of 0 or more for each, not all 0"
            )
        self.generators = list(generators)
        self.weights = shares / shares.sum()

    def __call__(self, num_frames: int, height: int, width: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Choose a generator and draw: ``(num_frames, height, width)`` bool, true = hole."""
        chosen = self.generators[int(rng.choice(len(self.generators), p=self.weights))]
        return chosen(num_frames, height, width, rng)
