"""The clips that a model is judged on, each with holes that depend on nothing but its name."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from vinpaint.data.sources import ClipSource, DataError
from vinpaint.data.views import ClipBeginning, MasksBeginning
from vinpaint.masks import ArrayMasks, DilatedMasks, MaskGenerator, MaskSequence, ResizedMasks
from vinpaint.video import ClipReader, ResizedClip


class EvaluationClip(NamedTuple):
    """One clip to complete.

    Attributes:
        name: of the clip in its data set.
        clip: the true frames, also those under the holes.
        masks: the holes, as many and as large as the frames.
    """

    name: str
    clip: ClipReader
    masks: MaskSequence


class EvaluationSet:
    """Clips and their holes, opened one at a time.

    Holes are drawn from a generator seeded by ``seed`` and the clip's name, so they are the same for every model, in
    every order and for any choice of clips.

    Args:
        clips: the clips.
        mask: what draws the holes, or ``own`` for the masks that come with the clips (object annotations, or masks
            imposed on them).
        height: rows to resize to, Pillow's bicubic for frames and nearest for masks; native when not given.
        width: columns to resize to; native when not given.
        num_frames: only the first frames of each clip; all when not given.
        dilation: how often holes grow by a 3x3 cross, after resizing; 4 in the public evaluation scripts.
        seed: another seed draws other holes.

    Raises:
        DataError: if only one of height and width is given, or on reading a clip, if it has no own masks but should.
    """

    def __init__(
        self,
        clips: Sequence[ClipSource],
        mask: MaskGenerator | Literal["own"],
        *,
        height: int | None = 240,
        width: int | None = 432,
        num_frames: int | None = None,
        dilation: int = 0,
        seed: int = 0,
    ) -> None:
        if (height is None) != (width is None):
            raise DataError(f"height {height} and width {width}: give both, or neither for native size")
        if isinstance(mask, str) and mask != "own":
            raise DataError(f"mask {mask}: expected a generator, or own for the masks that come with the clips")
        self.clips = clips
        self.mask = mask
        self.height = height
        self.width = width
        self.num_frames = num_frames
        self.dilation = dilation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[EvaluationClip]:
        """Open the clips in turn; each is closed when the next is asked for."""
        for index in range(len(self)):
            opened = self.open(index)
            try:
                yield opened
            finally:
                opened.clip.close()

    def open(self, index: int) -> EvaluationClip:
        """Open one clip; the caller closes it.

        Args:
            index: which clip.

        Returns:
            The clip and its holes, which are read as they are asked for.
        """
        source = self.clips[index]
        native = source.open()
        try:
            size = (
                (native.height, native.width)
                if self.height is None or self.width is None
                else (self.height, self.width)
            )
            clip = ClipBeginning(ResizedClip(native, *size), num_frames=self.num_frames, name=source.name)
            masks = self._masks(source, native, clip)
        except BaseException:
            native.close()
            raise
        return EvaluationClip(source.name, clip, masks)

    def _masks(self, source: ClipSource, native: ClipReader, clip: ClipReader) -> MaskSequence:
        masks: MaskSequence
        if isinstance(self.mask, str):
            own = source.open_masks(native)
            if own is None:
                raise DataError(f"{source.name} comes without masks: name where they lie, or choose a generator")
            if (own.height, own.width) != (clip.height, clip.width):
                own = ResizedMasks(own, height=clip.height, width=clip.width)
            masks = MasksBeginning(own, num_frames=clip.num_frames)
        else:
            rng = np.random.default_rng([self.seed, zlib.crc32(source.name.encode())])
            masks = ArrayMasks(self.mask(clip.num_frames, clip.height, clip.width, rng))
        return DilatedMasks(masks, dilation=self.dilation) if self.dilation else masks
