"""The fusion network: what it starts as, what it may not see, and the means it mixes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from vinpaint.errors import UserError
from vinpaint.models.fusion import BLURS, NUM_MEANS, Candidates, FusionNetwork, blurred, means_of
from vinpaint.models.pretrained import load_pretrained


def candidates(num_frames: int = 2, num_candidates: int = 4, height: int = 19, width: int = 21) -> Candidates:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.rand(num_frames, *shape, generator=generator)

    hole = (draw(1, height, width) > 0.5).float()
    shares = draw(num_candidates, height, width)
    shares[:, 1:] *= (draw(num_candidates - 1, height, width) > 0.3).float()
    return Candidates(
        image=draw(3, height, width) * (1 - hole),
        hole=hole,
        missing=hole * (draw(1, height, width) > 0.8).float(),
        plain=draw(3, height, width),
        colours=draw(num_candidates, 3, height, width),
        shares=shares,
        offsets=torch.tensor([0.0, -1, 1, -8])[:num_candidates].expand(num_frames, -1),
    )


def trained(*, depth: int = 3) -> FusionNetwork:
    torch.manual_seed(1)
    network = FusionNetwork(channels=8, depth=depth)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network.eval()


def test_an_untrained_network_gives_the_plain_mean() -> None:
    offered = candidates()
    completed = FusionNetwork(channels=8)(offered)
    wanted = torch.where(offered["hole"] > 0, offered["plain"], offered["image"])
    assert torch.equal(completed, wanted)


@torch.inference_mode()
def test_known_pixels_are_untouched() -> None:
    offered = candidates()
    completed = trained()(offered)
    outside = (offered["hole"] == 0).expand_as(completed)
    assert torch.equal(completed[outside], offered["image"][outside])
    assert not torch.equal(completed, torch.where(offered["hole"] > 0, offered["plain"], offered["image"]))


@torch.inference_mode()
def test_what_no_frame_shows_is_left_as_it_was_made_up() -> None:
    offered = candidates()
    changed = (trained()(offered) != offered["plain"]).any(dim=1, keepdim=True)
    assert not changed[offered["missing"] > 0].any()
    assert changed[(offered["hole"] > 0) & (offered["missing"] == 0)].all()


@torch.inference_mode()
def test_what_shows_nothing_has_no_influence() -> None:
    offered = candidates()
    other = Candidates(**{**offered, "colours": offered["colours"].clone()})  # type: ignore[typeddict-item]
    hidden = (offered["shares"] == 0).unsqueeze(2).expand_as(offered["colours"])
    assert hidden.any()
    other["colours"][hidden] = 0.123
    torch.testing.assert_close(trained()(other), trained()(offered))


@torch.inference_mode()
def test_the_order_of_sources_does_not_matter() -> None:
    offered = candidates()
    order = torch.tensor([2, 0, 3, 1])
    shuffled = {key: offered[key][:, order] for key in ("colours", "shares", "offsets")}  # type: ignore[literal-required]
    other = Candidates(**{**offered, **shuffled})  # type: ignore[typeddict-item]
    torch.testing.assert_close(trained()(other), trained()(offered))


@torch.inference_mode()
def test_weights_and_forward_say_the_same() -> None:
    offered = candidates()
    network = trained()
    coefficients, residual = network.weigh(offered)
    assert coefficients.shape == (2, NUM_MEANS + len(BLURS), 19, 21)
    means, _ = means_of(offered["colours"], offered["shares"], offered["offsets"], offered["plain"])
    ingredients = [*means.unbind(1), *(blurred(offered["plain"], deviation) for deviation in BLURS)]
    mixed = offered["plain"] + residual
    for index, ingredient in enumerate(ingredients):
        mixed = mixed + coefficients[:, index : index + 1] * (ingredient - offered["plain"])
    wanted = torch.where(offered["hole"] > 0, mixed, offered["image"])
    torch.testing.assert_close(network(offered), wanted)


def test_means_are_over_the_candidates_they_name() -> None:
    colours = torch.arange(5.0).view(1, 5, 1, 1).expand(1, 5, 3, 1)  # one pixel; candidates 0 … 4
    shares = torch.tensor([0.1, 1.0, 0.5, 0.0, 0.5]).view(1, 5, 1)
    offsets = torch.tensor([[0.0, -1, -8, 2, 14]])
    means, weights = means_of(colours, shares, offsets, torch.full((1, 3, 1), 9.0))
    np.testing.assert_allclose(weights[0, :, 0], [0.1, 4, 1.5, 0.5, 1.0, 1.0], rtol=1e-6)
    carried, equal, past, future, near, far = means[0, :, 0, 0].tolist()
    assert carried == pytest.approx(0)
    assert equal == pytest.approx((0 + 1 + 2 + 4) / 4)
    assert past == pytest.approx((1 * 1 + 2 * 0.5) / 1.5)
    assert future == pytest.approx(4)
    assert near == pytest.approx(1)
    assert far == pytest.approx((2 + 4) / 2)
    nothing, _ = means_of(colours, 0 * shares, offsets, torch.full((1, 3, 1), 9.0))
    assert (nothing == 9).all()


@pytest.mark.parametrize("deviation", BLURS)
def test_blurs_are_those_of_scipy(deviation: float) -> None:
    picture = torch.rand(1, 2, 20, 23, generator=torch.Generator().manual_seed(0))
    radius = max(1, round(3 * deviation))
    wanted = gaussian_filter(picture.numpy(), (0, 0, deviation, deviation), mode="nearest", radius=radius)
    np.testing.assert_allclose(blurred(picture, deviation).numpy(), wanted, atol=1e-6)


@torch.inference_mode()
def test_a_deeper_network_sees_farther() -> None:
    reach = []
    for depth in (1, 5):
        network = trained(depth=depth)
        offered = candidates(height=96, width=96)
        other = Candidates(**{**offered, "image": offered["image"].clone()})  # type: ignore[typeddict-item]
        other["image"][..., :4] = 1 - other["image"][..., :4]
        changed = (network.weigh(offered)[1] != network.weigh(other)[1]).any(dim=1).any(dim=0).any(dim=0)
        reach.append(int(changed.nonzero().max()))
    assert reach[0] < 40
    assert reach[1] == 95
    with pytest.raises(UserError, match="depth=6: expected 1 to 5"):
        FusionNetwork(depth=6)


def test_every_parameter_learns() -> None:
    network = trained().train()
    network(candidates()).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_saved_network_comes_back(tmp_path: Path) -> None:
    network = trained()
    network.save_pretrained(tmp_path)
    loaded = load_pretrained(tmp_path)
    assert isinstance(loaded, FusionNetwork)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), loaded.parameters(), strict=True))
