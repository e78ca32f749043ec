"""Fixtures shared by all tests: where goldens and real clips are found (tests that need them are skipped elsewhere)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# One thread per test process: threads that wait for each other on busy cores make a step up to twenty times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import torch

cv2.setNumThreads(1)
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def _folder_from(variable: str, what: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set: it points to {what}")
    folder = Path(value).expanduser().resolve()
    if not folder.is_dir():
        pytest.fail(f"{variable}={value}: no such folder")
    return folder


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Folder of stored outputs of the public code."""
    return _folder_from("VINPAINT_GOLDEN", "stored outputs of the public code under seeded weights")


@pytest.fixture(scope="session")
def real_data_dir() -> Path:
    """Folder of real clips with masks."""
    return _folder_from("VINPAINT_REAL_DATA", "real clips with masks")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test starts from the same random state, whatever ran before it."""
    torch.manual_seed(0)
