"""The window engine on a GPU: the frames it gives are the CPU's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from device_agreement import tf32
from engine_promises import assert_kept, noise, wandering_box
from vinpaint.inference.inpainter import MaskedClip
from vinpaint.inference.window import WindowInpainter
from vinpaint.masks import ArrayMasks
from vinpaint.models.sttn import STTN
from vinpaint.ops.conversion import to_uint8
from vinpaint.video import ArrayClip

pytestmark = pytest.mark.gpu


def completed(device: torch.device, frames: np.ndarray, holes: np.ndarray, **options: object) -> torch.Tensor:
    torch.manual_seed(1)
    network = STTN(channels=16, num_blocks=2, init_gain=1.0)
    engine = WindowInpainter(network, device=str(device), **options)  # type: ignore[arg-type]
    with tf32(False):
        return torch.stack(list(engine.stream(MaskedClip(ArrayClip(frames), ArrayMasks(holes)))))


@pytest.mark.parametrize("size", ["native", (48, 60)])
@pytest.mark.parametrize("options", [{}, {"alignment": "affine", "residual": "temporal", "compositing": "poisson"}])
def test_frames_are_within_one_level_of_the_cpus(
    device: torch.device, size: object, options: dict[str, object]
) -> None:
    frames, holes = noise(23, 50, 63), wandering_box(23, 50, 63)
    holes[[0, 11, 12]] = False
    found = completed(device, frames, holes, size=size, **options)
    assert_kept(found, frames, holes)  # known pixels to the bit
    assert not found.is_pinned()
    expected = to_uint8(completed(torch.device("cpu"), frames, holes, size=size, **options)).astype(int)
    difference = np.abs(to_uint8(found) - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.01


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near(device: torch.device, precision: str) -> None:
    frames, holes = noise(12, 48, 96), wandering_box(12, 48, 96)
    found = completed(device, frames, holes, size="native", precision=precision)
    exact = completed(device, frames, holes, size="native")
    assert_kept(found, frames, holes)
    assert 0 < (found - exact).abs()[:, :, holes[0]].mean() * 255 < 1


def test_memory_that_runs_out_halves_the_chunk(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder that asks for more memory than any device has, whenever it is given more than two frames."""
    frames, holes = noise(12, 48, 48), wandering_box(12, 48, 48)
    expected = completed(device, frames, holes, size="native")
    encode, sizes = STTN.encode, []

    def greedy(self: STTN, clip: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        sizes.append(clip.shape[1])
        if clip.shape[1] > 2:
            if device.type != "cuda":
                raise torch.OutOfMemoryError("not enough")
            torch.empty(1 << 50, dtype=torch.uint8, device=device)
        return encode(self, clip, masks)

    monkeypatch.setattr(STTN, "encode", greedy)
    with pytest.warns(UserWarning, match="frames encoded 2 at a time"):
        found = completed(device, frames, holes, size="native", chunk_size=5)
    assert max(sizes[1:]) <= 2
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
