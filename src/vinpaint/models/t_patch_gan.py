"""T-PatchGAN: a discriminator that judges patches of space and time."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vinpaint.models.sttn import initialise_convolutions

Size3 = tuple[int, int, int]


class SpectralNormConv3d(nn.Module):
    """A 3-D convolution whose weight is divided by an estimate of its largest singular value.

    In training every forward refines the estimate by one power iteration before using it; in evaluation the stored
    estimate is used as it is.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        kernel_size: (time, rows, columns).
        stride: (time, rows, columns).
        padding: (time, rows, columns), zeros.
        bias: whether to add one.

    Source: Spectral Normalization (arXiv:1802.05957), algorithm 1. A layer instead of a hook or a parametrization: its
    state has the keys of the public checkpoints (``weight_orig``, ``weight_u``, ``weight_v``), it can be deep-copied
    after a forward, and the iteration starts from ``u`` as theirs does (PyTorch's parametrization starts from ``v``).
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: Size3,
        stride: Size3,
        padding: Size3,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.padding = padding
        convolution = nn.Conv3d(in_channels, out_channels, kernel_size, bias=False)
        initialise_convolutions(convolution)
        weight = convolution.weight.detach()
        self.weight_orig = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.register_buffer("weight_u", F.normalize(torch.randn(out_channels), dim=0))
        self.register_buffer("weight_v", F.normalize(torch.randn(weight[0].numel()), dim=0))

    def normalised_weight(self) -> Tensor:
        """The weight divided by ``u . W v``, refined by one power iteration when training."""
        # outside autocast: a singular value in half precision is off by a percent
        with torch.autocast(self.weight_orig.device.type, enabled=False):
            matrix = self.weight_orig.flatten(1)
            if self.training:
                with torch.no_grad():
                    self.weight_v.copy_(F.normalize(matrix.T @ self.weight_u, dim=0))
                    self.weight_u.copy_(F.normalize(matrix @ self.weight_v, dim=0))
            # copies, because a second forward before the backward pass overwrites the buffers
            largest = torch.dot(self.weight_u.clone(), matrix @ self.weight_v.clone())
            return self.weight_orig / largest

    def forward(self, clips: Tensor) -> Tensor:
        """Convolve ``(B, C, T, H, W)``."""
        return F.conv3d(clips, self.normalised_weight(), self.bias, self.stride, self.padding)


class TPatchGAN(nn.Module):
    """Scores every patch of space and time of a clip: high for real, low for completed.

    Args:
        channels: channels of the first layer; the others have 2, 4, 4, 4 and 4 times as many.
        concat_batch_time: join the clips of a batch end to end into a single one before scoring, as the public code
            does (with one clip per device, as it was trained, both are the same).
        sn_last: apply spectral normalisation to the last convolution too, as the paper's table 5 has it; the public
            code and its weights do not.

    Source: STTN (arXiv:2007.10247), table 5, after Chang et al. (ICCV 2019); state-dict keys are those of the public
    code. 17,832,256 parameters with the defaults. No sigmoid: the adversarial losses take raw scores.
    """

    def __init__(self, *, channels: int = 64, concat_batch_time: bool = False, sn_last: bool = False) -> None:
        super().__init__()
        self.concat_batch_time = concat_batch_time
        widths = [3, channels, channels * 2, channels * 4, channels * 4, channels * 4, channels * 4]
        kernel_size, stride = (3, 5, 5), (1, 2, 2)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for index in range(6):
            last = index == 5
            padding = (1, 1, 1) if index == 0 else (1, 2, 2)
            if last and not sn_last:
                layers["10"] = nn.Conv3d(widths[5], widths[6], kernel_size, stride, padding)
                initialise_convolutions(layers["10"])
            else:
                layers[str(2 * index)] = SpectralNormConv3d(
                    widths[index],
                    widths[index + 1],
                    kernel_size=kernel_size,
                    stride=stride,
                    padding=padding,
                    bias=last,
                )
            if not last:
                layers[str(2 * index + 1)] = nn.LeakyReLU(0.2, inplace=True)
        self.conv = nn.Sequential(layers)

    def forward(self, frames: Tensor) -> Tensor:
        """Score clips.

        Args:
            frames: ``(B, T, 3, H, W)`` RGB in [0, 1]; the sides are at least 3.

        Returns:
            Raw scores ``(B, T, C, h, w)`` with ``C`` four times ``channels``; 4x7 patches of a 240x432 frame.

        Raises:
            ValueError: if the shape is not this.
        """
        if frames.ndim != 5 or frames.shape[2] != 3:
            raise ValueError(f"frames {tuple(frames.shape)}: expected (B, T, 3, H, W)")
        clips = frames.flatten(0, 1).unsqueeze(0) if self.concat_batch_time else frames
        scores: Tensor = self.conv(clips.transpose(1, 2) * 2 - 1).transpose(1, 2)
        return scores.reshape(*frames.shape[:2], *scores.shape[2:])
