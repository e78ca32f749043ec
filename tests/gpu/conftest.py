"""The device under test: a GPU, or what ``VINPAINT_TEST_DEVICE`` names (``cpu`` tries the tests themselves out)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

Rows = list[tuple[str, str, float, float]]


@pytest.fixture(scope="session")
def device() -> torch.device:
    found = torch.device(os.environ.get("VINPAINT_TEST_DEVICE", "cuda"))
    if found.type == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return found


@pytest.fixture(scope="session")
def errors(device: torch.device) -> Iterator[Rows]:
    """What was measured: name, precision, relative error, limit; printed at the end (``-s``)."""
    rows: Rows = []
    yield rows
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"\n\nAgainst float64 on the CPU: {name}, torch {torch.__version__}\n")
    print("| what | precision | relative error | limit |\n| --- | --- | ---: | ---: |")
    for what, precision, error, limit in rows:
        print(f"| {what} | {precision} | {error:.1e} | {limit:.0e} |")
