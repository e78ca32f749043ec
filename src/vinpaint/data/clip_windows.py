"""Windows of clips under holes that are laid over them: the clip itself is the truth."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from vinpaint.data.kept import KeptPictures
from vinpaint.data.motion import stays_inside
from vinpaint.data.sources import ClipSource, DataError
from vinpaint.data.windows import Window, WindowRequest, add_flow, check_mirrored, mirrored
from vinpaint.masks import MaskGenerator
from vinpaint.ops.conversion import mask_to_tensor, to_tensor
from vinpaint.video import ArrayClip, ClipReader


@runtime_checkable
class MovingTruth(Protocol):
    """A clip whose motion is known, such as one made by program."""

    def flow(self, index: int, *, target: int | None = None) -> NDArray[np.float32]:
        """Flow ``(2, H, W)`` in pixels from one frame to another."""
        ...

    def occluded(self, index: int, *, target: int | None = None) -> NDArray[np.bool_]:
        """What ``(H, W)`` of a frame is not seen in the other."""
        ...


class _Crop(NamedTuple):
    """A part of the frame that becomes the whole window, and whether it is mirrored."""

    top: int
    left: int
    rows: int
    columns: int
    flip: bool


class ClipWindows:
    """Windows of clips with imposed holes: frames close in time, cut and mirrored alike, under moving object masks.

    Args:
        clips: the clips.
        mask: what draws the holes; they move from one position of the window to the next.
        window: positions in time that the frames of a sample are chosen from, in rising order; the number of frames
            itself when that is larger.
        max_stride: the frames of the clip between two positions are 1 to this many.
        min_cover: the clip is scaled so that it covers the sample at least this many times in height and width.
        max_cover: and at most this many times, as long as it is not enlarged.
        flip_probability: share of the windows that are mirrored, 0 to 1; their holes are drawn and have no side.
        cache_megabytes: whole clips kept decoded, per process, in 10^6 bytes. It pays where all clips fit (0.35 MB a
            frame of 456x256): a window then costs its cutting alone. With 0, or a clip that is larger, each window
            decodes its own frames.

    Raises:
        DataError: if a range is empty or a probability lies outside 0 to 1; on drawing, if a clip is too short.

    Source: STRA-Net (BMVC 2021), section 4: object masks laid over real clips. Not published, chosen here: 5 of 10
    positions, stride 1 to 3.
    """

    def __init__(
        self,
        clips: Sequence[ClipSource],
        mask: MaskGenerator,
        *,
        window: int = 10,
        max_stride: int = 3,
        min_cover: float = 1.0,
        max_cover: float = 2.0,
        flip_probability: float = 0.5,
        cache_megabytes: int = 0,
    ) -> None:
        if min(window, max_stride) < 1:
            raise DataError(f"window {window} and max_stride {max_stride}: expected 1 or more")
        if not 1 <= min_cover <= max_cover:
            raise DataError(f"covers {min_cover} to {max_cover}: expected 1 <= min_cover <= max_cover")
        check_mirrored(flip_probability)
        self.clips = clips
        self.mask = mask
        self.window = window
        self.max_stride = max_stride
        self.min_cover, self.max_cover = min_cover, max_cover
        self.flip_probability = flip_probability
        self._kept = KeptPictures(cache_megabytes)

    def __len__(self) -> int:
        return len(self.clips)

    def draw(self, number: int, rng: np.random.Generator, wanted: WindowRequest) -> Window:
        """Choose frames of a clip and a part of them, and draw holes."""
        num_frames, height, width = wanted.num_frames, wanted.height, wanted.width
        if len(self.clips) == 0:
            raise DataError("the clips to train on are an empty list")
        source = self.clips[number % len(self.clips)]
        with self._open(source) as clip:
            if clip.num_frames < num_frames:
                raise DataError(
                    f"{source.name} has {clip.num_frames} frames but a window takes {num_frames}; "
                    "remove the clip, or set num_frames lower"
                )
            times, positions = self._times(clip.num_frames, num_frames, rng)
            crop = self._crop(clip, height, width, rng)
            frames = np.stack([_cut(frame, crop, height, width) for frame in clip.read(times)])
            masks = self.mask(positions[-1] + 1, height, width, rng)[positions]
            window: Window = {"frames": to_tensor(frames), "masks": mask_to_tensor(masks), "name": source.name}
            if wanted.motion is not None:
                if wanted.motion == "affine" or not isinstance(clip, MovingTruth):
                    raise DataError(
                        f"{source.name}: its {wanted.motion} motion is not known; set motion to null, or train on "
                        "photographs" + (" or clips made by program" if wanted.motion == "flow" else "")
                    )
                pairs = list(pairwise(times))
                add_flow(
                    window,
                    forward=_true_flow(clip, pairs, crop, height, width),
                    backward=_true_flow(clip, [(b, a) for a, b in pairs], crop, height, width),
                )
        return window

    def _open(self, source: ClipSource) -> ClipReader:
        """Open a clip, or take it from those that are kept; drawing one made by program costs less."""
        if source.name in self._kept:
            return ArrayClip(self._kept[source.name], name=source.name)
        clip = source.open()
        if isinstance(clip, MovingTruth) or not self._kept.would_take(clip.num_frames * clip.height * clip.width * 3):
            return clip
        with clip:
            return ArrayClip(self._kept.keep(source.name, clip.read(range(clip.num_frames))), name=source.name)

    def _times(self, clip_frames: int, num_frames: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        """Frame numbers, and the positions in the window, from 0, that they stand for."""
        stride = int(rng.integers(1, self.max_stride + 1))
        stride = max(min(stride, (clip_frames - 1) // max(num_frames - 1, 1)), 1)
        there = min(max(self.window, num_frames), (clip_frames - 1) // stride + 1)
        start = int(rng.integers(clip_frames - (there - 1) * stride))
        chosen = np.sort(rng.choice(there, num_frames, replace=False))
        return (start + stride * chosen).tolist(), (chosen - chosen[0]).tolist()

    def _crop(self, clip: ClipReader, height: int, width: int, rng: np.random.Generator) -> _Crop:
        smallest = max(height / clip.height, width / clip.width)
        scale = max(min(rng.uniform(self.min_cover, self.max_cover) * smallest, 1.0), smallest)
        rows = min(max(round(height / scale), 1), clip.height)
        columns = min(max(round(width / scale), 1), clip.width)
        top = int(rng.integers(clip.height - rows + 1))
        left = int(rng.integers(clip.width - columns + 1))
        return _Crop(top, left, rows, columns, bool(rng.random() < self.flip_probability))


def _cut(frame: NDArray[np.uint8], crop: _Crop, height: int, width: int) -> NDArray[np.uint8]:
    part = frame[crop.top : crop.top + crop.rows, crop.left : crop.left + crop.columns]
    if (crop.rows, crop.columns) != (height, width):
        how = cv2.INTER_AREA if crop.rows >= height else cv2.INTER_CUBIC
        part = np.asarray(cv2.resize(part, (width, height), interpolation=how), np.uint8)
    return mirrored(part) if crop.flip else part


def _true_flow(
    clip: MovingTruth, pairs: Sequence[tuple[int, int]], crop: _Crop, height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Flow between frames of a clip, cut as the frames are, and where it ends in sight."""
    rows = ((np.arange(height) + 0.5) * crop.rows / height).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * crop.columns / width).astype(np.intp)
    if crop.flip:
        columns = columns[::-1]
    y, x = (crop.top + rows)[:, None], (crop.left + columns)[None]
    zoom = np.array([-width if crop.flip else width, height]) / (crop.columns, crop.rows)
    flows = np.stack([clip.flow(a, target=b)[:, y, x] * zoom[:, None, None] for a, b in pairs]).astype(np.float32)
    seen = np.stack([~clip.occluded(a, target=b)[y, x] for a, b in pairs])
    return flows, seen & np.stack([stays_inside(flow) for flow in flows])
