"""Work in chunks that become smaller where the memory of a device does not suffice."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor


class Chunks:
    """Does work on a few items at a time, on half as many from the moment the device runs out of memory.

    Args:
        size: items at a time, at first.
        what: what the items are, for the warning, such as ``"frames decoded"``.
    """

    def __init__(self, size: int, what: str) -> None:
        self.size = size
        self._what = what

    def run(self, work: Callable[[slice], Tensor], total: int) -> list[Tensor]:
        """Call ``work`` with one slice after the other of ``range(total)``.

        Raises:
            torch.OutOfMemoryError: if not even one item fits.
        """
        parts: list[Tensor] = []
        start = 0
        while start < total:
            part = slice(start, min(start + self.size, total))
            try:
                parts.append(work(part))
            except torch.OutOfMemoryError:
                if part.stop - part.start == 1:
                    raise
            else:
                start = part.stop
                continue
            # here, not in the handler, where the traceback would keep alive what has to be freed
            self.size = (part.stop - part.start) // 2
            warnings.warn(f"out of device memory: {self._what} {self.size} at a time now", stacklevel=2)
            torch.cuda.empty_cache()
        return parts
