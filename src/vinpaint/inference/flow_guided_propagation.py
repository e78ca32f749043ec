"""Colours carried into holes along flow, from the past and from the future."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vinpaint.inference.flow_guided_fields import (
    Bools,
    Floats,
    affine_field,
    inside_frame,
    sample_field,
)
from vinpaint.inference.flow_guided_motion import Motion, WorkFrame, believed, carried_motion

_NEVER = np.float32(1e6)
"""Age of what no frame of the walk has shown."""

_REACHED = np.float32(1e4)
"""Below this age a sample is one: interpolation may mix ages with :data:`_NEVER`."""

_MAX_ERROR = np.float32(10.0)
"""Pixels of inconsistency that one step can add to an age at most."""


@dataclass
class Carried:
    """What one chain brought into the hole of one frame.

    Attributes:
        colours: ``(P, 3)`` float32 levels at the pixels of the hole, in the order of ``numpy.nonzero``.
        ages: ``(P,)`` how doubtful they are: steps taken plus pixels of inconsistency met on the way.
    """

    colours: Floats
    ages: Floats

    @property
    def weights(self) -> Floats:
        """Weight of each colour, 0 where the chain brought none."""
        return np.where(self.ages < _REACHED, 1 / (self.ages + 1e-3), 0).astype(np.float32)


def propagate(frames: Sequence[WorkFrame], motion: Motion, *, persistence: float) -> list[list[Carried]]:
    """Walk through a window and carry colours along, by two ideas of how things move inside a hole.

    The *spatial* chain believes the flow completed from around the hole, or estimated in completed frames. The
    *temporal* chain believes that what enters a hole keeps the motion it had relative to the global motion: it finds
    moving objects that hide in the hole, and fails where they change direction.

    Args:
        frames: the window in the order of the walk.
        motion: its motion, seen by this walk.
        persistence: share of its own motion that a thing keeps per frame, in [0, 1].

    Returns:
        For each frame the two chains, or nothing where there is no hole.
    """
    h, w = frames[0].hole.shape
    images: list[Floats] = []
    ages: list[Floats] = []
    away: Floats | None = None
    walked: list[list[Carried]] = []
    for t, frame in enumerate(frames):
        image = frame.image.astype(np.float32)
        age = np.where(frame.hole, _NEVER, np.float32(0))
        next_away = motion.away[t] if t < len(motion.away) else None
        if t == 0 or away is None or motion.cut[t - 1]:
            next_images, next_ages = [image, image], [age, age]
            here = [Carried(image[frame.hole], age[frame.hole]) for _ in range(2)] if frame.hole.any() else []
        elif not frame.hole.any() and not frame.rim.any():
            next_images, next_ages, here = [image, image], [age, age], []
        else:
            points, within = frame.rim_points, frame.hole_in_rim
            spatial = motion.toward[t - 1][frame.rim]
            affine = motion.away_affine[t - 1]
            missed = np.linalg.norm(spatial + sample_field(motion.away[t - 1], points + spatial), axis=1)
            temporal, error = carried_motion(points, spatial, away, affine)
            sound = believed(error)
            temporal = np.where(sound[:, None], temporal, spatial)
            # where nothing leads here, fall back on the spatial guess and doubt it by how far the carried flow misses
            doubt = np.where(sound, error, np.linalg.norm(spatial + sample_field(away, points + spatial), axis=1))
            next_images, next_ages, here = [], [], []
            for chain, (flow, extra) in enumerate(((spatial, missed), (temporal, doubt))):
                carried = _step(images[chain], ages[chain], points[within] + flow[within], extra[within])
                here.append(carried)
                next_image, next_age = image.copy(), age.copy()
                next_image[frame.hole] = carried.colours
                next_age[frame.hole] = carried.ages
                next_images.append(next_image)
                next_ages.append(next_age)
            if next_away is not None:
                source = points + temporal
                own = sample_field(away, source) - affine_field(affine, source, h, w)
                expected = affine_field(motion.away_affine[t], points, h, w) + np.float32(persistence) * own
                next_away = next_away.copy()
                next_away[frame.rim] = np.where(sound[:, None], expected, next_away[frame.rim])
        walked.append(here)
        images, ages, away = next_images, next_ages, next_away
    return walked


def fuse(frame: WorkFrame, chains: Sequence[Carried]) -> tuple[Floats, Bools]:
    """Average what the chains brought, each weighted by how little it is doubted.

    Returns:
        The frame ``(h, w, 3)`` in float32 levels, and the pixels of its hole that no chain reached, ``(h, w)`` bool.
    """
    image = frame.image.astype(np.float32)
    missing = frame.hole.copy()
    if chains:
        weight = np.sum([chain.weights for chain in chains], axis=0)
        total = np.sum([chain.colours * chain.weights[:, None] for chain in chains], axis=0)
        image[frame.hole] = total / np.maximum(weight, 1e-12)[:, None]
        missing[frame.hole] = weight == 0
    return image, missing


def _step(image: Floats, age: Floats, source: Floats, doubt: Floats) -> Carried:
    """Fetch colours ``(P, 3)`` and ages ``(P,)`` from where points ``(P, 2)`` lay in the previous frame of the walk."""
    older = sample_field(age, source) + 1 + np.minimum(doubt, _MAX_ERROR)
    reached = inside_frame(source, *age.shape) & (older < _REACHED)
    return Carried(sample_field(image, source), np.where(reached, older, _NEVER).astype(np.float32))
