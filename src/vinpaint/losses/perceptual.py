"""How different two clips look to a classifier: content features and their texture statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

LayerReduction = Literal["sum", "mean"]


def gram_matrix(features: Tensor) -> Tensor:
    """Correlate the channels of feature maps.

    Args:
        features: ``(N, C, H, W)``.

    Returns:
        ``(N, C, C)`` float32, divided by ``C * H * W``.
    """
    N, C, H, W = features.shape
    # Sums over a whole map overflow half precision.
    with torch.autocast(device_type=features.device.type, enabled=False):
        flat = features.float().view(N, C, H * W)
        return flat @ flat.transpose(1, 2) / (C * H * W)


def perceptual_and_style(
    features: Callable[[Tensor], list[Tensor]],
    completed: Tensor,
    frames: Tensor,
    *,
    over_layers: LayerReduction = "sum",
) -> tuple[Tensor, Tensor]:
    """Compare two clips in the space of a frozen classifier.

    Args:
        features: maps images ``(N, 3, H, W)`` in [0, 1] to feature maps, such as
            :class:`vinpaint.models.vgg.VGG16Features`.
        completed: the clip that is trained, ``(..., 3, H, W)`` in [0, 1].
        frames: the truth, same shape.
        over_layers: whether the terms of the layers are added (partial convolutions) or averaged (STRA-Net).

    Returns:
        The perceptual term (mean absolute difference of the features, summed or averaged over layers) and the style
        term (the same of their Gram matrices), scalars.

    Raises:
        ValueError: if ``over_layers`` is neither.

    Source: arXiv:1603.08155, with absolute differences as in partial convolutions (arXiv:1804.07723), equations 4, 5;
    the average over layers: STRA-Net, supplementary A.1, equations 6 and 7.
    """
    if over_layers not in get_args(LayerReduction):
        raise ValueError(f"over_layers={over_layers!r}: choose one of {', '.join(get_args(LayerReduction))}")
    H, W = frames.shape[-2:]
    with torch.no_grad():
        wanted = features(frames.reshape(-1, 3, H, W))
    found = features(completed.reshape(-1, 3, H, W))
    perceptual = torch.stack([(a - b).abs().mean() for a, b in zip(found, wanted, strict=True)])
    style = torch.stack([(gram_matrix(a) - gram_matrix(b)).abs().mean() for a, b in zip(found, wanted, strict=True)])
    if over_layers == "mean":
        return perceptual.mean(), style.mean()
    return perceptual.sum(), style.sum()
