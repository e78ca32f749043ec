"""T-PatchGAN: what it promises whatever its weights are."""

from __future__ import annotations

import copy

import pytest
import torch

from vinpaint.models.t_patch_gan import SpectralNormConv3d, TPatchGAN


def test_parameter_counts_are_the_published_codes() -> None:
    model = TPatchGAN()
    assert sum(value.numel() for value in model.parameters()) == 17_832_256
    assert sum(value.numel() for value in model.buffers()) == 53_985
    assert len(model.state_dict()) == 17


def test_a_432x240_frame_has_4x7_patches() -> None:
    model = TPatchGAN(channels=2)
    with torch.no_grad():
        assert model(torch.rand(2, 3, 3, 240, 432)).shape == (2, 3, 8, 4, 7)


def test_clips_of_a_batch_are_scored_apart() -> None:
    model = TPatchGAN(channels=4).eval()
    clips = torch.rand(2, 3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(clips)[1:], model(clips[1:]))
        model.concat_batch_time = True
        assert not torch.allclose(model(clips)[1:], model(clips[1:]))


def test_normalised_weight_has_spectral_norm_one_after_enough_forwards() -> None:
    layer = SpectralNormConv3d(3, 8, kernel_size=(3, 5, 5), stride=(1, 2, 2), padding=(1, 2, 2)).train()
    for _ in range(200):
        weight = layer.normalised_weight()
    assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-4)
    layer.eval()
    before = layer.weight_u.clone()
    torch.testing.assert_close(layer.normalised_weight(), weight)
    assert torch.equal(layer.weight_u, before)


def test_normalisation_agrees_with_pytorch_own() -> None:
    layer = SpectralNormConv3d(3, 8, kernel_size=(3, 5, 5), stride=(1, 2, 2), padding=(1, 2, 2)).eval()
    theirs = torch.nn.Conv3d(3, 8, (3, 5, 5), (1, 2, 2), (1, 2, 2), bias=False)
    theirs = torch.nn.utils.spectral_norm(theirs).eval()
    theirs.load_state_dict(layer.state_dict(), strict=False)
    clips = torch.rand(1, 3, 4, 9, 9)
    torch.testing.assert_close(layer(clips), theirs(clips))


def test_last_convolution_is_normalised_on_request() -> None:
    assert "conv.10.weight" in TPatchGAN(channels=2).state_dict()
    keys = TPatchGAN(channels=2, sn_last=True).state_dict()
    assert {"conv.10.weight_orig", "conv.10.weight_u", "conv.10.weight_v", "conv.10.bias"} <= set(keys)


def test_several_forwards_before_one_backward_are_allowed() -> None:
    model = TPatchGAN(channels=2).train()
    real, fake = torch.rand(2, 1, 2, 3, 24, 24)
    (model(real).relu().mean() + model(fake).mean()).backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in model.parameters())


def test_it_can_be_copied_after_a_forward() -> None:
    model = TPatchGAN(channels=2).train()
    model(torch.rand(1, 2, 3, 24, 24))
    clip = torch.rand(1, 2, 3, 24, 24)
    assert torch.equal(copy.deepcopy(model)(clip), model(clip))


def test_half_precision_regions_leave_the_norm_exact() -> None:
    model = TPatchGAN(channels=4).eval()
    clip = torch.rand(1, 2, 3, 24, 24)
    layer = model.conv[0]
    with torch.no_grad():
        expected, scores = layer.normalised_weight(), model(clip)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(layer.normalised_weight(), expected)
            torch.testing.assert_close(model(clip).float(), scores, atol=0.02 * scores.abs().max().item(), rtol=0)


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match=r"frames \(2, 3, 24, 24\): expected \(B, T, 3, H, W\)"):
        TPatchGAN(channels=2)(torch.rand(2, 3, 24, 24))
