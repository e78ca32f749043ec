from __future__ import annotations

import pytest
import torch

from vinpaint.losses import gram_matrix, perceptual_and_style
from vinpaint.models.vgg import VGG16Features


def test_hand_worked_gram_matrix() -> None:
    features = torch.tensor([[[1.0, 2.0]], [[0.0, 3.0]]]).view(1, 2, 1, 2)
    expected = torch.tensor([[5.0, 6.0], [6.0, 9.0]]) / 4
    torch.testing.assert_close(gram_matrix(features)[0], expected)


def test_hand_worked_terms() -> None:
    features = lambda x: [x[:, :1] * 2]  # noqa: E731
    completed, frames = torch.full((1, 1, 3, 2, 2), 0.5), torch.zeros(1, 1, 3, 2, 2)
    perceptual, style = perceptual_and_style(features, completed, frames)
    assert perceptual.item() == pytest.approx(1.0)
    assert style.item() == pytest.approx(1.0)  # Gram of ones: 4 / (1 * 2 * 2)


def test_equal_clips_cost_nothing_and_moved_textures_keep_their_style() -> None:
    vgg = VGG16Features(2)
    frames = torch.rand(1, 2, 3, 16, 16)
    assert [term.item() for term in perceptual_and_style(vgg, frames, frames)] == [0.0, 0.0]
    shift = lambda x: [x]  # noqa: E731
    perceptual, style = perceptual_and_style(shift, frames.roll(3, dims=-1), frames)
    assert perceptual > 0.1
    assert style.item() == pytest.approx(0.0, abs=1e-6)


def test_gradient_reaches_the_completed_clip_only() -> None:
    vgg = VGG16Features(3)
    completed, frames = (torch.rand(1, 2, 3, 16, 16, requires_grad=True) for _ in range(2))
    sum(perceptual_and_style(vgg, completed, frames)).backward()
    assert completed.grad.abs().sum() > 0
    assert frames.grad is None
    assert all(p.grad is None for p in vgg.parameters())


def test_layers_are_added_or_averaged() -> None:
    vgg = VGG16Features(3)
    completed, frames = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    added = perceptual_and_style(vgg, completed, frames)
    averaged = perceptual_and_style(vgg, completed, frames, over_layers="mean")
    for whole, share in zip(added, averaged, strict=True):
        torch.testing.assert_close(share, whole / 3)
    with pytest.raises(ValueError, match="over_layers='max': choose one of sum, mean"):
        perceptual_and_style(vgg, completed, frames, over_layers="max")
