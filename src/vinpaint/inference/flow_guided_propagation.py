"""Colours carried into holes along flow, from the past and from the future."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vinpaint.inference.flow_guided_fields import (
    Bools,
    Floats,
    Levels,
    affine_field,
    inside_frame,
    length,
    sample_field,
    to_levels,
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


class Chain:
    """Carries colours by the flow completed from around the hole, or estimated in completed frames."""

    def __init__(self) -> None:
        self._image: Floats | None = None
        self._age: Floats | None = None

    def walk(self, frames: Sequence[WorkFrame], motion: Motion) -> list[Carried]:
        """Go through a window in the order given; ``motion`` is seen by this walk.

        Returns:
            What was carried into the hole of each frame.
        """
        walked = []
        for t, frame in enumerate(frames):
            if t == 0 or motion[t - 1].cut:
                self._image = self._age = None
            walked.append(self._enter(frame, motion, t))
        return walked

    def _flow_to_previous(self, frame: WorkFrame, motion: Motion, t: int) -> tuple[Floats, Floats]:
        """Flow of the rim's pixels to the previous frame, ``(R, 2)``, and the doubt it adds, ``(R,)`` pixels."""
        flow = motion[t - 1].toward[frame.rim]
        return flow, length(flow + sample_field(motion[t - 1].away, frame.rim_points + flow))

    def _enter(self, frame: WorkFrame, motion: Motion, t: int) -> Carried:
        image = frame.image.astype(np.float32)
        age = np.where(frame.hole, _NEVER, np.float32(0))
        carried = Carried(image[frame.hole], age[frame.hole])
        if self._image is not None and self._age is not None and frame.hole.any():
            flow, doubt = self._flow_to_previous(frame, motion, t)
            within = frame.hole_in_rim
            source = frame.rim_points[within] + flow[within]
            older = sample_field(self._age, source) + 1 + np.minimum(doubt[within], _MAX_ERROR)
            reached = inside_frame(source, *age.shape) & (older < _REACHED)
            carried = Carried(sample_field(self._image, source), np.where(reached, older, _NEVER).astype(np.float32))
            image[frame.hole] = carried.colours
            age[frame.hole] = carried.ages
        self._image, self._age = image, age
        return carried


class PersistentChain(Chain):
    """Carries colours by the motion with which things entered the hole.

    It finds moving objects that hide in the hole, and fails where they change direction there.

    Args:
        persistence: share of its motion relative to the global one that a thing keeps per frame, in [0, 1].
    """

    def __init__(self, persistence: float) -> None:
        super().__init__()
        self._persistence = np.float32(persistence)
        self._away: Floats | None = None

    def _flow_to_previous(self, frame: WorkFrame, motion: Motion, t: int) -> tuple[Floats, Floats]:
        points = frame.rim_points
        spatial = motion[t - 1].toward[frame.rim]
        away = motion[t - 1].away if self._away is None else self._away
        affine = motion[t - 1].away_affine
        flow, error = carried_motion(points, spatial, away, affine)
        sound = believed(error)
        # where nothing leads here, fall back on the spatial guess and doubt it by how far the carried flow misses
        flow = np.where(sound[:, None], flow, spatial)
        doubt = np.where(sound, error, length(spatial + sample_field(away, points + spatial)))
        if t < len(motion):
            source = points + flow
            own = sample_field(away, source) - affine_field(affine, source, *frame.hole.shape)
            expected = affine_field(motion[t].away_affine, points, *frame.hole.shape) + self._persistence * own
            self._away = motion[t].away.copy()
            self._away[frame.rim] = np.where(sound[:, None], expected, self._away[frame.rim])
        return flow, doubt

    def _enter(self, frame: WorkFrame, motion: Motion, t: int) -> Carried:
        if self._image is None or not frame.hole.any():
            self._away = None  # motion is carried from hole to hole; here it is seen anew
        return super()._enter(frame, motion, t)


def propagate(frames: Sequence[WorkFrame], motion: Motion, *, persistence: Sequence[float]) -> list[list[Carried]]:
    """Walk through a window and carry colours along, by different ideas of how things move inside a hole.

    Args:
        frames: the window in the order of the walk.
        motion: its motion, seen by this walk.
        persistence: one :class:`PersistentChain` each, beside the spatial :class:`Chain`.

    Returns:
        For each frame what each chain brought.
    """
    chains = [Chain(), *(PersistentChain(share) for share in persistence)]
    walks = [chain.walk(frames, motion) for chain in chains]
    return [list(brought) for brought in zip(*walks, strict=True)]


def fuse(frame: WorkFrame, chains: Sequence[Carried]) -> tuple[Levels, Bools]:
    """Average what the chains brought, each weighted by how little it is doubted.

    Returns:
        The frame ``(h, w, 3)`` uint8, and the pixels of its hole that no chain reached, ``(h, w)`` bool.
    """
    image, missing = frame.image.copy(), frame.hole.copy()
    weight = np.sum([chain.weights for chain in chains], axis=0)
    total = np.sum([chain.colours * chain.weights[:, None] for chain in chains], axis=0)
    image[frame.hole] = to_levels(total / np.maximum(weight, 1e-12)[:, None])
    missing[frame.hole] = weight == 0
    return image, missing
