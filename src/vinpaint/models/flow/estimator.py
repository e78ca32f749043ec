"""What an optical flow method is to everything that follows motion."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor


class BothFlows(Protocol):
    """Flow in both directions between two sets of frames.

    Attributes:
        forward: pixels of the first to their place in the second, ``(N, 2, H, W)`` float32 px, channel 0 = x.
        backward: pixels of the second to their place in the first, same shape.
    """

    @property
    def forward(self) -> Tensor: ...

    @property
    def backward(self) -> Tensor: ...


class FlowPair(NamedTuple):
    """The plain form of :class:`BothFlows`."""

    forward: Tensor
    backward: Tensor


@runtime_checkable
class FlowEstimator(Protocol):
    """Estimates where pixels go. Stateless: the same frames give the same flow."""

    def estimate(self, first: Tensor, second: Tensor) -> Tensor:
        """Estimate flow from ``first`` to ``second``.

        Args:
            first: frames ``(N, 3, H, W)`` RGB in [0, 1], any size.
            second: frames of the same shape.

        Returns:
            ``(N, 2, H, W)`` float32 in pixels, channel 0 = x: a pixel of ``first`` at ``p`` lies at ``p + flow`` in
            ``second``.
        """
        ...

    def both(self, first: Tensor, second: Tensor) -> BothFlows:
        """Estimate flow in both directions, for methods that share work between them."""
        ...
