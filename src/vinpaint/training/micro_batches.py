"""Batches cut into parts whose gradients add up to those of the whole."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor

from vinpaint.batch import VideoBatch


def split_batch(batch: VideoBatch, size: int | None) -> list[VideoBatch]:
    """Cut a batch into micro-batches of at most ``size`` clips (``None``: leave it whole).

    Every entry is cut along its first axis, those a module or a dataset has added to the batch included.
    """
    B = len(batch["name"])
    if size is None or size >= B:
        return [batch]
    entries = cast(dict[str, Any], batch)
    return [
        cast(VideoBatch, {key: value[start : start + size] for key, value in entries.items()})
        for start in range(0, B, size)
    ]


def share_of(part: VideoBatch, batch: VideoBatch) -> float:
    """The share of a batch's clips that a part holds."""
    return len(part["name"]) / len(batch["name"])


def add_values(totals: dict[str, Tensor], terms: dict[str, Tensor]) -> None:
    """Add values to be logged to what earlier parts gave, in place and without their graphs."""
    for key, value in terms.items():
        totals[key] = totals[key] + value.detach() if key in totals else value.detach()
