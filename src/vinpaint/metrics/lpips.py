"""Learned perceptual image patch similarity (LPIPS) over AlexNet, from weights the user has."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
import torchmetrics
from torch import Tensor, nn

from vinpaint.errors import UserError
from vinpaint.metrics.base import Average, AveragedMetric, UndefinedError
from vinpaint.metrics.regions import Region, check_region
from vinpaint.models.pretrained import read_state
from vinpaint.models.untrained import RANDOM_WEIGHTS, seeded

FRAMES_AT_ONCE = 8
MIN_SIDE = 31  # pixels; below it nothing is left for the last layers

# Index of each convolution in AlexNet's ``features``, its output channels, kernel size, stride and padding; a 3x3
# maximum of stride 2 stands before the second and the third.
_CONVOLUTIONS = ((0, 64, 11, 4, 2), (3, 192, 5, 1, 2), (6, 384, 3, 1, 1), (8, 256, 3, 1, 1), (10, 256, 3, 1, 1))
_POOL_BEFORE = (3, 6)

_FETCH = (
    "save torchvision's AlexNet for ImageNet (alexnet-owt-7be5be79.pth, from https://download.pytorch.org/models) and "
    "set metrics.lpips.weights=/path/to/it, or leave LPIPS out with ~metrics.lpips"
)


class LPIPSNetwork(nn.Module):
    """AlexNet's five rectified layers and the learned weight of each channel, frozen.

    Source: Zhang et al., arXiv:1801.03924, equation 1, version 0.1 of the released weights.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict()
        self.linear = nn.ParameterList()
        channels = 3
        for index, width, kernel, stride, padding in _CONVOLUTIONS:
            self.features[str(index)] = nn.Conv2d(channels, width, kernel, stride=stride, padding=padding)
            self.linear.append(nn.Parameter(torch.full((1, width, 1, 1), 1 / width)))
            channels = width
        self.register_buffer("shift", torch.tensor((-0.030, -0.088, -0.188)).view(3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor((0.458, 0.448, 0.450)).view(3, 1, 1), persistent=False)
        self.requires_grad_(False)

    @classmethod
    def from_files(cls, weights: str | Path, linear: str | Path) -> LPIPSNetwork:
        """Build the network with trained weights.

        Args:
            weights: AlexNet for ImageNet, keys ``features.0.weight`` ...; the classifier is ignored.
            linear: the channel weights, keys ``lin0.model.1.weight`` ...

        Raises:
            UserError: if a file is missing or holds something else.
        """
        network = cls()
        wanted = {f"features.{key}": value for key, value in network.features.state_dict().items()}
        network.features.load_state_dict(
            {key.removeprefix("features."): value for key, value in _take(weights, wanted, "AlexNet").items()}
        )
        wanted = {f"lin{index}.model.1.weight": value for index, value in enumerate(network.linear)}
        for parameter, value in zip(network.linear, _take(linear, wanted, "LPIPS").values(), strict=True):
            parameter.copy_(value)
        return network

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        """Compare two batches of images.

        Args:
            images: ``(N, 3, H, W)`` in [0, 1].
            others: the same shape and range.

        Returns:
            The distance around each pixel, ``(N, 1, H, W)``: the layers' maps brought to the size of the images and
            added. A layer's mean over positions is taken before resizing where the whole image counts, see
            :func:`lpips`.
        """
        return torch.stack(
            [
                F.interpolate(layer, size=images.shape[-2:], mode="bilinear", align_corners=False)
                for layer in self.layers(images, others)
            ]
        ).sum(dim=0)

    def layers(self, images: Tensor, others: Tensor) -> list[Tensor]:
        """Compare in each of the five layers: weighted squared differences ``(N, 1, h, w)`` of unit features."""
        x = ((torch.cat((images, others)) * 2 - 1) - self.shift) / self.scale
        distances = []
        for (index, *_), weight in zip(_CONVOLUTIONS, self.linear, strict=True):
            if index in _POOL_BEFORE:
                x = F.max_pool2d(x, kernel_size=3, stride=2)
            x = F.relu(self.features[str(index)](x))
            unit = x / (x.square().sum(dim=1, keepdim=True) + 1e-8).sqrt()
            first, second = unit.chunk(2)
            distances.append(((first - second).square() * weight).sum(dim=1, keepdim=True))
        return distances


def _take(path: str | Path, wanted: dict[str, Tensor], what: str) -> dict[str, Tensor]:
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"{what} weights {path}: no such file; {_FETCH}")
    state = read_state(path)
    misfits = [key for key, value in wanted.items() if key not in state or state[key].shape != value.shape]
    if misfits:
        raise UserError(f"{what} weights {path}: {misfits[0]} is absent or of another size; {_FETCH}")
    return {key: state[key] for key in wanted}


def bundled_linear_weights() -> Path:
    """Where torchmetrics keeps the learned channel weights (27 kB) that it ships."""
    return Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models" / "alex.pth"


def lpips(completed: Tensor, truth: Tensor, network: LPIPSNetwork, *, masks: Tensor | None = None) -> Tensor:
    """Measure the perceptual distance of each frame.

    Args:
        completed: ``(T, 3, H, W)`` in [0, 1], 31x31 or larger.
        truth: the same shape and range.
        network: the yardstick.
        masks: ``(T, 1, H, W)``, 1 = hole; if given, the map of distances is averaged over the hole.

    Returns:
        ``(T,)`` float64, NaN for a frame without a hole when only the hole counts.

    Raises:
        UndefinedError: if the frames are too small, or only the hole counts and there is none.
    """
    height, width = completed.shape[-2:]
    if min(height, width) < MIN_SIDE:
        raise UndefinedError(f"frames of {width}x{height} are too small; give {MIN_SIDE}x{MIN_SIDE} or more")
    hole = None if masks is None else masks > 0.5
    if hole is not None and not hole.any():
        raise UndefinedError("no mask has a hole")
    values = []
    for start in range(0, len(completed), FRAMES_AT_ONCE):
        part = slice(start, start + FRAMES_AT_ONCE)
        with torch.no_grad():
            pair = completed[part].float(), truth[part].float()
            if hole is None:
                layers = [layer.double().mean(dim=(1, 2, 3)) for layer in network.layers(*pair)]
                values.append(torch.stack(layers).sum(dim=0))
            else:
                inside = hole[part]
                values.append((network(*pair).double() * inside).sum(dim=(1, 2, 3)) / inside.sum(dim=(1, 2, 3)))
    return torch.cat(values)


class LPIPS(AveragedMetric):
    """Perceptual distance of frames, AlexNet version 0.1.

    Args:
        weights: path of AlexNet's ImageNet weights in torchvision's naming, or ``random`` to try a run without them:
            results are then called ``<name>_random_weights`` and mean nothing.
        linear: path of the learned channel weights; none takes those that torchmetrics ships.
        region: the whole frame, or the hole alone.
        average: weigh frames alike, or videos.

    Raises:
        UserError: if weights are not given, are not there or are something else; the message says where to fetch them.
    """

    higher_is_better = False

    def __init__(
        self,
        *,
        weights: str | Path | None = None,
        linear: str | Path | None = None,
        region: Region = "whole",
        average: Average = "frames",
    ) -> None:
        super().__init__(average=average)
        check_region(region, "frame")
        if weights is None:
            raise UserError(f"LPIPS needs AlexNet weights: {_FETCH}")
        self.region = region
        self.random_weights = str(weights) == RANDOM_WEIGHTS
        if self.random_weights:
            self.network = seeded(LPIPSNetwork)
        else:
            self.network = LPIPSNetwork.from_files(weights, bundled_linear_weights() if linear is None else linear)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Say so where the number means nothing."""
        return ("_random_weights" if self.random_weights else "",)

    def scores(self, completed: Tensor, truth: Tensor, masks: Tensor) -> Tensor:
        """Score one clip, see :func:`lpips`."""
        hole = masks if self.region == "hole" else None
        return lpips(completed, truth, self.network, masks=hole).unsqueeze(0)
