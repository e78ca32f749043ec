"""Temporal aggregation: the hole filled with features of aligned frames, at several scales with the same scores."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vinpaint.errors import UserError
from vinpaint.models.cpnet.blocks import ConvBlock
from vinpaint.models.cpnet.copy_paste import CopyEncoder, PasteDecoder, PasteTrunk
from vinpaint.models.stra_net.encoder import SCALES, ImageEncoder
from vinpaint.ops.reference_attention import AttentionSum, attend, attended, visible_similarity
from vinpaint.ops.visibility import coarse_visibility, visible_pixels

TemporalKind = Literal["multiscale", "vanilla", "cpnet"]
Similarity = Literal["dot_mean", "cosine", "local"]
Features = tuple[Tensor, ...]
"""Feature maps of the same images, fine to coarse, one per scale."""

_LOCAL_WINDOW = 15
"""Cells of an eighth of the frame within which ``local`` similarity is averaged."""


class Gathered(NamedTuple):
    """What has been gathered from candidates so far, one sum per scale, fine to coarse."""

    sums: tuple[AttentionSum, ...]


class TemporalAggregation(nn.Module):
    """Averages the features of aligned candidates by how well each fits the target, and decodes them with its own.

    Similarity is computed once, at the coarsest scale. All scales share it: each takes the softmax of the same logits
    among the candidates visible at that scale, so that the borders of what is visible stay sharp. Candidates come in
    any number of portions; memory does not grow with their number.

    Args:
        channels: width of the image encoder.
        kind: ``multiscale`` copies features at an eighth, a quarter and a half of the frame; ``vanilla`` at an eighth
            alone; ``cpnet`` is encoder and decoder of CPNet, which copy at a quarter.
        similarity: ``dot_mean`` is CPNet's: the product of the features averaged over channels and jointly visible
            cells, one number per candidate; ``cosine`` averages the cosine instead, times a learned temperature;
            ``local`` is ``dot_mean`` in a window around each cell, of the whole frame where a window sees nothing.

    Raises:
        UserError: if an argument is none of these.

    Source: STRA-Net (BMVC 2021), section 3.2. The paper shares upsampled scores; sharing logits gives the same weights
    and no blurred border. 575,264 parameters in the encoder and 5,834,835 in the decoder with the defaults.
    """

    temperature: Tensor | None

    def __init__(
        self, *, channels: int = 32, kind: TemporalKind = "multiscale", similarity: Similarity = "dot_mean"
    ) -> None:
        super().__init__()
        if kind not in get_args(TemporalKind):
            raise UserError(f"temporal={kind}: expected {', '.join(get_args(TemporalKind))}")
        if similarity not in get_args(Similarity):
            raise UserError(f"similarity={similarity}: expected {', '.join(get_args(Similarity))}")
        self.kind = kind
        self.similarity = similarity
        self.scales = {"multiscale": SCALES, "vanilla": SCALES[-1:], "cpnet": (4,)}[kind]
        self.encoder: nn.Module
        self.decoder: nn.Module
        if kind == "cpnet":
            self.encoder, self.decoder = CopyEncoder(channels=2 * channels), PasteDecoder(channels=2 * channels)
        else:
            self.encoder = ImageEncoder(channels=channels)
            self.decoder = MultiScaleDecoder(channels=channels, skips=kind == "multiscale")
        self.temperature = nn.Parameter(torch.tensor(10.0)) if similarity == "cosine" else None

    def encode(self, frames: Tensor, holes: Tensor) -> Features:
        """Encode images, each on its own.

        Args:
            frames: ``(N, 3, H, W)`` RGB in [0, 1]; both sides divide by 8.
            holes: ``(N, 1, H, W)`` in {0, 1}.

        Returns:
            One ``(N, C, H / scale, W / scale)`` for each of :attr:`scales`.
        """
        features: Tensor | Features = self.encoder(frames, holes)
        return (features,) if isinstance(features, Tensor) else features[-len(self.scales) :]

    def logits(self, target: Features, target_known: Tensor, candidates: Features, visible: Tensor) -> Tensor:
        """Compare candidates with the target.

        Args:
            target: features of the targets, ``(B, C, h, w)`` each.
            target_known: ``(B, 1, H, W)`` in {0, 1}, 0 in the hole.
            candidates: features of aligned candidates, ``(B, R, C, h, w)`` each.
            visible: ``(B, R, 1, H, W)`` in {0, 1}.

        Returns:
            Logits of the attention, float32: ``(B, R)``, or ``(B, R, 1, h, w)`` at the coarsest scale for ``local``.
        """
        wanted, offered = target[-1].float(), candidates[-1].float()
        seen = self._seen(visible, self.scales[-1]) * self._seen(target_known, self.scales[-1]).unsqueeze(1)
        if self.temperature is not None:
            wanted, offered = F.normalize(wanted, dim=1), F.normalize(offered, dim=2)
            # the mean over channels that visible_similarity takes is not part of a cosine
            return visible_similarity(wanted, offered, seen) * wanted.shape[1] * self.temperature.float()
        overall = visible_similarity(wanted, offered, seen)
        return overall if self.similarity == "dot_mean" else _local_similarity(wanted, offered, seen, overall)

    def gather(self, gathered: Gathered | None, logits: Tensor, candidates: Features, visible: Tensor) -> Gathered:
        """Add a portion of candidates.

        Args:
            gathered: what the portion before gave; None for the first.
            logits: of :meth:`logits`.
            candidates: features of aligned candidates, ``(B, R, C, h, w)`` each.
            visible: ``(B, R, 1, H, W)`` in {0, 1}.
        """
        sums = []
        with torch.autocast(logits.device.type, enabled=False):
            for index, (scale, features) in enumerate(zip(self.scales, candidates, strict=True)):
                scores = logits if logits.ndim == 2 else _resized(logits, features.shape[-2:])
                before = None if gathered is None else gathered.sums[index]
                sums.append(attend(before, features, scores, self._seen(visible, scale)))
        return Gathered(tuple(sums))

    def forward(self, target: Features, gathered: Gathered | None) -> Tensor:
        """Decode what was gathered.

        Args:
            target: features of the targets, ``(B, C, h, w)`` each.
            gathered: of :meth:`gather`; None where there is no candidate at all.

        Returns:
            ``(B, 3, H, W)`` float32 RGB, meant for [0, 1] but not held to it.
        """
        laid = []
        for index, features in enumerate(target):
            if gathered is None:
                average, hidden = torch.zeros_like(features), torch.ones_like(features[:, :1])
            else:
                average, covered = attended(gathered.sums[index])
                average, hidden = average.to(features.dtype), (1 - covered).to(features.dtype)
            laid.append(torch.cat([features, average, hidden], dim=1))
        decoded: Tensor = self.decoder(laid[0]) if isinstance(self.decoder, PasteDecoder) else self.decoder(laid)
        return decoded

    def _seen(self, visible: Tensor, scale: int) -> Tensor:
        """Cells that are visible: ``(..., 1, H, W)`` to ``(..., 1, H / scale, W / scale)`` in {0, 1}."""
        maps = visible.float().flatten(0, -4)
        if self.kind == "cpnet":
            cells = coarse_visibility(maps, (maps.shape[-2] // scale, maps.shape[-1] // scale))
        else:
            cells = visible_pixels(F.avg_pool2d(maps, scale))
        return cells.view(*visible.shape[:-2], *cells.shape[-2:])


class MultiScaleDecoder(PasteTrunk):
    """CPNet's paste decoder moved to an eighth of the frame, with what was copied at finer scales joined on the way up.

    Args:
        channels: that of the :class:`ImageEncoder`.
        skips: whether it is given a quarter and a half of the frame too.

    Source: STRA-Net (BMVC 2021), section 3.2 ("similar image decoder as in CPNet"). 5,834,835 parameters.
    """

    def __init__(self, *, channels: int = 32, skips: bool = True) -> None:
        super().__init__(channels=4 * channels)
        c = channels
        self.quarter_a = ConvBlock(4 * c + (8 * c + 1 if skips else 0), 4 * c)
        self.quarter_b = ConvBlock(4 * c, 4 * c)
        self.half_a = ConvBlock(4 * c + (4 * c + 1 if skips else 0), 2 * c)
        self.half_b = ConvBlock(2 * c, 2 * c)
        self.out = ConvBlock(2 * c, 3, kernel_size=5, activate=False)

    def forward(self, laid: list[Tensor]) -> Tensor:
        """Decode features.

        Args:
            laid: target, average of the candidates and a map of what none sees, side by side, fine to coarse:
                ``(B, 4 channels + 1, 4 h, 4 w)`` and ``(B, 8 channels + 1, 2 h, 2 w)`` if there are ``skips``, then
                ``(B, 8 channels + 1, h, w)``.

        Returns:
            ``(B, 3, 8 h, 8 w)`` float32 RGB, meant for [0, 1] but not held to it.
        """
        *skips, coarsest = (self.to_weights(features) for features in laid)
        features = _doubled(self.trunk(coarsest), skips[1:])
        features = _doubled(self.quarter_b(self.quarter_a(features)), skips[:1])
        image: Tensor = self.out(_doubled(self.half_b(self.half_a(features)), []))
        return image.float() * self.std.float() + self.mean.float()


def _doubled(features: Tensor, skip: list[Tensor]) -> Tensor:
    """Twice the size, with what is given at that size beside it."""
    return torch.cat([F.interpolate(features, scale_factor=2, mode="nearest"), *skip], dim=1)


def _resized(logits: Tensor, size: torch.Size) -> Tensor:
    if logits.shape[-2:] == size:
        return logits
    resized = F.interpolate(logits.flatten(0, 1), tuple(size), mode="bilinear", align_corners=False)
    return torch.unflatten(resized, 0, logits.shape[:2])


def _local_similarity(target: Tensor, candidates: Tensor, seen: Tensor, overall: Tensor) -> Tensor:
    products = (candidates * target.unsqueeze(1)).mean(2, keepdim=True)  # (B, R, 1, h, w)
    total, count = (
        torch.unflatten(
            F.avg_pool2d(maps.flatten(0, 1), _LOCAL_WINDOW, stride=1, padding=_LOCAL_WINDOW // 2), 0, seen.shape[:2]
        )
        for maps in (products * seen, seen)
    )
    some = count > 0
    return torch.where(some, total / count.clamp_min(1 / _LOCAL_WINDOW**2), overall[..., None, None, None])
