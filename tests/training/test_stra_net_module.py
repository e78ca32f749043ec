"""Training of STRA-Net, on a network small enough for a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tiny_reference_training import clips, fit, resumed_and_whole, weights
from tiny_training import OnBatchEnd
from vinpaint.batch import VideoBatch
from vinpaint.errors import UserError
from vinpaint.models.hifill_discriminator import HiFillDiscriminator
from vinpaint.models.stra_net import STRANet
from vinpaint.models.vgg import VGG16Features
from vinpaint.training import Game, Optimization, STRANetModule
from vinpaint.training.stra_net_groups import disturbed

PLAIN = {"perceptual_weight": 0.0, "style_weight": 0.0}
TEMPORAL = {"alignment", "hole_visible", "hole_leftover", "non_hole"}
GAME = {"discriminator_real", "discriminator_fake", "gradient_penalty", "adversarial"}


def network(**options: Any) -> STRANet:
    torch.manual_seed(0)
    made = STRANet(**{"channels": 4, "alignment_channels": 4, "alignment_size": 32, **options})
    nn.init.normal_(made.affine.regressor.fc.weight, std=0.02)
    return made


def module_of(net: STRANet | None = None, *, play: bool = True, seed: int = 0, **options: Any) -> STRANetModule:
    net = net or network()
    torch.manual_seed(seed)
    critic = HiFillDiscriminator(channels=4, head="pool") if play else None
    return STRANetModule(net, discriminator=critic, **{**PLAIN, "spatial_start_epoch": 0, **options})


def batches(count: int = 1, *, num_clips: int = 2, size: int = 64) -> list[VideoBatch]:
    return [clips(num_clips, size=size)] * count


def state(part: nn.Module) -> Tensor:
    return weights(part).clone()


# ---------------------------------------------------------------- terms


@pytest.mark.parametrize("alignment", ["affine", "flow", "joint"])
@pytest.mark.parametrize("temporal", ["vanilla", "multiscale", "cpnet"])
@pytest.mark.parametrize("spatial", ["off", "multiscale"])
def test_every_ablation_trains_a_step_and_logs_every_term(alignment: str, temporal: str, spatial: str) -> None:
    module = module_of(network(alignment=alignment, temporal=temporal, spatial=spatial), leftover_probability=1.0)
    before = {name: state(part) for name, part in module.generator.named_children()}
    (seen,) = fit(module, batches())
    expected = TEMPORAL | {"loss", "leftover_share"}
    if spatial == "multiscale":
        expected |= GAME | {"refinement", "playing_share"}
    if alignment != "affine":
        expected |= {"alignment_flow"}
    if alignment == "flow":
        expected -= {"alignment"}
    assert set(seen) == expected
    priced = (TEMPORAL | {"refinement", "adversarial"}) & expected
    assert seen["loss"] == pytest.approx(sum(seen[name] for name in priced), rel=1e-5)
    assert seen["leftover_share"] > 0
    learning = {"temporal"} | ({"affine"} if alignment != "flow" else set())
    learning |= {"spatial"} if spatial == "multiscale" else set()
    for name, part in module.generator.named_children():
        assert torch.equal(before[name], weights(part)) == (name not in learning), name


@pytest.mark.parametrize("regions_on", ["temporal", "final", "both"])
def test_terms_are_the_equations(regions_on: str) -> None:
    module = module_of(regions_on=regions_on, leftover_probability=1.0)
    (batch,) = batches()
    drawn = module.draw(batch)
    made = module.complete(drawn, {})
    expected: dict[str, Tensor] = {}
    for index in range(2):
        target = int(drawn["targets"][index, 0])
        clip = module.generator.prepare_clip(batch["frames"][index : index + 1], batch["masks"][index : index + 1])
        done = module.generator.complete_in_clip(clip, target, hide=drawn["hidden"][index], keep_aligned=True)
        truth, hole = batch["frames"][index, target], batch["masks"][index, target]
        left = hole * (1 - done.visible[0])
        judged = {"temporal": [done.temporal], "final": [done.frame], "both": [done.temporal, done.frame]}[regions_on]
        for name, weight, region in (
            ("hole_visible", 10, hole - left),
            ("hole_leftover", 20, left),
            ("non_hole", 6, 1 - hole),
        ):
            error = torch.stack([(region * (frame[0] - truth)).abs().mean() for frame in judged]).mean()
            expected[name] = expected.get(name, 0.0) + weight * error / 2
        expected["refinement"] = expected.get("refinement", 0.0) + 1.2 * (done.spatial[0] - truth).abs().mean() / 2
        affine = next(a for a in done.aligned if a.placement.theta is not None)
        both = affine.visible[0] * (1 - hole)
        error = (both * (affine.frames[0] - truth)).abs().mean()
        expected["alignment"] = expected.get("alignment", 0.0) + 5 * error / 2
    assert set(made.terms) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(made.terms[name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_the_critic_sees_the_result_and_blames_the_leftover_alone() -> None:
    module = module_of(leftover_probability=1.0, targets_per_clip="all")
    (batch,) = batches(num_clips=1)
    drawn = module.draw(batch)
    made = module.complete(drawn, {})
    assert made.fake.shape == made.real.shape == (3, 1, 3, 64, 64)
    assert torch.equal(made.real.squeeze(1), batch["frames"][0])
    known = batch["masks"][0].expand(3, 3, 64, 64) == 0
    assert torch.equal(made.fake.squeeze(1)[known], made.real.squeeze(1)[known])
    leftover = torch.stack([_leftover(module, drawn, place) for place in range(3)])
    (made.fake.squeeze(1) * (1 - leftover)).sum().backward(retain_graph=True)
    assert all(p.grad is None or (p.grad == 0).all() for p in module.generator.parameters())
    (made.fake.squeeze(1) * leftover).sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.generator.spatial.parameters())


def _leftover(module: STRANetModule, drawn: VideoBatch, target: int) -> Tensor:
    clip = module.generator.prepare_clip(drawn["frames"], drawn["masks"])
    place = drawn["targets"][0].tolist().index(target)
    return module.generator.complete_in_clip(clip, target, hide=drawn["hidden"][:, place]).leftover[0]


def test_targets_without_leftover_stay_out_of_the_game_and_of_refinement() -> None:
    module = module_of(leftover_probability=0.0)
    batch = clips(2, size=64)
    batch["masks"][...] = 0
    batch["masks"][0, ..., 20:40, 20:40] = 1  # the same hole in every frame; of the other clip nothing is missing
    drawn = module.draw(batch)
    made = module.complete(drawn, {})
    assert made.fake_share == made.shown["playing_share"] == 0.5
    assert torch.equal(made.real[:, 0], batch["frames"][:1, drawn["targets"][0, 0]])
    alone = module.complete({key: value[:1] for key, value in drawn.items()}, {})
    torch.testing.assert_close(made.fake, alone.fake)
    torch.testing.assert_close(made.terms["refinement"], alone.terms["refinement"] / 2)


def test_a_batch_without_leftover_leaves_both_players_without_gradient() -> None:
    module = module_of(leftover_probability=0.0)
    batch = clips(2, size=64)
    batch["masks"][...] = 0
    before = state(module.generator.spatial), state(module.discriminator)
    (seen,) = fit(module, [batch])
    assert seen["playing_share"] == seen["adversarial"] == seen["gradient_penalty"] == 0
    assert "refinement" not in seen
    assert torch.equal(before[0], weights(module.generator.spatial))
    assert torch.equal(before[1], weights(module.discriminator))


def test_what_lies_under_the_hole_reaches_no_completion() -> None:
    module = module_of(leftover_probability=1.0)
    (batch,) = batches()
    drawn = module.draw(batch)
    hidden = torch.where(batch["masks"] > 0, torch.rand_like(batch["frames"]), batch["frames"])
    assert torch.equal(module.complete(drawn, {}).fake, module.complete({**drawn, "frames": hidden}, {}).fake)


def test_a_reference_given_whole_leaves_less_over() -> None:
    batch = clips(2, size=64)
    batch["masks"][...] = 0
    batch["masks"][..., 20:40, 20:40] = 1
    shares = []
    for probability in (0.0, 1.0):
        module = module_of(
            network(alignment="affine"), completed_reference_probability=probability, leftover_probability=0.0
        )
        shares.append(module.complete(module.draw(batch), {}).shown["leftover_share"].item())
    assert shares[1] < 0.2 * shares[0]


def test_true_flow_is_followed_where_the_data_knows_it() -> None:
    module = module_of(network(alignment="flow"), true_flow=True, leftover_probability=0.0)
    batch = clips(2, size=64)
    with pytest.raises(UserError, match=r"set data\.motion=flow, or true_flow=false"):
        module.complete(module.draw(batch), {})
    # frames that move 3 pixels to the right from one to the next
    batch["frames"] = torch.stack([batch["frames"][:, 0].roll(3 * time, dims=-1) for time in range(3)], dim=1)
    flow = torch.zeros(2, 2, 2, 64, 64)
    flow[:, :, 0] = 3.0
    known = {**batch, "flow_forward": flow, "flow_backward": -flow}
    assert module.complete(module.draw(known), {}).shown["alignment_flow"] < 1e-6
    wrong = {**batch, "flow_forward": -flow, "flow_backward": flow}
    assert module.complete(module.draw(wrong), {}).shown["alignment_flow"] > 0.05


def test_errors_of_flow_are_smooth_and_as_large_as_asked_for() -> None:
    torch.manual_seed(0)
    flow = torch.full((4, 3, 2, 128, 192), 7.0)
    errors = disturbed(flow, 1.5) - flow
    assert errors.mean().abs() < 0.1
    assert errors[..., ::16, 0].std() == pytest.approx(1.5, rel=0.15)
    assert errors.diff(dim=-1).abs().max() < 1.5 * 8 / 15  # from point to point by less than eight deviations
    assert torch.equal(disturbed(flow, 0.0), flow)
    with pytest.raises(UserError, match="flow_error=-1"):
        module_of(network(), flow_error=-1.0)


def test_vgg_terms_are_on_the_result_and_left_out_where_there_is_none(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="training without these two losses"):
        module = STRANetModule(network())
    assert module.hparams["perceptual_terms"] is False
    torch.save(VGG16Features(3).state_dict(), tmp_path / "vgg16.pth")
    module = STRANetModule(network(), vgg_weights=tmp_path / "vgg16.pth", spatial_start_epoch=0)
    assert module.hparams["perceptual_terms"] is True
    (seen,) = fit(module, batches(num_clips=1))
    assert seen["perceptual"] > 0
    assert seen["style"] > 0


# ---------------------------------------------------------------- epochs, groups, batches


def test_warming_up_leaves_the_spatial_part_and_the_critic_untouched() -> None:
    module = module_of(spatial_start_epoch=2, leftover_probability=1.0)
    states: list[tuple[int, Tensor, Tensor, Tensor, set[str]]] = []

    def record(found: STRANetModule, outputs: dict[str, Tensor]) -> None:
        parts = (found.generator.temporal, found.generator.spatial, found.discriminator)
        states.append((found.current_epoch, *(state(part) for part in parts), set(outputs)))

    start = [state(part) for part in (module.generator.temporal, module.generator.spatial, module.discriminator)]
    fit(module, batches(1), max_steps=4, max_epochs=-1, callbacks=[OnBatchEnd(record)])
    assert [epoch for epoch, *_ in states] == [0, 1, 2, 3]
    for epoch, temporal, spatial, critic, logged in states:
        assert not torch.equal(temporal, start[0])
        assert torch.equal(spatial, start[1]) == (epoch < 2)
        assert torch.equal(critic, start[2]) == (epoch < 2)
        assert ("refinement" in logged) == ("adversarial" in logged) == (epoch >= 2)


def test_the_spatial_aggregation_learns_alone_on_what_the_rest_hands_it() -> None:
    module = module_of(trained="spatial", leftover_probability=1.0)
    parts = ("affine", "temporal", "spatial")
    before = {name: state(getattr(module.generator, name)) for name in parts}
    optimizer = module.configure_optimizers()[0][0]
    assert {id(p) for group in optimizer.param_groups for p in group["params"]} == {
        id(p) for p in module.generator.spatial.parameters()
    }
    (seen,) = fit(module, batches())
    assert seen["loss"] == pytest.approx(seen["refinement"] + seen["adversarial"], rel=1e-5)
    assert seen["refinement"] > 0
    moved = {name for name in parts if not torch.equal(before[name], state(getattr(module.generator, name)))}
    assert moved == {"spatial"}


def test_a_batch_without_leftover_teaches_the_spatial_aggregation_nothing() -> None:
    module = module_of(trained="spatial", play=False, leftover_probability=0.0)
    batch = clips(2, size=64)
    batch["masks"][...] = 0
    before = state(module.generator)
    (seen,) = fit(module, [batch])
    assert seen["loss"] == seen["refinement"] == 0
    assert torch.equal(before, state(module.generator))


def test_validation_measures_what_the_weights_do_when_they_are_used() -> None:
    module = module_of(spatial_start_epoch=9, play=False)
    (batch,) = batches(num_clips=1)
    found: list[Tensor] = []
    record = OnBatchEnd(lambda m, _: found.append(m(batch["frames"], batch["masks"]).detach()))
    fit(module, batches(1), callbacks=[record])
    assert torch.equal(found[0], module.generator(batch["frames"], batch["masks"]))


def test_three_groups_of_weights_have_their_own_rates_and_share_the_schedule() -> None:
    optimization = Optimization(learning_rate=1e-3, betas=(0.9, 0.999), milestones=(1,))
    module = module_of(optimization=optimization, adversarial_learning_rate=1e-4)
    (generator, critic), schedules = module.configure_optimizers()
    temporal, spatial = generator.param_groups
    assert (temporal["lr"], temporal["betas"]) == (1e-3, (0.9, 0.999))
    assert (spatial["lr"], spatial["betas"]) == (1e-4, (0.5, 0.9))
    assert (critic.param_groups[0]["lr"], critic.param_groups[0]["betas"]) == (1e-4, (0.5, 0.9))
    trained = {id(p) for p in module.parameters() if p.requires_grad}
    groups = [*generator.param_groups, *critic.param_groups]
    assert sorted(id(p) for group in groups for p in group["params"]) == sorted(trained)
    assert {id(p) for p in spatial["params"]} == {id(p) for p in module.generator.spatial.parameters()}
    for schedule in schedules:
        schedule.optimizer.step()
        schedule.step()
    assert [group["lr"] for group in groups] == pytest.approx([1e-4, 1e-5, 1e-5])


@pytest.mark.parametrize("size", [1, 2])
def test_micro_batches_take_the_step_of_the_whole_batch(size: int) -> None:
    gradients, logged = [], []
    for micro in (None, size):
        # no penalty: the places where it is measured are drawn anew for every part
        module = module_of(
            targets_per_clip=2,
            leftover_probability=0.5,
            game=Game(gan_loss="wgan_gp", d_loss_scale=1.0, gradient_penalty_weight=0.0, critic_steps=2),
            optimization=Optimization(betas=(0.9, 0.999), micro_batch_size=micro),
        )
        torch.manual_seed(3)
        logged += fit(module, batches(num_clips=3))
        gradients.append(dict(module.named_parameters()))
    for name, parameter in gradients[0].items():
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, gradients[1][name].grad, msg=name, rtol=1e-3, atol=1e-5)
    for key in set(logged[0]) - {"gradient_penalty"}:
        assert logged[1][key] == pytest.approx(logged[0][key], rel=1e-3, abs=1e-5), key


def test_bf16_trains_on_the_same_losses() -> None:
    seen = []
    for precision in ("32-true", "bf16-mixed"):
        module = module_of(leftover_probability=1.0)
        torch.manual_seed(5)
        seen += fit(module, batches(), precision=precision)
    for key, value in seen[0].items():
        assert seen[1][key] == pytest.approx(value, rel=5e-2, abs=2e-3), key


def test_a_resumed_run_ends_where_it_would_have_ended(tmp_path: Path) -> None:
    make = lambda: module_of(spatial_start_epoch=1, completed_reference_probability=0.3)  # noqa: E731
    # two updates an epoch: the checkpoint is of the middle of the first epoch that plays
    resumed, whole = resumed_and_whole(make, tmp_path, size=32, updates=5, resume_after=3)
    assert torch.equal(resumed, whole)


# ---------------------------------------------------------------- pictures and settings


@pytest.mark.parametrize("similarity", ["dot_mean", "local"])
def test_pictures_show_alignment_attention_and_borrowing(similarity: str) -> None:
    module = module_of(network(similarity=similarity))
    batch = clips(1, size=92, num_frames=5)
    batch["masks"][...] = 0
    batch["masks"][..., 20:30, 20:30] = 1
    pictures = module.pictures(batch["frames"][0], batch["masks"][0], columns=5)
    lengths = {name: [len(row) for row in rows] for name, rows in pictures.items()}
    assert lengths == {"alignment": [5, 5], "attention": [5], "borrowing": [3]}  # two references, laid in two ways
    images = [image for rows in pictures.values() for row in rows for image in row]
    assert all(image.shape == (3, 92, 92) and image.min() >= 0 and image.max() <= 1 for image in images)
    total = torch.stack(pictures["attention"][0][1:]).sum(0)
    assert ((total - 1).abs() < 1e-4).logical_or(total == 0).all()
    left = pictures["attention"][0][0]
    assert left.sum() > 0
    assert (total[left == 1] == 0).all()
    assert torch.equal(pictures["borrowing"][0][1], left)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regions_on": "spatial"}, "regions_on='spatial': choose one of temporal, final, both"),
        ({"normalisation": "sum"}, "normalisation='sum'"),
        ({"leftover_probability": 2.0}, "leftover_probability=2"),
        ({"spatial_start_epoch": -1}, "spatial_start_epoch=-1"),
        ({"trained": "temporal"}, "trained='temporal': choose one of all, spatial"),
        ({"trained": "spatial", "spatial_start_epoch": 1}, "trained=spatial: nothing would learn before"),
        ({"trained": "spatial", "net": network(spatial="off")}, "trained=spatial: the network has no spatial"),
        ({"targets_per_clip": 0}, "targets_per_clip=0"),
        ({"without_vgg": "guess"}, "without_vgg='guess'"),
    ],
)
def test_a_setting_out_of_range_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        module_of(**options)
