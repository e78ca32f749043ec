"""What every video metric shares: one signature, checks that name the clip, averages that survive sharding."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from vinpaint.errors import UserError

Average = Literal["frames", "videos"]
"""``frames``: every frame counts the same (published PSNR and SSIM). ``videos``: every clip does."""

RANGE_TOLERANCE = 1e-4  # in [0, 1]: a tenth of a level of an 8-bit frame, far above rounding, far below a wrong range


class UndefinedError(UserError):
    """A metric that has no value on a clip, such as the flow between the frames of a clip of one frame."""


def check_clips(completed: Tensor, truth: Tensor, *, masks: Tensor, names: Sequence[str]) -> None:
    """Check what a metric compares, once, where it enters.

    Args:
        completed: ``(B, T, 3, H, W)`` in [0, 1].
        truth: the same shape and range.
        masks: ``(B, T, 1, H, W)`` in {0, 1}, 1 = hole.
        names: the clip of each sample.

    Raises:
        UserError: if shapes or counts differ, a set or a clip is empty, or a value is not a number or out of range;
            the message names the clip.
    """
    clips = ", ".join(names) or "clips"
    if completed.ndim != 5 or completed.shape[2] != 3:
        raise UserError(f"{clips}: completed frames {_shape(completed)}: expected (B, T, 3, H, W)")
    if truth.shape != completed.shape:
        raise UserError(
            f"{clips}: {_describe(completed)} completed but {_describe(truth)} true; "
            "compare clips of one length and size"
        )
    B, T, _, H, W = completed.shape
    if masks.shape != (B, T, 1, H, W):
        raise UserError(f"{clips}: masks {_shape(masks)}: expected {(B, T, 1, H, W)}, one mask per frame")
    if len(names) != B:
        raise UserError(f"{clips}: {len(names)} names for {B} clips; give one name per clip")
    if completed.numel() == 0:
        raise UserError(f"{clips}: nothing to compare in frames {_shape(completed)}; give clips with frames")
    for index, name in enumerate(names):
        for what, frames in (("completed", completed[index]), ("true", truth[index])):
            low, high = (float(value) for value in torch.aminmax(frames))
            if math.isnan(low) or math.isnan(high):
                bad = (~torch.isfinite(frames)).flatten(1).any(1).nonzero().flatten().tolist()
                raise UserError(f"{name}: {what} frame {bad[0]} holds NaN ({len(bad)} such frames); complete it again")
            if low < -RANGE_TOLERANCE or high > 1 + RANGE_TOLERANCE:
                raise UserError(
                    f"{name}: {what} frames lie in [{low:g}, {high:g}]: expected [0, 1]; divide 8-bit levels by 255, "
                    "clamp the output of a network"
                )


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)


def _describe(frames: Tensor) -> str:
    if frames.ndim != 5:
        return f"frames {_shape(frames)}"
    return f"{frames.shape[1]} frames of {frames.shape[4]}x{frames.shape[3]}"


class VideoMetric(Metric):
    """A number about completed clips, over one signature for all metrics.

    ``update`` adds a batch of clips; ``compute`` gives the number over all of them, over all processes where
    ``torch.distributed`` runs; ``clip_values`` holds the numbers of each clip of the latest ``update``.
    """

    full_state_update = False
    is_differentiable = False

    def __init__(self) -> None:
        super().__init__()
        self.clip_values: list[Tensor] = []

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What follows the metric's name in results, one per number: a region, the flow or the weights behind it."""
        return ("",)

    def update(self, completed: Tensor, truth: Tensor, *, masks: Tensor, names: Sequence[str]) -> None:
        """Add clips.

        Args:
            completed: ``(B, T, 3, H, W)`` in [0, 1].
            truth: the same shape and range.
            masks: ``(B, T, 1, H, W)`` in {0, 1}, 1 = hole.
            names: the clip of each sample, for messages.

        Raises:
            UserError: if the clips do not fit each other or hold NaN; the message names the clip.
        """
        check_clips(completed, truth, masks=masks, names=names)
        completed, truth, masks = (tensor.detach().to(self.device) for tensor in (completed, truth, masks))
        self.clip_values = []
        for index, name in enumerate(names):
            try:
                values = self._add(completed[index], truth[index], masks[index])
            except UndefinedError as error:
                warnings.warn(f"{name}: {type(self).__name__} is undefined: {error}; left out", stacklevel=2)
                values = torch.full((len(self.suffixes),), torch.nan, dtype=torch.float64)
            self.clip_values.append(values.cpu())

    def states(self) -> dict[str, Tensor]:
        """Everything measured so far, by name, to be kept in a file and given to :meth:`merge` later."""
        states: dict[str, Tensor] = {}
        for name in self.metric_state:
            value = getattr(self, name)
            if isinstance(value, list):
                value = torch.cat(value) if value else torch.zeros(0)
            states[name] = value.detach().cpu().clone()
        return states

    def merge(self, states: Mapping[str, Tensor]) -> None:
        """Add what :meth:`states` gave, of this metric elsewhere or earlier, as if those clips were measured now.

        Raises:
            UserError: if they are states of another metric.
        """
        if set(states) != set(self.metric_state):
            raise UserError(f"{type(self).__name__}: states {sorted(states)}: expected {sorted(self.metric_state)}")
        for name, value in states.items():  # sums, and lists of what is concatenated
            current = getattr(self, name)
            if isinstance(current, list):
                setattr(self, name, [*current, value] if value.numel() else current)
            else:
                setattr(self, name, current + value.to(current.device))
        self._update_count += 1  # what update would have done: torchmetrics warns of a metric that saw nothing
        self._computed = None

    @abstractmethod
    def _add(self, completed: Tensor, truth: Tensor, masks: Tensor) -> Tensor:
        """Add one clip to the state.

        Returns:
            Its values, one per suffix, float64; NaN where the metric has none of a single clip.

        Raises:
            UndefinedError: if the metric has no value on this clip.
        """


class AveragedMetric(VideoMetric):
    """A metric that is a mean of scores of frames, of pairs of frames or of clips.

    A subclass measures one clip; sums and counts make the mean, so batches, their order and the number of processes
    change nothing but the last digits.

    Args:
        average: ``frames`` gives every score the same weight, ``videos`` every clip.
        numbers: how many numbers the metric gives, as many as suffixes.
    """

    total: Tensor
    count: Tensor
    num_clips: Tensor

    def __init__(self, *, average: Average = "frames", numbers: int = 1) -> None:
        super().__init__()
        if average not in ("frames", "videos"):
            raise UserError(f"average={average}: choose frames or videos")
        self.average = average
        self.add_state("total", torch.zeros(numbers, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(numbers, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("num_clips", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    @abstractmethod
    def scores(self, completed: Tensor, truth: Tensor, masks: Tensor) -> Tensor:
        """Measure one clip.

        Args:
            completed: ``(T, 3, H, W)`` in [0, 1].
            truth: the same shape and range.
            masks: ``(T, 1, H, W)`` in {0, 1}, 1 = hole.

        Returns:
            Scores ``(numbers, units)`` float64, a row per suffix; NaN marks a unit that has no score.

        Raises:
            UndefinedError: if no unit of the clip has one.
        """

    def _add(self, completed: Tensor, truth: Tensor, masks: Tensor) -> Tensor:
        self.num_clips += 1
        scores = self.scores(completed, truth, masks)
        defined = ~scores.isnan()
        count = defined.sum(dim=1).double()
        total = torch.where(defined, scores, 0.0).sum(dim=1)
        values = total / count  # NaN where nothing is defined
        if self.average == "videos":
            total, count = torch.where(count > 0, values, 0.0), (count > 0).double()
        self.total += total
        self.count += count
        return values

    def compute(self) -> Tensor:
        """Average over all clips.

        Returns:
            The number, or one per suffix; NaN where no clip has a score.

        Raises:
            UserError: if there were no clips.
        """
        if self.num_clips == 0:
            raise UserError(f"{type(self).__name__}: no clips to measure; give at least one")
        return (self.total / self.count).squeeze()
