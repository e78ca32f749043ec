"""What the window engine can ask of a network beyond completing a few frames."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from vinpaint.ops.region import Region


@runtime_checkable
class WindowModel(Protocol):
    """A network whose frames can be encoded once and shared by all windows they take part in.

    ``transform`` must not depend on the order of the frames: wanted ones come first.
    """

    def encode(self, frames: Tensor, masks: Tensor) -> Tensor:
        """Features ``(B, T, C, h, w)`` of frames ``(B, T, 3, H, W)`` and masks ``(B, T, 1, H, W)``, each on its own."""
        ...

    def transform(self, features: Tensor, masks: Tensor, *, num_queries: int | None = None) -> Tensor:
        """Completed features of the first ``num_queries`` frames."""
        ...

    def decode(self, features: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
        """Frames ``(B, T, 3, *size)`` in [0, 1] of completed features, each on its own."""
        ...


@runtime_checkable
class RegionModel(WindowModel, Protocol):
    """A network that can leave out what does not matter to a region of the frames."""

    def transform_region(
        self, features: Tensor, masks: Tensor, *, region: Region, num_queries: int | None = None
    ) -> Tensor:
        """What :meth:`decode_region` reads, of the first ``num_queries`` frames."""
        ...

    def decode_region(self, features: Tensor, *, region: Region, size: tuple[int, int]) -> Tensor:
        """The region of frames of ``size``, ``(B, T, 3, bottom - top, right - left)`` in [0, 1]."""
        ...
