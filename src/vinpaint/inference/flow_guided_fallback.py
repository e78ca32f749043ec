"""What no frame shows: carried over from the previous completed frame, and made up where that ends."""

from __future__ import annotations

from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np

from vinpaint.errors import UserError
from vinpaint.inference.baselines import diffuse
from vinpaint.inference.flow_guided_blending import boundary_correction
from vinpaint.inference.flow_guided_fields import (
    Bools,
    Floats,
    Levels,
    inside_frame,
    membrane,
    pixel_grid,
    sample_field,
    sample_sharply,
    to_levels,
)
from vinpaint.inference.flow_guided_sources import Box
from vinpaint.inference.patch_synthesis import synthesise

_SEAM_MARGIN = 16
"""Pixels around what is carried over, at the size at which motion is estimated, whose change of light it follows."""

FallbackName = Literal["patches", "telea", "smooth"]


@runtime_checkable
class SpatialFill(Protocol):
    """Makes up the part of one frame that no frame of the clip shows. Must be deterministic."""

    def __call__(self, frame: Levels, missing: Bools) -> Levels:
        """Fill ``missing`` ``(H, W)`` bool of ``frame`` ``(H, W, 3)`` uint8 RGB, which is 0 there."""
        ...


def spatial_fill(choice: FallbackName | SpatialFill) -> SpatialFill:
    """Look up a fill by name; a callable is returned as it is.

    Raises:
        UserError: if there is none of that name.
    """
    if not isinstance(choice, str):
        return choice
    if choice not in get_args(FallbackName):
        raise UserError(f"fallback={choice}: expected {', '.join(get_args(FallbackName))} or a callable")
    return {"patches": fill_by_patches, "telea": fill_by_telea, "smooth": fill_smoothly}[choice]


def fill_by_patches(frame: Levels, missing: Bools) -> Levels:
    """Put together what is missing from patches of the rest; smooth where no patch is known."""
    completed = synthesise(frame, missing)
    return fill_smoothly(frame, missing) if completed is None else completed


def fill_by_telea(frame: Levels, missing: Bools) -> Levels:
    """March in from the border (OpenCV); grey if nothing is known."""
    return diffuse(frame, missing, method="telea", radius=3.0)


def fill_smoothly(frame: Levels, missing: Bools) -> Levels:
    """Span a membrane from the border; grey if nothing is known."""
    if missing.all():
        return np.full_like(frame, 128)
    return to_levels(membrane(frame.astype(np.float32), ~missing))


def carry_over(
    previous: Levels, image: Levels, missing: Bools, toward: Floats, *, gradient_blending: bool
) -> tuple[Floats, Floats]:
    """What the frame before, completed, has to offer where no other frame does.

    Args:
        previous: that frame, ``(H, W, 3)`` uint8.
        image: this one, as far as it is known.
        missing: where it is not, ``(H, W)`` bool, P pixels.
        toward: motion to the frame before, ``(h, w, 2)`` in pixels of its own size.
        gradient_blending: whether the colours are brought into line with what surrounds them now, so that light that
            changes leaves no outline.

    Returns:
        Where the missing pixels, in the order of ``numpy.nonzero``, lie in the frame before, ``(P, 2)``, and what they
        take from there, ``(P, 3)`` in levels.
    """
    H, W = missing.shape
    scale = np.array([W / toward.shape[1], H / toward.shape[0]], np.float32)
    box = Box.around(missing, round(_SEAM_MARGIN * float(scale.mean())))
    places = pixel_grid(box.bottom - box.top, box.right - box.left) + np.array([box.left, box.top], np.float32)
    points = places + sample_field(toward, (places + 0.5) / scale - 0.5) * scale
    inner = missing[box.slices]
    colours = sample_sharply(previous, points[inner])
    if gradient_blending:
        both = inside_frame(points, H, W) & ~inner
        colours += boundary_correction(image[box.slices], sample_field(previous, points), both, inner)[inner]
    return points[inner], colours


def fill_never_visible(
    image: Levels, missing: Bools, before: tuple[Floats, Floats] | None, fill: SpatialFill
) -> Levels:
    """Complete what is left of a frame so that it does not change from frame to frame.

    Args:
        image: the frame, ``(H, W, 3)`` uint8; what stands under ``missing`` has no influence.
        missing: ``(H, W)`` bool.
        before: what :func:`carry_over` gives; None at the start and at a cut.
        fill: what makes up the rest.

    Returns:
        The completed frame, ``(H, W, 3)`` uint8.
    """
    image = image.copy()
    if before is not None:
        points, carried = before
        missing = missing.copy()
        image[missing] = to_levels(carried)
        missing[missing] = ~inside_frame(points, *missing.shape)
    if not missing.any():
        return image
    image[missing] = 0
    return np.where(missing[..., None], fill(image, missing), image)


def carried_gaps(missing: Bools, points: Floats, earlier: Bools | None) -> Bools:
    """Tell what of ``missing`` was made up once: what the previous frame shows where it is carried from is not.

    Args:
        missing: ``(H, W)`` bool.
        points: where the missing pixels lie in the previous frame, ``(P, 2)``.
        earlier: what was made up in the previous frame, ``(H, W)`` bool; None: nothing.
    """
    gaps: Bools = missing.copy()
    gaps[missing] = ~inside_frame(points, *missing.shape)
    if earlier is not None:
        gaps[missing] |= sample_field(earlier, points) > 0
    return gaps
