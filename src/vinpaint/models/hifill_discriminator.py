"""The discriminator of HiFill: one score for a whole picture."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, cast, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from vinpaint.errors import UserError

Head = Literal["linear", "pool"]

KERNEL, STRIDE, NUM_LAYERS = 5, 2, 6
SLOPE = 0.2


class HiFillDiscriminator(nn.Module):
    """Scores pictures one by one: high for real, low for completed.

    Args:
        channels: channels of the first layer; the others have 2, 4, 4, 4 and 4 times as many.
        head: how the last map becomes a score: ``linear`` weighs every cell on its own and so takes pictures of one
            size alone; ``pool`` averages the cells first and takes any size.
        size: (height, width) in pixels of the pictures of the ``linear`` head.

    Raises:
        UserError: if ``head`` is neither, or ``size`` is not two positive numbers.

    Source: HiFill (arXiv:2005.09704), public training code: six 5x5 convolutions of stride 2 with a leaky ReLU each,
    and a linear layer; 5,961,601 parameters with the defaults. It sees the picture and no mask. Sides are padded as
    TensorFlow's "SAME" does, which for even sides is one pixel before and two behind. Weights start as PyTorch's
    ``kaiming_normal_`` has them.
    """

    def __init__(
        self, *, channels: int = 64, head: Head = "linear", size: tuple[int, int] | list[int] = (512, 512)
    ) -> None:
        super().__init__()
        if head not in get_args(Head):
            raise UserError(f"head={head!r}: choose one of {', '.join(get_args(Head))}")
        if len(size) != 2 or min(size) < 1:
            raise UserError(f"size={size}: expected [height, width] in pixels")
        self.head = head
        self.size = (int(size[0]), int(size[1]))
        widths = [3, channels, 2 * channels, *([4 * channels] * 4)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, KERNEL, stride=STRIDE) for before, after in pairwise(widths)
        )
        for layer in self.convolutions:
            convolution = cast(nn.Conv2d, layer)
            nn.init.kaiming_normal_(convolution.weight, a=SLOPE, nonlinearity="leaky_relu")
            nn.init.zeros_(cast(Tensor, convolution.bias))
        cells = 1
        if head == "linear":
            for side in self.size:
                cells *= -(-side // STRIDE**NUM_LAYERS)
        self.score = nn.Linear(widths[-1] * cells, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Score pictures.

        Args:
            frames: ``(..., 3, H, W)`` RGB in [0, 1], any number of leading dimensions.

        Returns:
            Raw scores, one per picture, ``(...)``.

        Raises:
            ValueError: if these are not pictures, or not of the size of the ``linear`` head.
        """
        if frames.ndim < 4 or frames.shape[-3] != 3:
            raise ValueError(f"frames {tuple(frames.shape)}: expected (..., 3, H, W) with a batch dimension")
        height, width = frames.shape[-2:]
        if self.head == "linear" and (height, width) != self.size:
            raise ValueError(
                f"frames {height}x{width}: this discriminator scores {self.size[0]}x{self.size[1]}; set its size, or "
                "head=pool for any size"
            )
        features = frames.flatten(0, -4) * 2 - 1
        for layer in self.convolutions:
            features = F.leaky_relu(layer(_same(features)), SLOPE)
        if self.head == "pool":
            features = features.mean(dim=(-2, -1))
        scores: Tensor = self.score(features.flatten(1))
        return scores.reshape(frames.shape[:-3])


def _same(features: Tensor) -> Tensor:
    """Pad as TensorFlow's "SAME": just enough for ceil(side / stride) cells, the odd pixel behind."""
    height, width = features.shape[-2:]
    down = max((-(-height // STRIDE) - 1) * STRIDE + KERNEL - height, 0)
    across = max((-(-width // STRIDE) - 1) * STRIDE + KERNEL - width, 0)
    return F.pad(features, (across // 2, across - across // 2, down // 2, down - down // 2))
