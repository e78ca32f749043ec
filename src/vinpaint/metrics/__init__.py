"""Numbers that mean the same thing as in the papers: pure functions, and a metric class over each."""

from __future__ import annotations

from vinpaint.metrics.base import AveragedMetric, UndefinedError, VideoMetric, check_clips
from vinpaint.metrics.collection import VideoMetricCollection
from vinpaint.metrics.l1 import L1, l1
from vinpaint.metrics.lpips import LPIPS, lpips
from vinpaint.metrics.psnr import PSNR, psnr
from vinpaint.metrics.ssim import SSIM, ssim, ssim_map
from vinpaint.metrics.temporal_consistency import TemporalConsistency, temporal_consistency
from vinpaint.metrics.vfid import VFID, frechet_distance
from vinpaint.metrics.warp_error import WarpError, occlusion, warp_error

__all__ = [
    "L1",
    "LPIPS",
    "PSNR",
    "SSIM",
    "VFID",
    "AveragedMetric",
    "TemporalConsistency",
    "UndefinedError",
    "VideoMetric",
    "VideoMetricCollection",
    "WarpError",
    "check_clips",
    "frechet_distance",
    "l1",
    "lpips",
    "occlusion",
    "psnr",
    "ssim",
    "ssim_map",
    "temporal_consistency",
    "warp_error",
]
