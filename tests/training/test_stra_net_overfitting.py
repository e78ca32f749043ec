"""STRA-Net learns a clip by heart."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tiny_reference_training import fit
from vinpaint.batch import VideoBatch
from vinpaint.models.hifill_discriminator import HiFillDiscriminator
from vinpaint.models.stra_net import STRANet
from vinpaint.training import Optimization, STRANetModule

SIDE, NUM_FRAMES, NUM_UPDATES = 64, 4, 400


def panning_clip() -> VideoBatch:
    """A view that pans over a smooth picture by five pixels a frame, behind a hole that stands still."""
    generator = torch.Generator().manual_seed(2)
    knots = torch.rand(1, 3, 10, 10, generator=generator)
    picture = F.interpolate(knots, (96, 96), mode="bicubic", align_corners=False).clamp(0, 1)[0]
    frames = torch.stack([picture[:, 8 : 8 + SIDE, 5 * t : 5 * t + SIDE] for t in range(NUM_FRAMES)])
    masks = torch.zeros(NUM_FRAMES, 1, SIDE, SIDE)
    masks[..., 20:44, 24:42] = 1
    return VideoBatch(frames=frames.unsqueeze(0), masks=masks.unsqueeze(0), name=["panning"])


def hole_psnr(module: STRANetModule, batch: VideoBatch) -> float:
    with torch.no_grad():
        completed: Tensor = module.eval()(batch["frames"], batch["masks"])
    module.train()
    error = ((completed - batch["frames"]).square() * batch["masks"]).sum() / (3 * batch["masks"].sum())
    return float(-10 * error.log10())


@pytest.mark.slow
def test_one_clip_is_learned_by_heart() -> None:
    torch.manual_seed(0)
    network = STRANet(channels=8, alignment_channels=8, alignment_size=64)
    module = STRANetModule(
        network,
        discriminator=HiFillDiscriminator(channels=8, head="pool"),
        perceptual_weight=0.0,
        style_weight=0.0,
        spatial_start_epoch=100,  # one update an epoch
        adversarial_learning_rate=1e-3,
        optimization=Optimization(learning_rate=1e-3, betas=(0.9, 0.999), milestones=(300,)),
    )
    batch = panning_clip()
    before = hole_psnr(module, batch)
    seen = fit(module, [batch], max_steps=NUM_UPDATES, max_epochs=-1)
    after = hole_psnr(module, batch)
    alignment = [step["alignment"] for step in seen]
    assert after > before + 12
    assert sum(alignment[-20:]) < 0.2 * sum(alignment[:20])
    refinement = [step["refinement"] for step in seen if "refinement" in step]  # where anything was left over
    assert sum(refinement[-20:]) < 0.5 * sum(refinement[:20])
