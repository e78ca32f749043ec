from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import correlate

from vinpaint import HiFillDiscriminator
from vinpaint.errors import UserError
from vinpaint.losses import gradient_penalty


def test_parameter_count_is_that_of_the_public_code() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in HiFillDiscriminator().parameters()) == 5_961_601


def test_every_picture_gets_one_score_on_its_own() -> None:
    torch.manual_seed(0)
    model = HiFillDiscriminator(channels=4, size=(64, 96))
    frames = torch.rand(2, 3, 3, 64, 96)
    scores = model(frames)
    assert scores.shape == (2, 3)
    torch.testing.assert_close(model(frames[1:, 2]), scores[1:, 2])
    assert not torch.allclose(scores[0, 0], scores[0, 1])


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 10)])
def test_padding_is_that_of_same_convolutions(height: int, width: int) -> None:
    model = HiFillDiscriminator(channels=2, head="pool")
    layer, pictures = model.convolutions[0], torch.rand(1, 3, height, width)
    seen: list[torch.Tensor] = []
    layer.register_forward_hook(lambda _, __, out: seen.append(out))
    with torch.no_grad():
        model(pictures)
    # SciPy's "same" of stride 1 is centred; TensorFlow takes every second of it, from 1 where a side is even
    full = sum(
        correlate(np.pad(pictures[0, c].numpy() * 2 - 1, 2), layer.weight[0, c].detach().numpy(), mode="valid")
        for c in range(3)
    )
    expected = full[1 - height % 2 :: 2, 1 - width % 2 :: 2]
    assert seen[0].shape[-2:] == (-(-height // 2), -(-width // 2))
    np.testing.assert_allclose(seen[0][0, 0].numpy(), expected, atol=1e-5)


def test_pooling_takes_any_size_and_both_heads_pass_gradients() -> None:
    torch.manual_seed(0)
    for model in (HiFillDiscriminator(channels=4, head="pool"), HiFillDiscriminator(channels=4, size=(64, 64))):
        frames = torch.rand(2, 3, 64, 64, requires_grad=True)
        model(frames).sum().backward()
        assert frames.grad.abs().sum() > 0
        gradient_penalty(model, torch.rand(2, 1, 3, 64, 64), torch.rand(2, 1, 3, 64, 64)).backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    assert HiFillDiscriminator(channels=4, head="pool")(torch.rand(1, 3, 33, 50)).shape == (1,)


def test_gradients_in_bf16_are_those_of_float32_but_for_rounding() -> None:
    torch.manual_seed(0)
    model, frames = HiFillDiscriminator(channels=16, head="pool"), torch.rand(2, 3, 64, 64)
    gradients = []
    for enabled in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = model(frames).float().mean()
        loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    # six roundings turn some leaky ReLUs; memory that was never written would be off by far more
    assert (gradients[1] - gradients[0]).norm() < 0.25 * gradients[0].norm()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"head": "max"}, "choose one of linear, pool"), ({"size": (64,)}, r"size=\(64,\): expected \[height, width\]")],
)
def test_a_setting_out_of_range_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        HiFillDiscriminator(**options)


def test_a_picture_of_another_size_is_refused_with_the_remedy() -> None:
    model = HiFillDiscriminator(channels=2, size=(64, 64))
    with pytest.raises(ValueError, match=r"frames 32x64: this discriminator scores 64x64; set its size, or head=pool"):
        model(torch.rand(1, 3, 32, 64))
    with pytest.raises(ValueError, match=r"frames \(1, 4, 64, 64\)"):
        model(torch.rand(1, 4, 64, 64))
