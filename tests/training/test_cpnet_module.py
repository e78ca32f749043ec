"""Training of CPNet, on a network small enough to check by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tiny_reference_training import clips, fit, resumed_and_whole, weights
from vinpaint.errors import UserError
from vinpaint.models.cpnet import CPNet
from vinpaint.models.hifill_discriminator import HiFillDiscriminator
from vinpaint.models.vgg import VGG16Features
from vinpaint.ops.compositing import composite
from vinpaint.training import CPNetModule, Game, Optimization

PLAIN = {"perceptual_weight": 0.0, "style_weight": 0.0}
TERMS = {"alignment", "hole_visible", "hole_leftover", "non_hole", "total_variation"}


def network() -> CPNet:
    torch.manual_seed(0)
    made = CPNet(channels=4, alignment_size=32)
    nn.init.normal_(made.A_Regressor.fc.weight, std=0.02)
    return made


@pytest.mark.parametrize("size", [24, 20])
def test_terms_are_those_of_the_networks_own_completion(size: int) -> None:
    module = CPNetModule(network(), **PLAIN)
    batch = clips(size=size)
    drawn = module.draw(batch)
    made = module.complete(drawn, {})
    assert set(made.terms) == TERMS
    errors = {"hole": 0.0, "non_hole": 0.0}
    for clip in range(2):
        target = int(drawn["targets"][clip, 0])
        # a clip in which the target comes first gives the same completion through the public forward pass
        order = [target, *(t for t in range(3) if t != target)]
        frames, masks = batch["frames"][clip : clip + 1, order], batch["masks"][clip : clip + 1, order]
        completed = module.generator(frames, masks)[:, 0]
        # forward() holds its frames to [0, 1], the loss does not
        inside = (made.fake[clip, 0] - batch["frames"][clip, target]) * masks[0, 0]
        torch.testing.assert_close(
            made.fake[clip, 0].clamp(0, 1), composite(frames[0, 0], completed[0], masks[0, 0]), atol=1e-5, rtol=1e-5
        )
        errors["hole"] += inside.abs().mean() / 2
    visible, leftover = made.terms["hole_visible"] / 10, made.terms["hole_leftover"] / 20
    torch.testing.assert_close(visible + leftover, errors["hole"], atol=1e-5, rtol=1e-4)


def test_terms_add_up_and_training_lowers_them() -> None:
    module = CPNetModule(network(), **PLAIN, optimization=Optimization(learning_rate=3e-3, betas=(0.9, 0.999)))
    batch = clips()
    batch["frames"] = 0.7 + 0.1 * batch["frames"]  # noise cannot be learned, its colour can
    seen = fit(module, [batch] * 40)
    for step in seen:
        assert step["loss"] == pytest.approx(sum(step[name] for name in TERMS), rel=1e-5)
    assert set(seen[0]) == TERMS | {"loss", "leftover_share"}
    assert seen[-1]["loss"] < 0.8 * seen[0]["loss"]


def test_every_part_of_the_network_learns() -> None:
    module = CPNetModule(network(), **PLAIN)
    before = {name: p.detach().clone() for name, p in module.generator.named_parameters() if p.requires_grad}
    fit(module, [clips()])
    after = dict(module.generator.named_parameters())
    for part in ("A_Encoder", "A_Regressor", "Encoder", "Decoder"):
        moved = [name for name in before if name.startswith(part) and not torch.equal(before[name], after[name])]
        assert moved, part
    assert "A_Regressor.conv6a.conv.0.weight" not in before


def test_the_alignment_loss_alone_reaches_alignment_alone() -> None:
    others = {f"{name}_weight": 0.0 for name in ("hole_visible", "hole_leftover", "non_hole", "tv")}
    module = CPNetModule(network(), **PLAIN, **others)
    made = module.complete(module.draw(clips()), {})
    torch.stack(list(made.terms.values())).sum().backward()
    sizes = {part: 0.0 for part in ("A_Encoder", "A_Regressor", "Encoder", "Decoder")}
    for name, parameter in module.generator.named_parameters():
        if parameter.grad is not None:
            sizes[name.partition(".")[0]] += parameter.grad.abs().sum().item()
    assert sizes["A_Encoder"] > 0
    assert sizes["A_Regressor"] > 0
    assert sizes["Encoder"] == sizes["Decoder"] == 0


def test_what_lies_under_the_hole_reaches_nothing_but_the_price() -> None:
    module, batch = CPNetModule(network(), **PLAIN), clips()
    drawn = module.draw(batch)
    hidden = torch.where(batch["masks"] > 0, torch.rand_like(batch["frames"]), batch["frames"])
    made, again = module.complete(drawn, {}), module.complete({**drawn, "frames": hidden}, {})
    assert torch.equal(made.fake, again.fake)
    for name in ("alignment", "non_hole"):
        assert torch.equal(made.terms[name], again.terms[name])


def test_a_reference_given_whole_shows_what_lay_under_its_hole() -> None:
    module = CPNetModule(network(), **PLAIN, completed_reference_probability=1.0)
    batch = clips()
    assert module.complete(module.draw(batch), {}).shown["leftover_share"] < 0.05
    batch["masks"][...] = 0
    batch["masks"][..., 4:12, 4:12] = 1  # the same hole in every frame
    leftover = CPNetModule(network(), **PLAIN)
    assert leftover.complete(leftover.draw(batch), {}).shown["leftover_share"] > 0.05


@pytest.mark.parametrize("normalisation", ["full", "mask"])
def test_micro_batches_take_the_step_of_the_whole_batch(normalisation: str) -> None:
    modules = []
    for size in (None, 1, 2):
        optimization = Optimization(betas=(0.9, 0.999), micro_batch_size=size)
        module = CPNetModule(
            network(), **PLAIN, targets_per_clip=2, normalisation=normalisation, optimization=optimization
        )
        torch.manual_seed(3)
        fit(module, [clips(3)])
        modules.append(module)
    for part in modules[1:]:
        for (name, a), b in zip(modules[0].named_parameters(), part.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad, msg=name, rtol=1e-4, atol=1e-6)


def test_all_frames_may_be_targets() -> None:
    module = CPNetModule(network(), **PLAIN, targets_per_clip="all")
    assert module.complete(module.draw(clips(2)), {}).fake.shape == (2, 3, 3, 24, 24)


def test_without_vgg_two_terms_are_left_out_and_said_so(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="training without these two losses"):
        module = CPNetModule(network())
    assert module.hparams["perceptual_terms"] is False
    assert set(fit(module, [clips(1)])[0]) == TERMS | {"loss", "leftover_share"}
    with pytest.raises(UserError, match="give vgg_weights=<file"):
        CPNetModule(network(), without_vgg="refuse")
    torch.save(VGG16Features(3).state_dict(), tmp_path / "vgg16.pth")
    module = CPNetModule(network(), vgg_weights=tmp_path / "vgg16.pth")
    assert module.hparams["perceptual_terms"] is True
    seen = fit(module, [clips(1)])[0]
    assert seen["perceptual"] > 0
    assert seen["style"] > 0


def test_a_discriminator_may_judge_the_composites() -> None:
    game = Game(gan_loss="wgan_gp", critic_steps=2, d_loss_scale=1.0)
    module = CPNetModule(network(), discriminator=HiFillDiscriminator(channels=4, head="pool"), **PLAIN, game=game)
    before = weights(module.discriminator)
    seen = fit(module, [clips()])[0]
    assert {"adversarial", "gradient_penalty", "discriminator_real"} <= set(seen)
    assert not torch.equal(before, weights(module.discriminator))


def test_bf16_trains_on_the_same_losses() -> None:
    seen = []
    for precision in ("32-true", "bf16-mixed"):
        torch.manual_seed(5)
        seen += fit(CPNetModule(network(), **PLAIN), [clips()], precision=precision)
    for key, value in seen[0].items():
        assert seen[1][key] == pytest.approx(value, rel=3e-2, abs=1e-3), key


def test_a_resumed_run_ends_where_it_would_have_ended(tmp_path: Path) -> None:
    make = lambda: CPNetModule(network(), **PLAIN, completed_reference_probability=0.5)  # noqa: E731
    resumed, whole = resumed_and_whole(make, tmp_path, size=16, updates=5, resume_after=3)
    assert torch.equal(resumed, whole)


def test_pictures_show_alignment_and_attention() -> None:
    module, batch = CPNetModule(network(), **PLAIN), clips(1, size=20, num_frames=5)
    pictures = module.pictures(batch["frames"][0], batch["masks"][0], columns=4)
    assert {name: [len(row) for row in rows] for name, rows in pictures.items()} == {
        "alignment": [4, 4],
        "attention": [4],
    }
    left, *maps = (image[0] for image in pictures["attention"][0])
    hole = batch["masks"][0, 2, 0]
    total = torch.stack(maps).sum(0)
    assert ((total - 1).abs() < 1e-5).logical_or(total == 0).all()
    assert left[2:22, 2:22][hole == 0].sum() == 0
    assert all(image.min() >= 0 and image.max() <= 1 for rows in pictures.values() for row in rows for image in row)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets_per_clip": 0}, "targets_per_clip=0"),
        ({"normalisation": "sum"}, "normalisation='sum': choose one of full, mask"),
        ({"without_vgg": "guess"}, "without_vgg='guess'"),
        ({"completed_reference_probability": -1.0}, "completed_reference_probability=-1"),
    ],
)
def test_a_setting_out_of_range_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        CPNetModule(network(), **{**PLAIN, **options})
