"""The first layers of VGG-16, a frozen yardstick of how alike two pictures look."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from vinpaint.errors import UserError
from vinpaint.models.pretrained import read_state
from vinpaint.models.untrained import RANDOM_WEIGHTS, seeded

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FETCH = "fetch torchvision's VGG-16 for ImageNet, https://download.pytorch.org/models/vgg16-397923af.pth"

CHANNELS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Output channels of the 3x3 convolutions of each stage; a 2x2 maximum closes a stage."""


class VGG16Features(nn.Module):
    """Pooled features of VGG-16's first stages, frozen.

    The layers keep the numbering of the common ImageNet checkpoints (``features.0.weight`` ...), so such a file loads
    without renaming.

    Args:
        num_stages: how many stages to run, 1 to 5; one feature map comes out of each.

    Source: arXiv:1409.1556, configuration D.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, num_stages: int = 3) -> None:
        super().__init__()
        if not 1 <= num_stages <= len(CHANNELS):
            raise ValueError(f"num_stages={num_stages}: VGG-16 has stages 1 to {len(CHANNELS)}")
        layers: list[nn.Module] = []
        channels = 3
        for stage in CHANNELS[:num_stages]:
            for width in stage:
                layers += [nn.Conv2d(channels, width, kernel_size=3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def from_file(cls, path: str | Path, *, num_stages: int = 3) -> VGG16Features:
        """Build the features with trained weights.

        Args:
            path: a state dict of VGG-16 (``.pth`` or ``.safetensors``), or a folder that ``vinpaint-weights`` made of
                one; classifier and later layers are ignored. ``random`` draws untrained layers, the same at every
                start, to try a run.
            num_stages: as in the constructor.

        Raises:
            UserError: if there is no such file, or if it holds something else than VGG-16 weights.
            CheckpointError: if it is no checkpoint, or holds pickled code.
        """
        if str(path) == RANDOM_WEIGHTS:
            return seeded(lambda: cls(num_stages))
        path = Path(path).expanduser()
        if not path.exists():
            raise UserError(
                f"VGG-16 weights {path}: no such file; {FETCH}, or train without the perceptual and style losses"
            )
        state = read_state(path)
        model = cls(num_stages)
        wanted = model.state_dict()
        missing = [key for key, value in wanted.items() if key not in state or state[key].shape != value.shape]
        if missing:
            raise UserError(
                f"VGG-16 weights {path}: {len(missing)} of {len(wanted)} tensors are absent or of another size (first: "
                f"{missing[0]}); expected the keys of an ImageNet VGG-16 without batch normalisation"
            )
        model.load_state_dict({key: state[key] for key in wanted})
        return model

    def train(self, mode: bool = True) -> VGG16Features:
        """Stay in evaluation mode whatever the module around it does: the yardstick is frozen."""
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Compute the features of RGB images.

        Args:
            images: ``(N, 3, H, W)`` in [0, 1].

        Returns:
            One map per stage, ``(N, C, H / 2^k, W / 2^k)``, after its pooling.
        """
        x = (images - self.mean) / self.std
        pooled = []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                pooled.append(x)
        return pooled
