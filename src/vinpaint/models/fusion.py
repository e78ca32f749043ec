"""A small network that mixes what other frames offer to a hole, and corrects what the mixture is."""

from __future__ import annotations

from itertools import pairwise
from typing import TypedDict, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vinpaint.errors import UserError
from vinpaint.models.pretrained import PretrainedModel
from vinpaint.ops.compositing import composite

BLURS = (0.7, 1.5, 3.0)
"""Standard deviations in pixels of the blurred versions of a completed frame that may be mixed in."""

NEAR, FAR = 2, 8
"""Frames up to which a source counts as near, and from which it counts as far."""

NUM_MEANS = 6
"""Means over some of the candidates, see :func:`means_of`."""

_GROWTH = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0)
"""Features of the levels of the U-Net, over those at full size."""

_SCALE = 4.0
"""Factor on differences of colours, which are small."""


class Candidates(TypedDict):
    """What is offered to the holes of N frames, K candidates each.

    Keys:
        image: the frames, holes set to 0, ``(N, 3, H, W)`` in [0, 1].
        hole: ``(N, 1, H, W)`` in {0, 1}.
        missing: the part of the hole that no frame shows, ``(N, 1, H, W)`` in {0, 1}.
        plain: the frames completed by fixed weights, ``(N, 3, H, W)`` in [0, 1].
        colours: candidates, ``(N, K, 3, H, W)`` in [0, 1].
        shares: their fixed weights, ``(N, K, H, W)`` in [0, 1]; 0 where one shows nothing.
        offsets: frames from the completed one to where a candidate comes from, ``(N, K)``; 0 for colours that were
            carried from neighbour to neighbour.
    """

    image: Tensor
    hole: Tensor
    missing: Tensor
    plain: Tensor
    colours: Tensor
    shares: Tensor
    offsets: Tensor


class FusionNetwork(PretrainedModel):
    """Mixes the mean of fixed weights with means over other choices of candidates and with blurred versions of itself.

    A U-Net sees how far each of these ingredients lies from the mean of fixed weights, how much the candidates disagree
    and the frame around the hole. It gives a coefficient on each difference and a residual. What no frame shows it
    leaves alone: there is no error to learn from but that of a guess, and the mean of all guesses is a blur. Its last
    layer starts at zero: an untrained network gives the mean of fixed weights.

    Args:
        channels: features at full size; the lower levels have 1.5, 2, 3, 4 and 5 times as many.
        depth: times the size is halved, 1 to 5; the coarsest level sees more of what surrounds a hole.

    Raises:
        UserError: if the depth is out of its range.
    """

    def __init__(self, *, channels: int = 24, depth: int = 3) -> None:
        super().__init__()
        if not 1 <= depth < len(_GROWTH):
            raise UserError(f"depth={depth}: expected 1 to {len(_GROWTH) - 1}")
        self.stride = 2**depth
        widths = [int(channels * growth) for growth in _GROWTH[: depth + 1]]
        ingredients = NUM_MEANS + len(BLURS)
        self.enter = nn.Sequential(_convolution(3 * ingredients + 14, channels), _convolution(channels, channels))
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(fine, coarse, stride=2), _convolution(coarse, coarse))
            for fine, coarse in pairwise(widths)
        )
        self.up = nn.ModuleList(_convolution(fine + coarse, fine) for coarse, fine in pairwise(widths[::-1]))
        self.leave = nn.Sequential(_convolution(channels, channels), nn.Conv2d(channels, ingredients + 3, 3, padding=1))
        last = cast(nn.Conv2d, self.leave[-1])
        nn.init.zeros_(last.weight)
        nn.init.zeros_(cast(Tensor, last.bias))

    def forward(self, candidates: Candidates) -> Tensor:
        """Complete frames: ``(N, 3, H, W)``, not clamped, the given image outside the holes."""
        differences, amounts = self._differences(candidates)
        coefficients, residual = self._judge(candidates, differences, amounts)
        mixed = candidates["plain"] + (differences * coefficients.unsqueeze(2)).sum(dim=1) + residual
        return composite(candidates["image"], mixed, candidates["hole"])

    def weigh(self, candidates: Candidates) -> tuple[Tensor, Tensor]:
        """Judge candidates.

        Returns:
            Coefficients ``(N, M, H, W)`` on the difference of each ingredient from ``plain``, first the means of
            :func:`means_of`, then the blurs of :data:`BLURS`; and the residual ``(N, 3, H, W)``.
        """
        return self._judge(candidates, *self._differences(candidates))

    def _differences(self, candidates: Candidates) -> tuple[Tensor, Tensor]:
        """Of all ingredients from ``plain``, ``(N, M, 3, H, W)``, and the weights of the means, ``(N, 6, H, W)``."""
        plain = candidates["plain"]
        means, amounts = means_of(candidates["colours"], candidates["shares"], candidates["offsets"], plain)
        blurs = torch.stack([blurred(plain, deviation) for deviation in BLURS], dim=1)
        return torch.cat((means, blurs), dim=1) - plain.unsqueeze(1), amounts

    def _judge(self, candidates: Candidates, differences: Tensor, amounts: Tensor) -> tuple[Tensor, Tensor]:
        plain, hole, shares = candidates["plain"], candidates["hole"], candidates["shares"]
        H, W = plain.shape[-2:]
        total = shares.sum(dim=1, keepdim=True).clamp(min=1e-3)
        off = candidates["colours"] - plain.unsqueeze(1)
        spread = ((off.square() * shares.unsqueeze(2)).sum(dim=1) / total + 1e-6).sqrt()
        seen = torch.cat(
            (
                _SCALE * differences.flatten(1, 2),
                _SCALE * spread,
                candidates["image"] - 0.5,
                plain - 0.5,
                hole,
                candidates["missing"],
                total.log() / 3,
                amounts[:, 2:4],
            ),
            dim=1,
        )
        padding = (0, -W % self.stride, 0, -H % self.stride)
        levels = [self.enter(F.pad(seen, padding, mode="replicate") if any(padding) else seen)]
        for down in self.down:
            levels.append(down(levels[-1]))
        result: Tensor = levels.pop()
        for up in self.up:
            fine = levels.pop()
            larger = F.interpolate(result, size=fine.shape[-2:], mode="bilinear", align_corners=False)
            result = up(torch.cat((larger, fine), dim=1))
        judged = self.leave(result)[..., :H, :W] * (1 - candidates["missing"])
        return judged[:, :-3], judged[:, -3:] / _SCALE


def means_of(colours: Tensor, shares: Tensor, offsets: Tensor, otherwise: Tensor) -> tuple[Tensor, Tensor]:
    """Average some of the candidates at a time.

    Args:
        colours: ``(N, K, 3, ...)``, any range.
        shares: fixed weights, ``(N, K, ...)``, 0 where a candidate shows nothing.
        offsets: frames to where each comes from, ``(N, K)``; 0 for carried colours.
        otherwise: what stands where none of the averaged candidates shows anything, ``(N, 3, ...)``.

    Returns:
        ``(N, 6, 3, ...)``: the carried colours; all candidates that show something, with equal weights; by their fixed
        weights those of the past, of the future, the near and the far ones. And their sums of weights, ``(N, 6, ...)``.
    """
    at = offsets.reshape(*offsets.shape, *[1] * (shares.ndim - 2))
    choices = (at == 0, at < 0, at > 0, (at != 0) & (at.abs() <= NEAR), at.abs() >= FAR)
    weights = [shares * choice for choice in choices]
    weights.insert(1, (shares > 0).to(shares.dtype))
    means, amounts = [], []
    for weight in weights:
        amount = weight.sum(dim=1)
        mean = (colours * weight.unsqueeze(2)).sum(dim=1) / amount.clamp(min=1e-6).unsqueeze(1)
        means.append(torch.where(amount.unsqueeze(1) > 1e-6, mean, otherwise))
        amounts.append(amount)
    return torch.stack(means, dim=1), torch.stack(amounts, dim=1)


def blurred(pictures: Tensor, deviation: float) -> Tensor:
    """Blur pictures ``(N, C, H, W)`` by a Gaussian of ``deviation`` pixels."""
    radius = max(1, round(3 * deviation))
    places = torch.arange(-radius, radius + 1, dtype=pictures.dtype, device=pictures.device)
    weights = torch.exp(-places.square() / (2 * deviation**2))
    weights = (weights / weights.sum()).view(1, 1, 1, -1)
    N, C, H, W = pictures.shape
    flat = F.pad(pictures.reshape(N * C, 1, H, W), (radius, radius, radius, radius), mode="replicate")
    return F.conv2d(F.conv2d(flat, weights), weights.transpose(2, 3)).view(N, C, H, W)


def _convolution(before: int, after: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride=stride, padding=1), nn.LeakyReLU(0.1, inplace=True))
