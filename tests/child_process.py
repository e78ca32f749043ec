"""What a test runs in a child process: a spawned one can import this file, but not the test's own."""

from __future__ import annotations

from typing import Any

from video.conftest import numbers_of
from vinpaint.video import ClipReader


def read_numbers(clip: ClipReader, places: list[int], answer: Any) -> None:
    """Put the numbers of the frames at ``places`` into the queue ``answer``."""
    answer.put(numbers_of(clip.read(places)))
