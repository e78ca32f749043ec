"""Clips to train on and to judge on: data sets, procedural clips, sampling, and the one datamodule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vinpaint.data.clip_windows import ClipWindows
from vinpaint.data.composite import CompositeClips
from vinpaint.data.dataset import VideoClipDataset, VideoSample, WholeClipDataset
from vinpaint.data.davis import DAVIS_2016, DavisClips
from vinpaint.data.drawn_clips import DrawnClips
from vinpaint.data.evaluation import EvaluationClip, EvaluationSet
from vinpaint.data.folder import FolderClips
from vinpaint.data.image_motion import ImageMotion
from vinpaint.data.layered_motion import LayeredMotion
from vinpaint.data.mixture import MixtureWindows
from vinpaint.data.procedural import ProceduralClip, ProceduralClips
from vinpaint.data.selection import ChosenClips, JoinedClips
from vinpaint.data.sources import ClipList, ClipSource, DataError, FileSource
from vinpaint.data.windows import Window, WindowDataset, WindowRequest, WindowSource
from vinpaint.data.youtube_vos import YouTubeVOSClips

if TYPE_CHECKING:
    from vinpaint.data.datamodule import VideoInpaintingDataModule

__all__ = [
    "DAVIS_2016",
    "ChosenClips",
    "ClipList",
    "ClipSource",
    "ClipWindows",
    "CompositeClips",
    "DataError",
    "DavisClips",
    "DrawnClips",
    "EvaluationClip",
    "EvaluationSet",
    "FileSource",
    "FolderClips",
    "ImageMotion",
    "JoinedClips",
    "LayeredMotion",
    "MixtureWindows",
    "ProceduralClip",
    "ProceduralClips",
    "VideoClipDataset",
    "VideoInpaintingDataModule",
    "VideoSample",
    "WholeClipDataset",
    "Window",
    "WindowDataset",
    "WindowRequest",
    "WindowSource",
    "YouTubeVOSClips",
]


def __getattr__(name: str) -> Any:
    # The datamodule alone needs Lightning; reading and drawing clips must work without it.
    if name == "VideoInpaintingDataModule":
        from vinpaint.data.datamodule import VideoInpaintingDataModule

        return VideoInpaintingDataModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
