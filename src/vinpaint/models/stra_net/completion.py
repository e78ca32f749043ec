"""What STRA-Net hands back, and what it computes once per clip."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from vinpaint.models.cpnet.preparation import PreparedFrames
from vinpaint.models.stra_net.alignment import Aligned
from vinpaint.models.stra_net.motion import Steps
from vinpaint.models.stra_net.spatial import PatchScores
from vinpaint.models.stra_net.temporal import Features
from vinpaint.ops.compositing import composite


class Completion(NamedTuple):
    """A completed frame and what it was made of; cropped to the size of the frame, but for ``aligned``.

    Attributes:
        frame: the result, ``(B, 3, H, W)`` float32, not held to [0, 1]: known pixels as they were given, the hole from
            ``temporal``, its leftover from ``spatial``.
        temporal: what the temporal aggregation makes of every pixel, ``(B, 3, H, W)`` float32, not held to [0, 1].
        spatial: what the spatial aggregation makes of every pixel, ``(B, 3, H, W)`` float32 in [0, 1]; None where it
            was skipped.
        visible: 1 where at least one candidate shows something known, ``(B, 1, H, W)`` float32 in {0, 1}.
        leftover: the part of the hole that no candidate shows, ``(B, 1, H, W)`` float32 in {0, 1}.
        patch_scores: the attention of the spatial aggregation; None where it was skipped.
        aligned: the candidates in the extended size; per portion those aligned by an affine map, then those by flow.
            Empty unless asked for.
    """

    frame: Tensor
    temporal: Tensor
    spatial: Tensor | None
    visible: Tensor
    leftover: Tensor
    patch_scores: PatchScores | None
    aligned: tuple[Aligned, ...]

    @property
    def made(self) -> Tensor:
        """What the network makes of every pixel, known ones too: ``frame`` before these were put back."""
        return self.temporal if self.spatial is None else composite(self.temporal, self.spatial, self.leftover)


class PreparedClip(NamedTuple):
    """What is computed once for all targets of a short clip.

    Attributes:
        prepared: ``(B, T, ...)``.
        size: (height, width) of the frames before they were extended.
        features: for affine alignment, ``(B, T, C, h, w)``; None where no reference is aligned so.
        pyramid: ``(B, T, C, h, w)`` each; None where references are aligned as images.
        steps: motion between neighbours, which is chained; None where there is none.
    """

    prepared: PreparedFrames
    size: tuple[int, int]
    features: Tensor | None
    pyramid: Features | None
    steps: Steps | None

    def frame(self, index: int) -> PreparedFrames:
        """One frame of each clip, ``(B, ...)``."""
        return PreparedFrames(*(part[:, index] for part in self.prepared))
