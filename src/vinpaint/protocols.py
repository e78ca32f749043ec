"""Published tables, and what has to hold before a number may be laid beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vinpaint.config import ConfigError
from vinpaint.evaluation_records import numbers
from vinpaint.evaluation_tables import markdown
from vinpaint.models.untrained import RANDOM_WEIGHTS


class Condition:
    """A setting that numbers have to be made with to be comparable.

    Args:
        key: dotted name in the composed configuration. A key below ``metrics.<name>.`` concerns that metric alone. A
            configuration without the key (a metric that is left out, an engine without that option) cannot break it.
        allowed: the values that will do.
        reason: what another value means, in a few words.
    """

    def __init__(self, key: str, *, allowed: Sequence[Any], reason: str) -> None:
        self.key = key
        self.allowed = list(allowed)
        self.reason = reason

    @property
    def metric(self) -> str | None:
        """The one metric that is concerned, or none for all."""
        parts = self.key.split(".")
        return parts[1] if parts[0] == "metrics" and len(parts) > 2 else None

    def broken(self, config: Mapping[str, Any]) -> str | None:
        """Say how a configuration breaks the condition; none if it does not."""
        value: Any = config
        for part in self.key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return None
            value = value[part]
        if value in self.allowed:
            return None
        wanted = " or ".join(_plain(choice) for choice in self.allowed)
        return f"{self.reason} ({self.key}={_plain(value)}, published {wanted})"


class Benchmark:
    """One part of a published table: a data set, or a size.

    Args:
        name: as the table has it.
        num_clips: how many clips the published numbers are over.
        clips: their names, if these are known.
        conditions: further settings of this part.
        rows: published rows: ``model``, ``values`` by metric in this library's units, ``source``.
    """

    def __init__(
        self,
        name: str,
        *,
        num_clips: int,
        rows: Sequence[Mapping[str, Any]],
        clips: Sequence[str] | None = None,
        conditions: Sequence[Condition] = (),
    ) -> None:
        for row in rows:
            if set(row) != {"model", "values", "source"}:
                raise ConfigError(f"a row of {name} has {', '.join(row)}: expected model, values, source")
        self.name = name
        self.num_clips = num_clips
        self.clips = clips
        self.conditions = list(conditions)
        self.rows = [dict(row) for row in rows]

    def other_clips(self, names: Sequence[str]) -> str | None:
        """Say how the clips that were measured differ from the published ones; none if nothing tells them apart."""
        if self.clips is not None and (strange := sorted(set(names) - set(self.clips))):
            some = ", ".join(strange[:3]) + (", …" if len(strange) > 3 else "")
            return f"other clips ({len(names)}, among them {some}; published {self.num_clips} of {self.name})"
        if len(names) != self.num_clips:
            return f"another number of clips ({len(names)}, published {self.num_clips} of {self.name})"
        return None


@dataclass(frozen=True)
class Comparison:
    """A run beside a published table.

    Attributes:
        protocol: its name.
        benchmark: the part of its table that is nearest to the run.
        rows: published rows, then the run's own; a value is none where the metric was not measured, or not alike.
        reasons: why nothing may be compared; none of them if something may.
        metric_reasons: why one metric may not, by its name.
        unchecked: what the numbers depend on and the library cannot see.
        remarks: what to know when reading the published rows.
    """

    protocol: str
    benchmark: str
    rows: list[dict[str, Any]]
    reasons: list[str]
    metric_reasons: dict[str, list[str]]
    unchecked: list[str]
    remarks: list[str]

    @property
    def comparable(self) -> list[str]:
        """The metrics in which no condition is broken."""
        ours = self.rows[-1]["values"]
        return [] if self.reasons else [m for m, v in ours.items() if v is not None and m not in self.metric_reasons]

    def text(self, higher_is_better: Mapping[str, bool]) -> str:
        """Lay the published rows and ours out, and say below in what they may be compared, or why not.

        Args:
            higher_is_better: by metric.
        """
        rows = [{"model": row["model"], **row["values"], "source": row["source"]} for row in self.rows]
        lines = [f"{self.protocol}, {self.benchmark}: published rows and this run", ""]
        lines += [markdown(rows, higher_is_better=higher_is_better), ""]
        if self.comparable:
            lines.append(f"Comparable in {', '.join(self.comparable)}, as far as the settings tell.")
            lines += [f"Not checked: {what}." for what in self.unchecked]
        for reason in self.reasons:
            lines.append(f"Not comparable: {reason}.")
        for metric, reasons in self.metric_reasons.items():
            lines += [f"Not comparable in {metric}: {reason}." for reason in reasons]
        return "\n".join([*lines, *(f"Note: {remark}." for remark in self.remarks)])

    def record(self) -> dict[str, Any]:
        """The comparison as plain values."""
        rows = [{**row, "values": numbers(row["values"])} for row in self.rows]
        return {**vars(self), "rows": rows, "comparable": self.comparable}


class Protocol:
    """How published numbers were made, and those numbers.

    Args:
        name: of the option.
        summary: one line.
        metrics: the published metrics, and how each was measured.
        conditions: settings that hold for every part of the table.
        benchmarks: the parts of the table.
        barriers: why no number made elsewhere is comparable, whatever the settings.
        unchecked: what the numbers depend on and no setting shows.
        remarks: what to know when reading the published rows.
    """

    def __init__(
        self,
        name: str,
        *,
        summary: str,
        metrics: Mapping[str, str],
        benchmarks: Sequence[Benchmark],
        conditions: Sequence[Condition] = (),
        barriers: Sequence[str] = (),
        unchecked: Sequence[str] = (),
        remarks: Sequence[str] = (),
    ) -> None:
        if not benchmarks:
            raise ConfigError(f"protocol {name} has no benchmarks: give at least one part of its table")
        self.name = name
        self.summary = summary
        self.metrics = dict(metrics)
        self.benchmarks = list(benchmarks)
        self.conditions = list(conditions)
        self.barriers = list(barriers)
        self.unchecked = list(unchecked)
        self.remarks = list(remarks)

    def compare(
        self, config: Mapping[str, Any], values: Mapping[str, float], *, model: str, clips: Sequence[str]
    ) -> Comparison:
        """Lay a run beside the part of the table that it is nearest to.

        Args:
            config: the composed configuration, plain values.
            values: the run's results over all clips.
            model: what to call the run's row.
            clips: the names of the clips that were measured.
        """
        data = config.get("data", {})
        if config.get("split") == "test" and data.get("test") is not None:
            config = {**config, "data": {**data, "val": data["test"]}}  # conditions are written for data.val
        options = [self._against(benchmark, config, clips) for benchmark in self.benchmarks]
        reasons, benchmark, by_metric = min(options, key=lambda option: len(option[0]))
        ours: dict[str, float | None] = {}
        for metric, how in self.metrics.items():
            ours[metric] = values.get(metric)
            measured = [name for name in values if name.startswith(f"{metric}_") and name.count("_hole") == 0]
            if metric not in values and measured:
                by_metric.setdefault(metric, []).append(f"measured as {', '.join(measured)}, published {how}")
        published = [{**row, "values": {m: row["values"].get(m) for m in self.metrics}} for row in benchmark.rows]
        own = {"model": model, "values": ours, "source": "this run"}
        return Comparison(
            self.name, benchmark.name, [*published, own], reasons, by_metric, self.unchecked, self.remarks
        )

    def _against(
        self, benchmark: Benchmark, config: Mapping[str, Any], clips: Sequence[str]
    ) -> tuple[list[str], Benchmark, dict[str, list[str]]]:
        reasons, by_metric = list(self.barriers), dict[str, list[str]]()
        if (clips_differ := benchmark.other_clips(clips)) is not None:
            reasons.append(clips_differ)
        for condition in [*benchmark.conditions, *self.conditions]:
            if (reason := condition.broken(config)) is None:
                continue
            if condition.metric is None:
                reasons.append(reason)
            elif condition.metric in self.metrics:
                by_metric.setdefault(condition.metric, []).append(reason)
        if config.get("weights") == RANDOM_WEIGHTS:
            reasons.append("the network is untrained (weights=random)")
        return reasons, benchmark, by_metric


def _plain(value: Any) -> str:
    return "null" if value is None else str(value)
