"""One iteration of the public training code, number for number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from torch.optim import Optimizer

from golden_weights import box_masks, moving_clip, official_state, sha256
from vinpaint.batch import VideoBatch
from vinpaint.models.sttn import STTN
from vinpaint.models.t_patch_gan import TPatchGAN
from vinpaint.training import STTNModule


class Record(L.Callback):
    """Gradients when each optimizer steps, and what the step returned."""

    def __init__(self) -> None:
        self.gradients: dict[str, torch.Tensor] = {}
        self.logged: dict[str, float] = {}

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: Any, optimizer: Optimizer) -> None:
        stepped = {id(p) for group in optimizer.param_groups for p in group["params"]}
        for name, parameter in pl_module.named_parameters():
            if id(parameter) in stepped:
                self.gradients[name] = parameter.grad.detach().clone()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, *_: Any) -> None:
        self.logged = {key: float(value) for key, value in outputs.items()}


@pytest.mark.slow
def test_losses_gradients_and_spectral_norms_are_those_of_the_public_code(golden_dir: Path) -> None:
    stored = np.load(golden_dir / "sttn_train_step_b1_t2.npz")
    seed, key = int(stored["seed"]), str(stored["video_key"])
    clip = moving_clip(seed, key, 2, 240, 432)
    holes = box_masks(seed, key, 2, 240, 432, fractions=stored["mask_fractions"].tolist())
    assert sha256(clip) == str(stored["frames_sha256"])
    frames = torch.from_numpy(clip).permute(0, 3, 1, 2).float().div(255)[None]
    batch = VideoBatch(frames=frames, masks=torch.from_numpy(holes).float()[None, :, None], name=["clip"])

    generator, discriminator = STTN(attn_mask="none"), TPatchGAN()
    generator.load_state_dict(official_state(golden_dir, "sttn_generator"))
    discriminator.load_state_dict(official_state(golden_dir, "sttn_discriminator"))
    module, record = STTNModule(generator, discriminator=discriminator), Record()
    trainer = L.Trainer(
        accelerator="cpu", max_steps=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[record],
    )  # fmt: skip
    trainer.fit(module, torch.utils.data.DataLoader([batch], batch_size=None))

    names = {
        "dis_vid_real": "discriminator_real",
        "dis_vid_fake": "discriminator_fake",
        "gan_loss": "adversarial",
        "hole_loss": "hole",
        "valid_loss": "valid",
    }
    for theirs, ours in names.items():
        tolerance = 5e-6 if theirs == "gan_loss" else 1e-5
        assert record.logged[ours] == pytest.approx(float(stored[f"loss/{theirs}"]), abs=tolerance), ours

    for player, prefix in (("G", "generator."), ("D", "discriminator.")):
        assert sorted(stored[f"grad{player}_names"]) == sorted(
            name.removeprefix(prefix) for name in record.gradients if name.startswith(prefix)
        )
        for name, norm in zip(stored[f"grad{player}_names"], stored[f"grad{player}_l2"], strict=True):
            found = record.gradients[prefix + str(name)].double().norm().item()
            if "key_embedding.bias" in str(name) or name == "conv.10.bias":
                assert found < 1e-5  # zero in exact arithmetic
            else:
                assert found == pytest.approx(float(norm), rel=1e-3), name
    first = record.gradients["generator.encoder.0.weight"]
    expected = torch.from_numpy(stored["gradG_encoder0_weight"])
    torch.testing.assert_close(first, expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())

    after = discriminator.state_dict()
    for name, norm in zip(stored["D_after_keys"], stored["D_after_l2"], strict=True):
        assert after[str(name)].double().norm().item() == pytest.approx(float(norm), rel=1e-5, abs=1e-5), name
    for name in (key for key in stored.files if key.startswith("D_after:")):
        # Adam's first step is the sign of the gradient: where that is noise, a weight moves by 1e-4 either way.
        torch.testing.assert_close(
            after[name.removeprefix("D_after:")], torch.from_numpy(stored[name]), atol=1e-4, rtol=0
        )
