"""Several metrics as one: what a training run logs and an evaluation tabulates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from vinpaint.errors import UserError
from vinpaint.metrics.base import VideoMetric


class VideoMetricCollection(nn.Module):
    """Metrics under the names that results carry.

    A metric with one number gives one result under its own name; one with several, or one whose number depends on a
    flow network or on weights, appends that to the name (``warp_error_dis``, ``warp_error_dis_hole``).

    Args:
        metrics: name to metric; may be empty.

    Raises:
        UserError: if a value is no metric.
    """

    def __init__(self, metrics: Mapping[str, VideoMetric]) -> None:
        super().__init__()
        for name, metric in metrics.items():
            if not isinstance(metric, VideoMetric):
                raise UserError(f"metrics.{name} is a {type(metric).__name__}: expected a VideoMetric with a _target_")
        self.metrics = nn.ModuleDict(dict(metrics))

    @property
    def names(self) -> list[str]:
        """The names of all results, in order."""
        return [name for name, _ in self._numbers()]

    @property
    def higher_is_better(self) -> dict[str, bool]:
        """For every result, which way is better."""
        return {name: bool(metric.higher_is_better) for name, metric in self._numbers()}

    def update(
        self, completed: Tensor, truth: Tensor, *, masks: Tensor, names: Sequence[str]
    ) -> list[dict[str, float]]:
        """Add clips to every metric.

        Args:
            completed: ``(B, T, 3, H, W)`` in [0, 1].
            truth: the same shape and range.
            masks: ``(B, T, 1, H, W)`` in {0, 1}, 1 = hole.
            names: the clip of each sample.

        Returns:
            The results of each clip by itself; NaN where a metric has none, such as a distance between sets.

        Raises:
            UserError: if the clips do not fit each other or hold NaN; the message names the clip.
        """
        clips: list[dict[str, float]] = [{} for _ in names]
        for name, metric in self._metrics():
            metric.update(completed, truth, masks=masks, names=names)
            for clip, values in zip(clips, metric.clip_values, strict=True):
                clip.update(_named(name, metric, values))
        return clips

    def compute(self) -> dict[str, float]:
        """Give every result over all clips, with each metric's own averaging, and over all processes.

        Raises:
            UserError: if there were no clips.
        """
        results: dict[str, float] = {}
        for name, metric in self._metrics():
            results.update(_named(name, metric, metric.compute()))
        return results

    def states(self) -> dict[str, Tensor]:
        """Everything measured so far, by ``<metric>.<state>``; :meth:`merge` takes it back."""
        return {f"{name}.{key}": value for name, metric in self._metrics() for key, value in metric.states().items()}

    def merge(self, states: Mapping[str, Tensor]) -> None:
        """Add what :meth:`states` of an equal collection gave, as if its clips were measured now.

        Raises:
            UserError: if they are states of other metrics.
        """
        parts: dict[str, dict[str, Tensor]] = {name: {} for name, _ in self._metrics()}
        for key, value in states.items():
            name, _, state = key.rpartition(".")
            if name not in parts:
                raise UserError(f"states of {name}: expected those of {', '.join(parts) or 'no metric'}")
            parts[name][state] = value
        for name, metric in self._metrics():
            metric.merge(parts[name])

    def reset(self) -> None:
        """Forget all clips."""
        for _, metric in self._metrics():
            metric.reset()

    def _metrics(self) -> list[tuple[str, VideoMetric]]:
        return [(name, metric) for name, metric in self.metrics.items() if isinstance(metric, VideoMetric)]

    def _numbers(self) -> list[tuple[str, VideoMetric]]:
        return [(name + suffix, metric) for name, metric in self._metrics() for suffix in metric.suffixes]


def _named(name: str, metric: VideoMetric, values: Tensor) -> dict[str, float]:
    return dict(zip((name + suffix for suffix in metric.suffixes), values.reshape(-1).tolist(), strict=True))
