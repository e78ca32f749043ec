"""Decoded pictures that are kept up to a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

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

    def __contains__(self, key: Hashable) -> bool:
        return key in self._kept

    def __getitem__(self, key: Hashable) -> NDArray[np.uint8]:
        """What is kept under a key; it must not be written to."""
        self._kept.move_to_end(key)
        return self._kept[key]

    def would_take(self, size: int) -> bool:
        """Whether an array of so many bytes would be kept."""
        return size <= self.bound

    def keep(self, key: Hashable, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Keep an array if the bound allows it, and return it."""
        if self.would_take(picture.nbytes):
            self._kept[key] = picture
            self.bytes += picture.nbytes
            while self.bytes > self.bound:
                self.bytes -= self._kept.popitem(last=False)[1].nbytes
        return picture

    def __getstate__(self) -> dict[str, int]:
        return {"bound": self.bound}  # a copy that goes to another process starts empty

    def __setstate__(self, state: dict[str, int]) -> None:
        vars(self).update(state, bytes=0, _kept=OrderedDict())
