"""Numbers that mean the same thing as in the papers: pure functions, and a metric class over each."""

from __future__ import annotations

from vinpaint.metrics.base import AveragedMetric, UndefinedError, VideoMetric, check_clips
from vinpaint.metrics.collection import VideoMetricCollection
from vinpaint.metrics.l1 import L1, l1
from vinpaint.metrics.psnr import PSNR, psnr
from vinpaint.metrics.ssim import SSIM, ssim, ssim_map
from vinpaint.metrics.temporal_consistency import TemporalConsistency, temporal_consistency

__all__ = [
    "L1",
    "PSNR",
    "SSIM",
    "AveragedMetric",
    "TemporalConsistency",
    "UndefinedError",
    "VideoMetric",
    "VideoMetricCollection",
    "check_clips",
    "l1",
    "psnr",
    "ssim",
    "ssim_map",
    "temporal_consistency",
]
