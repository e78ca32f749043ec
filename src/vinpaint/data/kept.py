"""Decoded pictures that are kept up to a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np
from numpy.typing import NDArray

from vinpaint.data.sources import DataError


class KeptPictures:
    """Arrays by key; those used longest ago go first. Every process that reads data has its own.

    Args:
        megabytes: most that is kept, in 10^6 bytes; nothing with 0.

    Raises:
        DataError: if the bound is negative.
    """

    def __init__(self, megabytes: int) -> None:
        if megabytes < 0:
            raise DataError(f"cache_megabytes {megabytes}: expected 0 or more")
        self.bound = megabytes * 10**6
        self.bytes = 0
        self._kept: OrderedDict[Hashable, NDArray[np.uint8]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Take what is kept under a key, or make it and keep it; it must not be written to."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        made = make()
        if made.nbytes <= self.bound:
            self._kept[key] = made
            self.bytes += made.nbytes
            while self.bytes > self.bound:
                self.bytes -= self._kept.popitem(last=False)[1].nbytes
        return made

    def __getstate__(self) -> dict[str, int]:
        return {"bound": self.bound}  # a copy that goes to another process starts empty

    def __setstate__(self, state: dict[str, int]) -> None:
        vars(self).update(state, bytes=0, _kept=OrderedDict())
