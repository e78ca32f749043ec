"""STRA-Net at low resolution, and its parts."""

from __future__ import annotations

from vinpaint.models.stra_net.alignment import AffineAlignment, Aligned, Placement, References
from vinpaint.models.stra_net.completion import Completion, PreparedClip
from vinpaint.models.stra_net.encoder import ImageEncoder
from vinpaint.models.stra_net.motion import FlowBranch, Motion, Steps
from vinpaint.models.stra_net.spatial import PatchScores, SpatialAggregation
from vinpaint.models.stra_net.sta_net import STRANet
from vinpaint.models.stra_net.temporal import TemporalAggregation

__all__ = [
    "AffineAlignment",
    "Aligned",
    "Completion",
    "FlowBranch",
    "ImageEncoder",
    "Motion",
    "PatchScores",
    "Placement",
    "PreparedClip",
    "References",
    "STRANet",
    "SpatialAggregation",
    "Steps",
    "TemporalAggregation",
]
