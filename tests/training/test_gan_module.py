from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader

from tiny_training import OnBatchEnd, TinyGenerator, tiny_batch, tiny_module, tiny_trainer
from vinpaint.batch import VideoBatch
from vinpaint.errors import UserError
from vinpaint.models.vgg import VGG16Features
from vinpaint.training import Completion, DivergedError, Game, Optimization, STTNModule
from vinpaint.training.kept_batch import read_kept_batch
from vinpaint.training.micro_batches import split_batch


def fit(module: L.LightningModule, batches: list[VideoBatch], **options: Any) -> L.Trainer:
    trainer = tiny_trainer(**{"max_steps": len(batches), **options})
    trainer.fit(module, DataLoader(batches, batch_size=None))
    return trainer


def weights(module: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def test_losses_of_a_step_add_up_and_training_lowers_them() -> None:
    seen: list[dict[str, float]] = []
    record = OnBatchEnd(lambda _, out: seen.append({k: v.item() for k, v in out.items()}))
    fit(tiny_module(), [tiny_batch()] * 80, callbacks=[record])
    for step in seen:
        assert step["loss"] == pytest.approx(step["hole"] + step["valid"] + step["adversarial"], abs=1e-6)
    assert seen[-1]["valid"] < 0.7 * seen[0]["valid"]
    assert set(seen[0]) == {"discriminator_real", "discriminator_fake", "adversarial", "hole", "valid", "loss"}


def test_one_update_of_each_player_counts_once() -> None:
    trainer = fit(tiny_module(), [tiny_batch(1)] * 5)
    assert trainer.global_step == 5
    trainer = fit(tiny_module(critic_steps=3), [tiny_batch(1)] * 5, max_steps=4)
    assert trainer.global_step == 4


def test_the_learning_rate_drops_after_the_stated_updates_for_both_players() -> None:
    rates: list[list[float]] = []

    def record(module: STTNModule, _: Any) -> None:
        rates.append([optimizer.param_groups[0]["lr"] for optimizer in module.optimizers()])

    module = tiny_module(learning_rate=1.0, milestones=[2, 3], learning_rate_decay=0.1)
    fit(module, [tiny_batch(1)] * 4, callbacks=[OnBatchEnd(record)])
    # what the next update will use: updates 0 and 1 at full rate, 2 at a tenth, 3 and later at a hundredth
    assert rates == [[pytest.approx(r)] * 2 for r in (1.0, 0.1, 0.01, 0.01)]


@pytest.mark.parametrize("gan_loss", ["hinge", "lsgan", "nsgan"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_micro_batches_take_the_step_of_the_whole_batch(size: int, gan_loss: str) -> None:
    whole = tiny_module(gan_loss=gan_loss, adversarial_weight=1.0)
    split = tiny_module(gan_loss=gan_loss, adversarial_weight=1.0, micro_batch_size=size)
    outputs: list[dict[str, torch.Tensor]] = []
    for module in (whole, split):
        fit(module, [tiny_batch(4)], callbacks=[OnBatchEnd(lambda _, out: outputs.append(out))])
    for (name, a), b in zip(whole.named_parameters(), split.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name)
    for key, value in outputs[0].items():
        torch.testing.assert_close(outputs[1][key], value, msg=key)


def test_long_gradients_are_shortened_before_the_step() -> None:
    norms: list[float] = []

    def record(module: STTNModule, _: Any) -> None:
        for player in (module.generator, module.discriminator):
            norms.append(torch.cat([p.grad.flatten() for p in player.parameters()]).norm().item())

    fit(tiny_module(max_gradient_norm=1e-3), [tiny_batch()], callbacks=[OnBatchEnd(record)])
    assert norms == [pytest.approx(1e-3, rel=1e-3)] * 2


def test_each_player_keeps_its_weights_while_the_other_learns() -> None:
    for kept, options in (("generator", {"learning_rate": 0.0}), ("discriminator", {"d_loss_scale": 0.0})):
        module = tiny_module(**options)
        before = [p.detach().clone() for p in getattr(module, kept).parameters()]
        fit(module, [tiny_batch()] * 2)
        assert all(torch.equal(a, b) for a, b in zip(before, getattr(module, kept).parameters(), strict=True))
        assert all(p.requires_grad for p in module.parameters())


def test_without_a_discriminator_only_reconstruction_is_trained() -> None:
    module = STTNModule(TinyGenerator())
    outputs: list[Any] = []
    trainer = fit(module, [tiny_batch()] * 2, callbacks=[OnBatchEnd(lambda _, out: outputs.append(out))])
    assert set(outputs[0]) == {"hole", "valid", "loss"}
    assert len(trainer.optimizers) == 1


@pytest.mark.parametrize("options", [{"gan_loss": "wgan_gp"}, {"discriminate": "completed"}, {"critic_steps": 2}])
def test_every_form_of_the_game_moves_both_players(options: dict[str, Any]) -> None:
    module = tiny_module(**options)
    before = [p.detach().clone() for p in module.parameters()]
    fit(module, [tiny_batch()])
    # Biases aside: the two halves of the hinge pull the discriminator's one with equal force at first.
    for old, (name, new) in zip(before, module.named_parameters(), strict=True):
        assert "bias" in name or not torch.equal(old, new), name


def test_a_subclass_may_sit_a_batch_out_of_the_game() -> None:
    class NoGame(STTNModule):
        def complete(self, batch: VideoBatch, measures: dict[str, torch.Tensor]) -> Completion:
            made = super().complete(batch, measures)
            return Completion(terms=made.terms, fake=None, real=made.real)

    donor = tiny_module()
    module = NoGame(donor.generator, discriminator=donor.discriminator)
    before = [p.detach().clone() for p in module.discriminator.parameters()]
    fit(module, [tiny_batch()])
    assert all(torch.equal(a, b) for a, b in zip(before, module.discriminator.parameters(), strict=True))


def test_what_sits_a_game_out_counts_as_nothing_and_further_values_are_logged() -> None:
    class HalfGame(STTNModule):
        def complete(self, batch: VideoBatch, measures: dict[str, torch.Tensor]) -> Completion:
            made = super().complete(batch, measures)
            return replace(made, fake_share=0.5, shown={"brightness": batch["frames"].mean()})

    outputs: list[dict[str, torch.Tensor]] = []
    batch = tiny_batch()
    for kind in (STTNModule, HalfGame):
        donor = tiny_module()
        # a critic that does not learn, so that the generator meets the same one
        module = kind(donor.generator, discriminator=donor.discriminator, game=Game(d_loss_scale=0.0))
        fit(module, [batch], callbacks=[OnBatchEnd(lambda _, out: outputs.append(out))])
    whole, half = outputs
    for key in ("adversarial", "discriminator_real", "discriminator_fake"):
        torch.testing.assert_close(half[key], whole[key] / 2, msg=key)
    torch.testing.assert_close(half["hole"], whole["hole"])
    torch.testing.assert_close(half["brightness"], batch["frames"].mean())
    torch.testing.assert_close(half["loss"], half["hole"] + half["valid"] + half["adversarial"])


def test_chance_is_drawn_once_for_all_parts_of_a_batch() -> None:
    draws: list[torch.Tensor] = []

    class Drawing(STTNModule):
        def draw(self, batch: VideoBatch) -> VideoBatch:
            return {**batch, "luck": torch.rand(len(batch["name"]))}

        def complete(self, batch: VideoBatch, measures: dict[str, torch.Tensor]) -> Completion:
            draws.append(batch["luck"])
            return super().complete(batch, measures)

    donor = tiny_module()
    module = Drawing(donor.generator, discriminator=donor.discriminator, optimization=Optimization(micro_batch_size=1))
    fit(module, [tiny_batch(2)])
    assert len(draws) == 4
    assert torch.equal(torch.cat(draws[:2]), torch.cat(draws[2:]))
    assert draws[0] != draws[1]


def test_what_lies_under_the_hole_does_not_reach_the_completion() -> None:
    module, batch = tiny_module(), tiny_batch()
    with torch.no_grad():
        first = module(batch["frames"], batch["masks"])
        hidden = torch.where(batch["masks"] > 0, torch.rand_like(batch["frames"]), batch["frames"])
        assert torch.equal(module(hidden, batch["masks"]), first)
    outside = (1 - batch["masks"]).expand_as(first) > 0
    assert torch.equal(first[outside], batch["frames"][outside])


def test_a_loss_that_is_no_number_stops_before_the_weights_are_touched(tmp_path: Path) -> None:
    module = tiny_module()
    with torch.no_grad():
        module.generator.layers[0].bias[0] = float("nan")
    before = weights(module)
    with pytest.raises(DivergedError, match=r"update 0: loss discriminator_fake is nan; lower learning_rate"):
        fit(module, [tiny_batch()], default_root_dir=tmp_path)
    assert torch.equal(torch.nan_to_num(weights(module)), torch.nan_to_num(before))


@pytest.mark.parametrize(("value", "length"), [(float("nan"), "nan"), (float("inf"), "inf"), (1e30, "inf")])
def test_a_gradient_without_a_length_stops_before_the_weights_are_touched(
    tmp_path: Path, value: float, length: str
) -> None:
    module = tiny_module(max_gradient_norm=1.0)
    # 1e30 is a number, but its square is none in float32: shortening would make all gradients zero
    module.generator.layers[0].weight.register_hook(lambda gradient: torch.full_like(gradient, value))
    before = weights(module.generator)
    with pytest.raises(DivergedError, match=rf"update 0: .*gradient of layers\.0\.weight is {length}; .* is kept in"):
        fit(module, [tiny_batch()], default_root_dir=tmp_path)
    assert torch.equal(weights(module.generator), before)


def test_the_batch_that_broke_training_is_kept_and_breaks_it_again(tmp_path: Path) -> None:
    broken = tiny_batch()
    broken["frames"][2, 1] = float("nan")
    good = tiny_batch()
    checkpoints = ModelCheckpoint(tmp_path / "checkpoints", filename="last", every_n_train_steps=1)
    options: dict[str, Any] = {"enable_checkpointing": True, "callbacks": [checkpoints], "default_root_dir": tmp_path}
    with pytest.raises(DivergedError, match=r"update 2: .*the batch is kept in .*") as caught:
        fit(tiny_module(), [good, good, broken, good], **options)
    assert "\n" not in str(caught.value)
    (file,) = tmp_path.glob("*.safetensors")
    assert str(caught.value).endswith(str(file))
    kept = read_kept_batch(file)
    assert kept["name"] == broken["name"]
    torch.testing.assert_close(kept["frames"], broken["frames"], rtol=0, atol=0, equal_nan=True)
    assert torch.equal(kept["masks"], broken["masks"])
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 2
    assert all(value.isfinite().all() for value in saved["state_dict"].values())
    with pytest.raises(DivergedError, match="update 0"):
        fit(tiny_module(), [kept], default_root_dir=tmp_path)


def test_a_disk_without_room_does_not_hide_that_training_broke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tiny_batch()
    broken["frames"][0] = float("nan")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DivergedError, match=r"update 0: loss .* could not be kept .*No space left on device"):
        fit(tiny_module(), [broken], default_root_dir=tmp_path)


def test_weights_that_are_no_numbers_replace_no_checkpoint(tmp_path: Path) -> None:
    def break_it(module: STTNModule, _: Any) -> None:
        if module.trainer.global_step == 3:
            module.generator.layers[2].bias.data[1] = float("inf")

    checkpoints = ModelCheckpoint(tmp_path, filename="last", every_n_train_steps=1, enable_version_counter=False)
    callbacks = [OnBatchEnd(break_it), checkpoints]
    with pytest.raises(
        DivergedError, match=r"update 3: weight generator\.layers\.2\.bias is not finite, so no checkpoint"
    ):
        fit(
            tiny_module(), [tiny_batch()] * 5, enable_checkpointing=True, callbacks=callbacks, default_root_dir=tmp_path
        )
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 2
    assert all(value.isfinite().all() for value in saved["state_dict"].values())


@pytest.mark.parametrize("content", [b"", b"text" * 10])
def test_what_is_no_kept_batch_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "batch.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="no kept batch") as caught:
        read_kept_batch(tmp_path / "batch.safetensors")
    assert "\n" not in str(caught.value)


def test_a_batch_out_of_range_is_refused_at_the_first_step() -> None:
    batch = tiny_batch()
    batch["frames"] = batch["frames"] * 255
    with pytest.raises(ValueError, match=r"expected \[0, 1\]"):
        fit(tiny_module(), [batch])


def test_perceptual_and_style_losses_need_weights_and_use_them(tmp_path: Any) -> None:
    with pytest.raises(UserError, match="vgg_weights=<file"):
        STTNModule(TinyGenerator(), style_weight=24.0)
    torch.save(VGG16Features(3).state_dict(), tmp_path / "vgg16.pth")
    module = tiny_module(perceptual_weight=0.01, style_weight=24.0, vgg_weights=tmp_path / "vgg16.pth")
    outputs: list[Any] = []
    fit(module, [tiny_batch(1)], callbacks=[OnBatchEnd(lambda _, out: outputs.append(out))])
    assert outputs[0]["perceptual"] > 0
    assert outputs[0]["style"] > 0
    assert not any("vgg" in key for key in module.state_dict())


def test_bf16_trains_on_the_same_losses() -> None:
    outputs: list[Any] = []
    for precision in ("32-true", "bf16-mixed"):
        record = OnBatchEnd(lambda _, out: outputs.append(out))
        fit(tiny_module(spectral=True), [tiny_batch(2)], callbacks=[record], precision=precision)
    for key in outputs[0]:
        torch.testing.assert_close(outputs[1][key], outputs[0][key], rtol=2e-2, atol=1e-3, msg=key)


@pytest.mark.parametrize(("size", "expected"), [(None, [4]), (9, [4]), (3, [3, 1]), (1, [1, 1, 1, 1])])
def test_a_batch_splits_in_order(size: int | None, expected: list[int]) -> None:
    parts = split_batch(tiny_batch(4), size)
    assert [len(part["name"]) for part in parts] == expected
    assert torch.equal(torch.cat([part["frames"] for part in parts]), tiny_batch(4)["frames"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"micro_batch_size": 0}, "micro_batch_size=0"),
        ({"critic_steps": 0}, "critic_steps=0"),
        ({"discriminate": "pixels"}, "composite or completed"),
    ],
)
def test_a_setting_out_of_range_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        tiny_module(**options)
