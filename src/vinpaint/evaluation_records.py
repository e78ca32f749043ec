"""What an evaluation leaves of every clip as soon as it is measured, so that it can be stopped, spread and merged."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vinpaint.config import ConfigError
from vinpaint.errors import UserError
from vinpaint.evaluation_pictures import PICTURES
from vinpaint.metrics import VideoMetricCollection

MANIFEST = "evaluation.json"
RECORDS = "records"

FREE = ("resume", "progress", "processes", "paths", "pictures", "sweep", "shard")
"""Keys that may differ between the runs that make one evaluation, because no number depends on them."""


def is_free(override: str) -> bool:
    """Whether an override may differ between the starts of one job, because nothing that is measured depends on it."""
    key = override.partition("=")[0].lstrip("+~")
    return (key in FREE and key != "sweep") or key == "sweep.resume" or key.startswith(("paths.", "shard."))


@dataclass(frozen=True)
class ClipResult:
    """What was measured on one clip, or over all of them.

    Attributes:
        name: of the clip.
        num_frames: frames completed.
        hole: share of the pixels that were holes, 0 to 1.
        seconds: time the engine took, without reading the truth and measuring.
        values: the metrics by name; NaN where one has no value on a single clip.
    """

    name: str
    num_frames: int
    hole: float
    seconds: float
    values: dict[str, float]

    def row(self) -> dict[str, str | float]:
        """The result as a row of a table."""
        speed = self.num_frames / self.seconds if self.seconds else math.nan
        return {
            "clip": self.name,
            "frames": self.num_frames,
            "hole": self.hole,
            **self.values,
            "frames_per_second": speed,
        }


@dataclass(frozen=True)
class ClipRecord:
    """One measured clip: its own numbers, and the states from which numbers over all clips are made.

    Attributes:
        result: the clip's own numbers.
        states: of the metrics after this clip alone.
    """

    result: ClipResult
    states: dict[str, Tensor]


class EvaluationFolder:
    """The folder of one evaluation: what is measured (``evaluation.json``) and a record per measured clip.

    Args:
        path: the folder; made when something is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, manifest: Mapping[str, Any]) -> None:
        """Start anew: forget earlier records and results, write down what is measured.

        Args:
            manifest: plain values; ``config`` (see :func:`comparable`) and ``clips`` (their names) among them.
        """
        (self.path / RECORDS).mkdir(parents=True, exist_ok=True)
        for old in [*(self.path / RECORDS).iterdir(), self.path / "results.csv"]:
            old.unlink(missing_ok=True)
        shutil.rmtree(self.path / PICTURES, ignore_errors=True)
        write_beside(self.path / MANIFEST, json.dumps(manifest, indent=2) + "\n")

    def manifest(self) -> dict[str, Any] | None:
        """What is measured here; none where nothing was begun.

        Raises:
            UserError: if the file is damaged.
        """
        file = self.path / MANIFEST
        if not file.is_file():
            return None
        try:
            manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{file} is not JSON ({error}); begin the evaluation anew") from error
        return manifest

    def measured(self) -> tuple[int, int]:
        """Count the clips that have a record, and all clips; none of either where nothing can be gone on with."""
        try:
            manifest = self.manifest()
        except UserError:  # damaged
            return 0, 0
        names: list[str] = [] if manifest is None else manifest["clips"]
        return len(names) - len(self.missing(names)), len(names)

    def save(self, index: int, record: ClipRecord) -> None:
        """Keep the record of a clip, whole or not at all.

        Args:
            index: which clip of the evaluation.
            record: what was measured.
        """
        result = record.result
        metadata = {"clip": json.dumps({**vars(result), "values": numbers(result.values)})}
        write_beside(self._file(index), save(record.states, metadata=metadata))

    def load(self, index: int, name: str) -> ClipRecord | None:
        """Read the record of a clip; none if it was not measured yet.

        Args:
            index: which clip of the evaluation.
            name: of that clip.

        Raises:
            UserError: if the record is damaged or another clip's.
        """
        file = self._file(index)
        if not file.is_file():
            return None
        try:
            with safe_open(file, framework="pt") as opened:
                fields = json.loads(opened.metadata()["clip"])
                states = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 - no mapping
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{file} is damaged ({error}); delete it to have its clip measured again") from error
        if fields["name"] != name:
            raise UserError(f"{file} is of {fields['name']}: expected {name}; the clips have changed, begin anew")
        fields["values"] = {key: math.nan if value is None else value for key, value in fields["values"].items()}
        return ClipRecord(ClipResult(**fields), states)

    def missing(self, names: Sequence[str]) -> list[int]:
        """List the clips that have no record yet.

        Args:
            names: of all clips of the evaluation.
        """
        return [index for index, _ in enumerate(names) if not self._file(index).is_file()]

    def _file(self, index: int) -> Path:
        return self.path / RECORDS / f"{index:05d}.safetensors"


def merge(records: Sequence[ClipRecord], metrics: VideoMetricCollection) -> ClipResult:
    """Bring clips together, with each metric's own averaging.

    Args:
        records: in the order of the clips, so that the sum is the same to the last digit whoever measured them.
        metrics: those the records are of; what they hold is replaced.

    Returns:
        The numbers over all clips, under the name ``all``.
    """
    metrics.reset()
    for record in records:
        metrics.merge(record.states)
    results = [record.result for record in records]
    num_frames = sum(result.num_frames for result in results)
    return ClipResult(
        "all",
        num_frames,
        sum(result.hole * result.num_frames for result in results) / num_frames,
        sum(result.seconds for result in results),
        metrics.compute(),
    )


def comparable(config: DictConfig) -> dict[str, Any]:
    """The part of a configuration that numbers depend on, resolved to plain values."""
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    numbered = {str(key): value for key, value in plain.items() if key not in FREE}
    plain_again: dict[str, Any] = json.loads(json.dumps(numbered))  # as it will be read back: lists, text keys
    return plain_again


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], *, folder: Path) -> None:
    """Refuse to continue an evaluation with another configuration.

    Args:
        before: what :func:`comparable` gave when it began.
        now: what it gives now.
        folder: of the evaluation, for the message.

    Raises:
        ConfigError: if they differ; the message names the first key that does.
    """
    then, asked = dict(_leaves(before)), dict(_leaves(now))
    # The shortest key is the option itself rather than one of the many that follow from it.
    for key in sorted({**then, **asked}, key=lambda key: key.count(".")):
        if then.get(key) != asked.get(key):
            raise ConfigError(
                f"resume={folder} was begun with {key}={then.get(key, '(absent)')}, not {asked.get(key, '(absent)')}; "
                f"give resume={folder} alone to go on with it, or leave resume out to begin anew"
            )


def numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """JSON knows no NaN: a metric without a value is null."""
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}


def write_beside(file: Path, content: str | bytes) -> None:
    """Write a file so that under its name there is either all of it or what was there before."""
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(partial, file)
    except OSError as error:
        error.filename = error.filename or str(file)  # a full disk does not say which file had no room
        raise
    finally:
        partial.unlink(missing_ok=True)


def _leaves(node: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if not isinstance(node, Mapping):
        return [(prefix, node)]
    own: list[tuple[str, Any]] = [(prefix, {})] if prefix and not node else []
    return own + [leaf for key, value in node.items() for leaf in _leaves(value, f"{prefix}.{key}" if prefix else key)]
