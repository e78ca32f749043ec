"""What this machine can do at best: the rates that a benchmark's numbers are laid beside."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F

from vinpaint.inference.placement import Precision, resolve_precision

_SECONDS = 0.5
"""How long each rate is measured for, at least."""


def measure_roofline(device: torch.device, precision: str) -> dict[str, float]:
    """Measure a large convolution, a large matrix product and a large copy.

    Args:
        device: where.
        precision: of the numbers that are multiplied.

    Returns:
        ``convolution`` and ``product`` in GFLOP/s (2 per multiply-add), ``copy`` in GB/s read and written; medians of
        the repeats that fit into half a second.
    """
    dtype = resolve_precision(cast(Precision, precision))
    channels, side, frames, order, length = (256, 64, 8, 2048, 1 << 25)
    if device.type == "cuda":
        frames, order, length = 64, 8192, 1 << 28
    maps = torch.randn(frames, channels, side, side, device=device).to(dtype, memory_format=torch.channels_last)
    kernel = torch.randn(channels, channels, 3, 3, device=device).to(dtype, memory_format=torch.channels_last)
    left, right = (torch.randn(order, order, device=device).to(dtype) for _ in range(2))
    source = torch.randn(length, device=device)
    target = torch.empty_like(source)
    convolved = 2 * 9 * frames * channels**2 * side**2  # operations
    with torch.no_grad():
        return {
            "convolution": convolved / 1e9 / _seconds(lambda: F.conv2d(maps, kernel, padding=1), device),
            "product": 2 * order**3 / 1e9 / _seconds(lambda: left @ right, device),
            "copy": 2 * source.nbytes / 1e9 / _seconds(lambda: target.copy_(source), device),
        }


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done what it was given, so that a clock read next tells the truth."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    work()
    taken: list[float] = []
    while sum(taken) < _SECONDS or len(taken) < 3:
        synchronize(device)
        started = time.perf_counter()
        work()
        synchronize(device)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)
