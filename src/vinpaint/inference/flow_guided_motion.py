"""Motion between neighbouring frames, and what it is inside holes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vinpaint.inference.flow_guided_fields import (
    Bools,
    Floats,
    Levels,
    affine_field,
    affine_motion,
    inside_frame,
    length,
    membrane,
    pixel_grid,
    pixels_of,
    sample_field,
)
from vinpaint.models.flow.estimator import FlowEstimator
from vinpaint.ops.conversion import to_tensor

_CUT_ERROR = 2.0
"""Pixels by which a flow and its inverse disagree where a pixel is called inconsistent."""

_CUT_RESIDUAL = 16.0
"""Levels by which an inconsistent pixel must also differ from where it is said to come from."""

_CUT_CONTRAST = 64.0
"""Levels by which a pixel may differ from where it comes from, however consistent its flow."""

_ROUND_TRIP = 1.0
"""Pixels within which the flow of a neighbour must lead back for a carried motion to be believed."""

_INVERSIONS = 5


@dataclass
class WorkFrame:
    """One frame at the size at which motion is estimated.

    Attributes:
        image: ``(h, w, 3)`` uint8 RGB, the hole set to 0.
        hole: ``(h, w)`` bool.
        rim: the hole grown by as much as flow next to a hole is wrong.
    """

    image: Levels
    hole: Bools
    rim: Bools

    @cached_property
    def rim_points(self) -> Floats:
        """Pixels of the rim, ``(R, 2)``, channel 0 = x."""
        return pixels_of(self.rim)

    @cached_property
    def hole_in_rim(self) -> Bools:
        """Which of the rim's pixels belong to the hole, ``(R,)``."""
        return self.hole[self.rim]


@dataclass
class Step:
    """Flow between two neighbours of a walk through a window.

    Attributes:
        away: flow of the earlier frame of the walk to the later one, ``(h, w, 2)`` in pixels.
        toward: flow of the later frame to the earlier one.
        away_affine: the global part of ``away``, see :func:`affine_motion`.
        toward_affine: the global part of ``toward``.
        cut: whether nothing may be carried between the two.
    """

    away: Floats
    toward: Floats
    away_affine: NDArray[np.float64]
    toward_affine: NDArray[np.float64]
    cut: bool

    def reversed(self) -> Step:
        """The same step for a walk in the other direction of time."""
        return Step(self.toward, self.away, self.toward_affine, self.away_affine, self.cut)


Motion = Sequence[Step]
"""The T - 1 steps of a window of T frames, in the order of a walk."""


def reverse(motion: Motion) -> Motion:
    """The same motion for the walk in the other direction."""
    return [step.reversed() for step in reversed(motion)]


def estimate_flow(estimator: FlowEstimator, first: Levels, second: Sequence[Levels]) -> list[Floats]:
    """Flow from one frame ``(h, w, 3)`` uint8 to each of several, ``(h, w, 2)`` float32 in pixels."""
    device = _device_of(estimator)
    with torch.inference_mode():
        target = to_tensor(first).to(device).unsqueeze(0).expand(len(second), -1, -1, -1)
        return _to_arrays(estimator.estimate(target, to_tensor(np.stack(second)).to(device)))


def first_step(
    estimator: FlowEstimator,
    here: WorkFrame,
    there: WorkFrame,
    filled: tuple[Levels, Levels],
    *,
    cut_threshold: float,
) -> Step:
    """Estimate the motion between two frames whose holes are merely filled.

    Flow inside the rim is replaced by the global motion plus a smooth continuation of what surrounds the rim.

    Args:
        estimator: optical flow.
        here: the earlier frame.
        there: the later frame.
        filled: both, with something in their holes that depends on known pixels alone.
        cut_threshold: share of inconsistent pixels from which the pair is a cut.
    """
    forward, backward = _both(estimator, *filled)
    forward_affine, backward_affine = affine_motion(forward, ~here.rim), affine_motion(backward, ~there.rim)
    return Step(
        _continue(forward, here, there, forward_affine),
        _continue(backward, there, here, backward_affine),
        forward_affine,
        backward_affine,
        _is_cut(here, there, forward, backward, cut_threshold),
    )


def next_step(
    estimator: FlowEstimator, here: WorkFrame, there: WorkFrame, completed: tuple[Levels, Levels], *, cut: bool
) -> Step:
    """Estimate the motion between two completed frames; it is taken as it is, inside the rim too."""
    forward, backward = _both(estimator, *completed)
    return Step(forward, backward, affine_motion(forward, ~here.rim), affine_motion(backward, ~there.rim), cut)


def carried_motion(
    points: Floats, toward: Floats, away: Floats, away_affine: NDArray[np.float64]
) -> tuple[Floats, Floats]:
    """Where pixels come from if everything keeps moving as it was seen to move in the previous frame.

    The flow of the previous frame is inverted at each point by fixed-point iteration, from three guesses: the spatial
    continuation, the global motion and the flow at the same place. Where several converge, several layers claim the
    pixel; the one that moves least like the frame as a whole lies in front.

    Args:
        points: pixels ``(R, 2)`` of this frame.
        toward: spatial guess of their flow to the previous frame, ``(R, 2)``.
        away: flow of the previous frame to this one, ``(h, w, 2)``.
        away_affine: its global part.

    Returns:
        Flow to the previous frame ``(R, 2)``, and by how many pixels the way there and back misses, ``(R,)``.
    """
    h, w = away.shape[:2]
    global_motion = affine_field(away_affine, points, h, w)
    best = toward
    best_cost = np.full(len(points), np.inf, np.float32)
    best_error = best_cost
    for guess in (toward, -global_motion, -sample_field(away, points)):
        flow = guess
        for step in range(_INVERSIONS):
            back = -sample_field(away, points + flow)
            flow = (
                back if step < 2 else np.float32(0.5) * (flow + back)
            )  # the damping ends two-cycles at motion boundaries
        error = length(flow + sample_field(away, points + flow))
        relative = length(flow + global_motion)
        cost = np.where(error < _ROUND_TRIP, -relative, 1e3 + error)
        better = cost < best_cost
        best = np.where(better[:, None], flow, best)
        best_error = np.where(better, error, best_error)
        best_cost = np.where(better, cost, best_cost)
    return best, best_error


def believed(error: Floats) -> Bools:
    """Which round trips of :func:`carried_motion` are short enough to go by."""
    result: Bools = error < _ROUND_TRIP
    return result


def hide_and_grow(image: Levels, hole: Bools, *, margin: int) -> WorkFrame:
    """Make a :class:`WorkFrame` whose rim lies ``margin`` pixels outside the hole."""
    if not hole.any():
        return WorkFrame(image, hole, hole)
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    rim = cv2.dilate(hole.astype(np.uint8), kernel).astype(bool)
    return WorkFrame(np.where(hole[..., None], np.uint8(0), image), hole, rim)


def _both(estimator: FlowEstimator, first: Levels, second: Levels) -> tuple[Floats, Floats]:
    device = _device_of(estimator)
    with torch.inference_mode():
        flows = estimator.both(*(to_tensor(frame).unsqueeze(0).to(device) for frame in (first, second)))
    return _to_arrays(flows.forward)[0], _to_arrays(flows.backward)[0]


def _continue(flow: Floats, here: WorkFrame, there: WorkFrame, coefficients: NDArray[np.float64]) -> Floats:
    known = ~here.rim
    h, w = known.shape
    grid = pixel_grid(h, w)
    lands_in_hole = sample_field(there.hole, grid + flow) > 0.01
    known = known & ~lands_in_hole
    if known.all():
        return flow
    global_motion = affine_field(coefficients, grid, h, w)
    return global_motion + membrane(flow - global_motion, known)


def _is_cut(here: WorkFrame, there: WorkFrame, forward: Floats, backward: Floats, threshold: float) -> bool:
    h, w = here.hole.shape
    points = pixel_grid(h, w) + forward
    seen = ~here.rim & inside_frame(points, h, w) & (sample_field(there.rim, points) < 0.01)
    if not seen.any():
        return False
    error = length(forward + sample_field(backward, points))
    residual = np.abs(sample_field(there.image, points) - here.image).mean(axis=-1)
    wrong = ((error > _CUT_ERROR) & (residual > _CUT_RESIDUAL)) | (residual > _CUT_CONTRAST)
    return bool(wrong[seen].mean() > threshold)


def _device_of(estimator: FlowEstimator) -> torch.device:
    if isinstance(estimator, nn.Module):
        for parameter in estimator.parameters():
            return parameter.device
    return torch.device("cpu")


def _to_arrays(flow: torch.Tensor) -> list[Floats]:
    return [np.ascontiguousarray(one.transpose(1, 2, 0)) for one in flow.cpu().numpy()]
