"""STTN and T-PatchGAN against stored outputs of the public code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import golden_weights
from vinpaint.models.sttn import STTN
from vinpaint.models.sttn_attention import TransformerBlock, hole_tokens
from vinpaint.models.sttn_decoder import UpConv
from vinpaint.models.t_patch_gan import TPatchGAN

PREFIX = {"none": "", "keys": "paper_"}


def load(golden_dir: Path, name: str) -> dict[str, Any]:
    with np.load(golden_dir / f"{name}.npz") as stored:
        return dict(stored)


def stored_clip(stored: dict[str, Any], batch: int, num_frames: int) -> tuple[Tensor, Tensor]:
    pictures = golden_weights.moving_clip(int(stored["seed"]), str(stored["video_key"]), batch * num_frames, 240, 432)
    assert golden_weights.sha256(pictures) == str(stored["frames_sha256"])
    frames = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    masks = torch.from_numpy(stored["masks_u8"]).float().unsqueeze(1)
    return frames.unflatten(0, (batch, num_frames)), masks.unflatten(0, (batch, num_frames))


def close(actual: Tensor, expected: np.ndarray, tolerance: float) -> None:
    torch.testing.assert_close(actual, torch.from_numpy(expected), atol=tolerance, rtol=0)


@pytest.fixture(scope="module")
def generator(golden_dir: Path) -> STTN:
    model = STTN().eval()
    state = golden_weights.official_state(golden_dir, "sttn_generator")
    assert list(state) == list(model.state_dict()), "public optimizer states number the parameters in this order"
    model.load_state_dict(state)
    return model


def check_forward(model: STTN, golden_dir: Path, attn_mask: str, batch: int, num_frames: int) -> None:
    stored = load(golden_dir, f"sttn_forward_b{batch}_t{num_frames}")
    prefix = PREFIX[attn_mask]
    frames, masks = stored_clip(stored, batch, num_frames)
    model.attn_mask = attn_mask  # type: ignore[assignment]
    with torch.no_grad():
        features = model.encode(frames, masks)
        transformed = model.transform(features, masks)
        out = (model.decode(transformed) * 2 - 1).flatten(0, 1)
    close(features.flatten(0, 1)[:, ::8, ::6, ::6], stored["encoder_sub"], 1e-4)
    close(transformed.flatten(0, 1)[:, ::8, ::6, ::6], stored[prefix + "transformer_sub"], 1e-4)
    close(out[:, :, 1::4, 2::4], stored[prefix + "out_sub"], 1e-4)
    close(out[:, :, 96:144, 192:240], stored[prefix + "out_crop"], 1e-4)
    np.testing.assert_allclose(golden_weights.statistics(out), stored[prefix + "out_stats"], rtol=1e-4, atol=1e-4)
    if batch == 1:  # inference on features that were kept, of which two frames are decoded
        close(transformed[0][:, ::8, ::6, ::6], stored[prefix + "infer_sub"], 1e-4)
        close(out[:2, :, 1::4, 2::4], stored[prefix + "infer_decoded2_sub"], 1e-4)


@pytest.mark.parametrize("attn_mask", ["keys", pytest.param("none", marks=pytest.mark.slow)])
def test_one_clip_equals_the_public_code(generator: STTN, golden_dir: Path, attn_mask: str) -> None:
    check_forward(generator, golden_dir, attn_mask, batch=1, num_frames=3)


@pytest.mark.slow
@pytest.mark.parametrize("attn_mask", ["keys", "none"])
def test_a_batch_equals_the_public_code(generator: STTN, golden_dir: Path, attn_mask: str) -> None:
    check_forward(generator, golden_dir, attn_mask, batch=2, num_frames=2)


@pytest.fixture(scope="module")
def units(golden_dir: Path) -> dict[str, Any]:
    return load(golden_dir, "sttn_units")


@pytest.fixture(scope="module")
def block(units: dict[str, Any]) -> TransformerBlock:
    height, width = units["x"].shape[-2:]
    grids = [(height // h, width // w) for w, h in units["patchsize_wh"].tolist()]  # stored as width x height
    block = TransformerBlock(int(units["hidden"]), grids).eval()
    template = block.state_dict()
    assert list(template) == list(units["state_keys"])
    block.load_state_dict(golden_weights.draw_state(template, int(units["seed"]), {}))
    return block


@pytest.mark.parametrize("attn_mask", ["keys", "none"])
def test_a_small_block_equals_the_public_code(block: TransformerBlock, units: dict[str, Any], attn_mask: str) -> None:
    shape = (int(units["b"]), int(units["t"]))
    features = torch.from_numpy(units["x"]).unflatten(0, shape)
    masks = torch.from_numpy(units["mask"]).unflatten(0, shape)
    flags = [hole_tokens(masks, grid=grid) for grid in block.attention.grids]
    for head, found in enumerate(flags):
        assert np.array_equal(found.numpy(), units[f"patch_masked_{head}"])
    hidden, prefix = (flags, "paper_") if attn_mask == "keys" else (None, "")
    record: list[Tensor] = []
    with torch.no_grad():
        attended = block.attention(features, hidden=hidden, record=record)
        out = block(features, hidden=hidden)
    close(attended.flatten(0, 1), units[prefix + "attention_out"], 1e-5)
    close(out.flatten(0, 1), units[prefix + "block_out"], 1e-5)
    for head, weights in enumerate(record):
        close(weights, units[f"{prefix}attn_probs_{head}"], 1e-5)


def test_the_doubling_convolution_equals_the_public_code(units: dict[str, Any]) -> None:
    layer = UpConv(6, 5)
    layer.load_state_dict(golden_weights.draw_state(layer.state_dict(), int(units["seed"]), {}))
    close(layer(torch.from_numpy(units["deconv_x"])).detach(), units["deconv_out"], 1e-5)


@pytest.fixture
def discriminator(golden_dir: Path) -> TPatchGAN:
    model = TPatchGAN()
    model.load_state_dict(golden_weights.official_state(golden_dir, "sttn_discriminator"))
    return model


def discriminator_clip(stored: dict[str, Any]) -> Tensor:
    num_frames = int(stored["frames_shape"][0])
    pictures = golden_weights.moving_clip(int(stored["seed"]), str(stored["video_key"]), num_frames, 240, 432)
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().unsqueeze(0) / 255


def test_discriminator_equals_the_public_code(discriminator: TPatchGAN, golden_dir: Path) -> None:
    stored = load(golden_dir, "sttn_discriminator_n10")
    clip = discriminator_clip(stored)
    with torch.no_grad():
        close(discriminator.eval()(clip), stored["out"], 1e-5)


@pytest.mark.slow
def test_discriminator_in_training_equals_the_public_code(discriminator: TPatchGAN, golden_dir: Path) -> None:
    stored = load(golden_dir, "sttn_discriminator_n10")
    clip = discriminator_clip(stored)
    discriminator.train()
    for key, vector in discriminator.state_dict().items():
        if key.endswith("weight_u"):
            generator = golden_weights.keyed_generator(int(stored["seed"]), f"train:{key}")
            vector.copy_(F.normalize(torch.randn(vector.shape, generator=generator), dim=0))
    with torch.no_grad():  # one power iteration before each of two uses
        close(discriminator(clip), stored["train_out1"], 1e-5)
        close(discriminator(clip), stored["train_out2"], 1e-5)
    for key, vector in discriminator.state_dict().items():
        if key.endswith("weight_u"):
            close(vector, stored[f"train_u_after2:{key}"], 1e-5)


def test_discriminator_joins_a_batch_into_one_clip_as_the_public_code_does(
    discriminator: TPatchGAN, golden_dir: Path
) -> None:
    clip = discriminator_clip(load(golden_dir, "sttn_discriminator_n10"))[..., :64, :64]
    discriminator.eval()
    with torch.no_grad():
        one = discriminator(clip)
        discriminator.concat_batch_time = True
        two = discriminator(clip.unflatten(1, (2, 5)).squeeze(0))
    torch.testing.assert_close(two.flatten(0, 1), one[0])
