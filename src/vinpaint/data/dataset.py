"""Clips as tensors: short windows to train on, whole clips to judge on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from vinpaint.data.evaluation import EvaluationSet
from vinpaint.data.sampling import Sampling, check_sampling, mask_times, sample_frames
from vinpaint.data.sources import ClipSource, DataError
from vinpaint.masks import MaskGenerator
from vinpaint.ops.conversion import mask_to_tensor, to_tensor
from vinpaint.video import ResizedClip


class VideoSample(TypedDict):
    """One clip of a :class:`vinpaint.batch.VideoBatch`, without the batch axis.

    Keys:
        frames: ``(T, 3, H, W)`` float32 RGB in [0, 1].
        masks: ``(T, 1, H, W)`` float32 in {0, 1}, 1 = hole.
        name: of the clip.
    """

    frames: Tensor
    masks: Tensor
    name: str


class VideoClipDataset(Dataset[VideoSample]):
    """Short windows of clips with drawn holes.

    Chance comes from the seed, the epoch and the number of the sample alone: two runs, any number of workers and a
    resumed run see the same samples, and no two samples of an epoch or of two epochs share their draws.

    Args:
        clips: the clips.
        mask: what draws the holes.
        height: rows to resize to, by Pillow's bicubic.
        width: columns to resize to.
        num_frames: frames of a window.
        sampling: ``consecutive`` frames, ``random`` ones in rising order, or ``mixed``: either with equal probability.
        flip_probability: share of the windows mirrored left to right, 0 to 1; their holes are not mirrored, as
            published (drawn holes have no side).
        samples_per_epoch: windows of an epoch; one of every clip when not given. With fewer, the next epoch goes on
            with the next clips; with more, clips are seen repeatedly, in other windows.
        seed: of all chance.

    Raises:
        DataError: if an argument has no sense; on reading, if a clip has fewer frames than ``num_frames``.

    Source: STTN (arXiv:2007.10247), section 4.1, and its public code: 5 frames of 432x240, mixed sampling, flip 0.5.
    """

    def __init__(
        self,
        clips: Sequence[ClipSource],
        mask: MaskGenerator,
        *,
        height: int = 240,
        width: int = 432,
        num_frames: int = 5,
        sampling: Sampling = "mixed",
        flip_probability: float = 0.5,
        samples_per_epoch: int | None = None,
        seed: int = 0,
    ) -> None:
        check_sampling(sampling)
        if min(height, width, num_frames) < 1:
            raise DataError(f"{num_frames} frames of {width}x{height}: expected at least one of each")
        if not 0 <= flip_probability <= 1:
            raise DataError(f"flip_probability {flip_probability}: expected 0 to 1")
        if samples_per_epoch is not None and samples_per_epoch < 1:
            raise DataError(f"samples_per_epoch {samples_per_epoch}: expected at least 1, or none for one per clip")
        self.clips = clips
        self.mask = mask
        self.height = height
        self.width = width
        self.num_frames = num_frames
        self.sampling: Sampling = sampling
        self.flip_probability = flip_probability
        self.samples_per_epoch = samples_per_epoch
        self.seed = seed

    def __len__(self) -> int:
        return len(self.clips) if self.samples_per_epoch is None else self.samples_per_epoch

    def __getitem__(self, key: int | tuple[int, int]) -> VideoSample:
        """Read a window.

        Args:
            key: the number of the sample, or ``(epoch, number)``; a number alone is of epoch 0.
        """
        epoch, index = key if isinstance(key, tuple) else (0, key)
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        rng = np.random.default_rng([self.seed, epoch, index])
        source = self.clips[(epoch * len(self) + index) % len(self.clips)]
        with source.open() as native:
            if native.num_frames < self.num_frames:
                raise DataError(
                    f"{source.name} has {native.num_frames} frames but a window takes {self.num_frames}; "
                    "remove the clip, or set num_frames lower"
                )
            times = sample_frames(native.num_frames, self.num_frames, rng, sampling=self.sampling)
            frames = ResizedClip(native, self.height, self.width).read(times)
        if rng.random() < self.flip_probability:
            frames = frames[:, :, ::-1]
        when = mask_times(times)
        masks = self.mask(when[-1] + 1, self.height, self.width, rng)[when]
        return {"frames": to_tensor(frames), "masks": mask_to_tensor(masks), "name": source.name}


class WholeClipDataset(Dataset[VideoSample]):
    """Whole clips, or their beginnings, with the holes of an evaluation set.

    Args:
        clips: the clips and their holes.
    """

    def __init__(self, clips: EvaluationSet) -> None:
        self.clips = clips

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> VideoSample:
        """Read a clip."""
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        name, clip, masks = self.clips.open(index)
        with clip:
            times = range(clip.num_frames)
            return {"frames": to_tensor(clip.read(times)), "masks": mask_to_tensor(masks.read(times)), "name": name}
