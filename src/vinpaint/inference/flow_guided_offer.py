"""All that the frames of a window offer to the hole of one of them, laid out as pictures for a learned fusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
import torch

from vinpaint.inference.flow_guided_fields import Bools, Floats, Levels, sample_field, to_levels
from vinpaint.inference.flow_guided_motion import WorkFrame
from vinpaint.inference.flow_guided_sources import Box, Source
from vinpaint.models.fusion import BLURS, NUM_MEANS, means_of

_MARGIN = 16
"""Pixels around a hole that a fusion sees, at working size: how a source fits there says how it fits inside."""

_BLUR_REACH = 4
"""Standard deviations to each side that OpenCV's Gaussian blur of float32 looks at."""


@dataclass
class Offer:
    """Colours that compete for the hole of one frame, at the size at which motion is estimated.

    Attributes:
        image: the frame around its hole, ``(b, d, 3)`` uint8, the hole set to 0.
        hole: ``(b, d)`` bool.
        missing: what no frame shows, ``(b, d)`` bool.
        plain: the frame completed by a mean of fixed weights, ``(b, d, 3)`` uint8.
        colours: candidates, ``(K, b, d, 3)`` uint8: first the carried colours, then one for each source.
        shares: fixed weights of the candidates, ``(K, b, d)`` float32, 0 where one shows nothing.
        offsets: frames from the completed one to the source, ``(K,)``, negative in the past, 0 for the carried colours.
    """

    image: Levels
    hole: Bools
    missing: Bools
    plain: Levels
    colours: Levels
    shares: Floats
    offsets: Floats

    def cut(self, box: Box) -> Offer:
        """The part of it that lies in a box."""
        rows, columns = box.slices
        return Offer(
            image=self.image[rows, columns],
            hole=self.hole[rows, columns],
            missing=self.missing[rows, columns],
            plain=self.plain[rows, columns],
            colours=self.colours[:, rows, columns],
            shares=self.shares[:, rows, columns],
            offsets=self.offsets,
        )


@runtime_checkable
class Fusion(Protocol):
    """Mixes candidates. Must be deterministic."""

    def __call__(self, offer: Offer) -> tuple[Floats, Floats]:
        """Judge the candidates of one frame.

        Returns:
            Coefficients ``(M, b, d)`` on the ingredients of a :class:`vinpaint.models.fusion.FusionNetwork`, and levels
            to add to their mixture, ``(b, d, 3)``. Zeros leave the plain mean.
        """
        ...


def offer_box(hole: Bools) -> Box:
    """The part of a frame that an :class:`Offer` shows."""
    return Box.around(hole, _MARGIN)


def make_offer(
    frame: WorkFrame,
    plain: Levels,
    draft: tuple[Levels, Bools],
    sources: Sequence[tuple[Source, Levels]],
    box: Box,
    *,
    index: int,
    carried_weight: float,
) -> Offer:
    """Lay out the candidates of a frame.

    Args:
        frame: the frame at working size.
        plain: the frame completed by fixed weights, ``(H, W, 3)`` uint8 at its own size.
        draft: the carried colours ``(h, w, 3)`` uint8 at working size, and what they lack, ``(h, w)`` bool.
        sources: what is offered within ``box``, and by which frame ``(h, w, 3)`` uint8 at working size.
        box: the part of the frame that the sources were aligned with; holds that of :func:`offer_box`.
        index: number of the frame.
        carried_weight: weight of the carried colours.
    """
    part = offer_box(frame.hole)
    inner = slice(part.top - box.top, part.bottom - box.top), slice(part.left - box.left, part.right - box.left)
    completed, lacking = draft[0][part.slices], draft[1][part.slices]
    hole = frame.hole[part.slices]
    colours, shares, offsets = [completed], [np.full(hole.shape, carried_weight, np.float32)], [0]
    for source, picture in sources:
        points = source.points[inner]
        seen = sample_field(picture, points, interpolation=cv2.INTER_CUBIC) + source.correction[inner]
        colours.append(np.clip(np.rint(seen), 0, 255).astype(np.uint8))
        shares.append(source.weight[inner])
        offsets.append(source.index - index)
    weights = np.stack(shares)
    h, w = frame.hole.shape
    small = plain if plain.shape[:2] == (h, w) else cv2.resize(plain, (w, h), interpolation=cv2.INTER_AREA)
    return Offer(
        image=frame.image[part.slices],
        hole=hole,
        missing=lacking & hole & (weights[1:].sum(axis=0) == 0),
        plain=np.asarray(small, np.uint8)[part.slices],
        colours=np.stack(colours),
        shares=weights,
        offsets=np.array(offsets, np.float32),
    )


def mix(
    judged: tuple[Floats, Floats],
    plain: Levels,
    hole: Bools,
    candidates: tuple[Sequence[Floats], Sequence[Floats], Floats],
    *,
    places: Floats,
    scale: float,
) -> Levels:
    """Apply what a :class:`Fusion` judged, at the frame's own size.

    Args:
        judged: what the fusion returned.
        plain: the frame completed by fixed weights, ``(H, W, 3)`` uint8.
        hole: ``(H, W)`` bool, P pixels.
        candidates: colours ``(P, 3)`` in levels and shares ``(P,)`` of each, and :attr:`Offer.offsets`.
        places: where the pixels of the hole lie in what was judged, ``(P, 2)``.
        scale: the frame's own size over that at which it was judged.

    Returns:
        The completed frame, ``(H, W, 3)`` uint8.
    """
    coefficients, residual = judged
    start = plain[hole].astype(np.float32)
    colours = torch.from_numpy(np.stack(candidates[0])).movedim(-1, 1)[None]  # (1, K, 3, P)
    shares = torch.from_numpy(np.stack(candidates[1]))[None]
    means, _ = means_of(colours, shares, torch.from_numpy(candidates[2])[None], torch.from_numpy(start).T[None])
    ingredients = [mean.T.numpy() for mean in means[0]]
    around = Box.around(hole, round(_BLUR_REACH * scale * max(BLURS)) + 1).slices
    shown = plain[around].astype(np.float32)
    ingredients += [cv2.GaussianBlur(shown, (0, 0), scale * blur)[hole[around]] for blur in BLURS]
    mixed = start + sample_field(residual, places)
    for ingredient, coefficient in zip(ingredients, coefficients, strict=True):
        mixed += (ingredient - start) * sample_field(coefficient, places)[:, None]
    completed: Levels = plain.copy()
    completed[hole] = to_levels(mixed)
    return completed


def nothing_judged(offer: Offer) -> tuple[Floats, Floats]:
    """What a :class:`Fusion` returns that leaves the plain mean."""
    shape = offer.hole.shape
    return np.zeros((NUM_MEANS + len(BLURS), *shape), np.float32), np.zeros((*shape, 3), np.float32)
