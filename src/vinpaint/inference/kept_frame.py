"""A frame that later targets borrow from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class KeptFrame:
    """A frame at the network's size and on its device, as small as it can be kept.

    Attributes:
        levels: ``(3, h, w)`` uint8, 0 in the hole.
        hole: ``(1, h, w)`` bool.
        features: for alignment, ``(C, h', w')``; empty before they are computed.
        filled: the completed hole, ``(3, pixels of the hole)`` float32; None before completion.
    """

    def __init__(self, levels: Tensor, hole: Tensor) -> None:
        self.levels = levels
        self.hole = hole
        self.features: Tensor = levels.new_empty(0)
        self.filled: Tensor | None = None

    def image(self, filled: Tensor | None) -> Tensor:
        """The frame ``(3, h, w)`` float32 in [0, 1], its hole ``filled`` or black."""
        image = self.levels.float().div_(255)
        if filled is not None:
            image[:, self.hole[0]] = filled
        return image


def open_or_filled(frames: Sequence[KeptFrame], filled: Sequence[Tensor | None]) -> tuple[Tensor, Tensor]:
    """Frames ``(N, 3, h, w)`` float32 in [0, 1] and their holes ``(N, 1, h, w)`` in {0, 1}.

    Args:
        frames: the frames.
        filled: what each hole is filled with, which is none then; None leaves it open.
    """
    images = [frame.image(values) for frame, values in zip(frames, filled, strict=True)]
    holes = [
        frame.hole if values is None else torch.zeros_like(frame.hole)
        for frame, values in zip(frames, filled, strict=True)
    ]
    return torch.stack(images), torch.stack(holes).float()
