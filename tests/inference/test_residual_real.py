"""Residual aggregation on real clips."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vinpaint.inference.flow_guided import FlowGuidedInpainter
from vinpaint.inference.inpainter import MaskedClip
from vinpaint.inference.residual_aggregation import ResidualAggregation
from vinpaint.masks import ArrayMasks, open_masks
from vinpaint.ops.conversion import to_tensor
from vinpaint.video import ArrayClip, open_clip


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "gain"), [("calendar", 1.0), ("field", 0.1)])  # dB
def test_detail_of_other_frames_beats_enlarging(real_data_dir: Path, name: str, gain: float) -> None:
    folder = real_data_dir / "dev" / name
    with open_clip(folder / "frames") as clip:
        masks = open_masks(folder / "masks_imposed", num_frames=clip.num_frames, height=clip.height, width=clip.width)
        frames, holes = clip.read(range(10)), masks.read(range(10))
    errors = []
    for residual in ("none", "temporal"):
        engine = ResidualAggregation(FlowGuidedInpainter(), lr_scale=2, residual=residual)  # type: ignore[arg-type]
        completed = torch.stack(list(engine.stream(MaskedClip(ArrayClip(frames), ArrayMasks(holes)))))
        squared = (completed - to_tensor(frames)).square().mean(1)[torch.from_numpy(holes)]
        errors.append(float(-10 * squared.mean().log10()))
    assert errors[1] > errors[0] + gain
