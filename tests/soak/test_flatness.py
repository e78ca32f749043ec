"""A very long clip: neither time per frame nor memory grows. Run with ``nox -s soak``."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vinpaint.inference.flow_guided import FlowGuidedInpainter
from vinpaint.inference.inpainter import Inpainter, MaskedClip
from vinpaint.inference.window import WindowInpainter
from vinpaint.masks.sequences import StillMasks
from vinpaint.models.sttn import STTN
from vinpaint.video import ArrayClip

NUM_FRAMES, SHARE = 10_000, 1_000
TOLERANCE = 1.10


class EndlessClip(ArrayClip):
    """Frames that are made when they are read: a texture that drifts, another one every 700 frames."""

    def __init__(self, num_frames: int, height: int, width: int) -> None:
        super().__init__(np.zeros((1, height, width, 3), np.uint8))
        self.num_frames = num_frames
        rng = np.random.default_rng(0)
        self._textures = rng.integers(0, 256, (15, height * 2, width * 2, 3), np.uint8)

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Make frames ``(N, H, W, 3)``."""
        frames = []
        for index in indices:
            texture = self._textures[index // 700 % len(self._textures)]
            frames.append(np.roll(texture, index % 97, axis=1)[: self.height, : self.width])
        return np.stack(frames)


def tiny_sttn(**options: object) -> WindowInpainter:
    torch.manual_seed(1)
    network = STTN(channels=8, num_blocks=2, init_gain=1.0)
    return WindowInpainter(network, size="native", device="cpu", max_references=4, **options)  # type: ignore[arg-type]


ENGINES = {
    "window": tiny_sttn,
    "window_with_cuts": lambda: tiny_sttn(cut_threshold=0.3),
    "window_aligned": lambda: tiny_sttn(alignment="affine", residual="temporal", compositing="poisson"),
    "flow_guided": lambda: FlowGuidedInpainter(window=8, context=4, distances=[1, 2]),
}


def shares(engine: Inpainter, num_frames: int) -> Iterator[tuple[float, float]]:
    """Processor time per frame in ms and largest memory in MiB of every thousand frames."""
    clip = EndlessClip(num_frames, 24, 32)
    hole = np.zeros((24, 32), bool)
    hole[6:15, 8:18] = True
    peak, started = 0, time.process_time()
    for index, _ in enumerate(engine.stream(MaskedClip(clip, StillMasks(hole, num_frames=num_frames))), start=1):
        if index % 20 == 0:
            peak = max(peak, _resident())
        if index % SHARE == 0:
            now = time.process_time()
            yield 1000 * (now - started) / SHARE, peak / 2**20
            gc.collect()
            peak, started = 0, time.process_time()


def _resident() -> int:
    """Bytes of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux to tell memory")
@pytest.mark.parametrize("name", ENGINES)
def test_the_last_thousand_frames_cost_what_the_first_did(name: str) -> None:
    warm_up, *measured = shares(ENGINES[name](), NUM_FRAMES + SHARE)
    for number, (milliseconds, memory) in enumerate([warm_up, *measured]):
        print(f"{name}: frames {number * SHARE:>6}.. {milliseconds:7.3f} ms of processor time each, {memory:7.1f} MiB")
    (first_time, first_memory), (last_time, last_memory) = measured[0], measured[-1]
    assert len(measured) == NUM_FRAMES // SHARE
    assert last_time <= TOLERANCE * first_time
    assert last_memory <= TOLERANCE * first_memory
