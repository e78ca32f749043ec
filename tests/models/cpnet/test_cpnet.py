"""CPNet: what it promises whatever its weights are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vinpaint.errors import UserError
from vinpaint.models.cpnet import AffineRegressor, CPNet, PreparedFrames, References
from vinpaint.models.pretrained import load_pretrained, load_weights


def tiny(**options: Any) -> CPNet:
    """A narrow network whose alignment moves references by a few pixels."""
    torch.manual_seed(1)
    model = CPNet(**{"channels": 4, "alignment_size": 32, **options}).eval()
    nn.init.normal_(model.A_Regressor.fc.weight, std=0.05)
    return model


def clip(batch: int = 1, num_frames: int = 3, height: int = 24, width: int = 32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    frames = torch.rand(batch, num_frames, 3, height, width, generator=generator)
    masks = torch.zeros(batch, num_frames, 1, height, width)
    for time in range(num_frames):
        masks[:, time, :, 2 : 2 + height // 2, time : time + width // 2] = 1
    return frames, masks


def split(model: CPNet, frames: Tensor, masks: Tensor) -> tuple[PreparedFrames, Tensor, References]:
    """The first frame as target, and the others as its references."""
    prepared = model.prepare(frames, masks)
    features = model.encode_alignment(prepared)
    target = PreparedFrames(*(part[:, 0] for part in prepared))
    return target, features[:, 0], References(PreparedFrames(*(part[:, 1:] for part in prepared)), features[:, 1:])


# ---------------------------------------------------------------- parameters and weights


def test_parameter_counts_are_those_of_the_released_network() -> None:
    model = CPNet()
    parts = ("A_Encoder", "A_Regressor", "Encoder", "CM_Module", "Decoder")
    counts = [sum(value.numel() for value in model.get_submodule(part).parameters()) for part in parts]
    assert counts == [1_740_160, 14_161_926, 412_416, 0, 5_316_883]
    assert sum(value.numel() for value in model.parameters()) == 21_631_385
    assert len(model.state_dict()) == 72


def test_released_checkpoints_load_with_the_prefix_of_their_wrapper(tmp_path: Path) -> None:
    saved, path = tiny(), tmp_path / "weight.pth"
    torch.save({f"module.{key}": value for key, value in saved.state_dict().items()}, path)
    loaded = load_weights(CPNet(channels=4), path, source="cpnet")
    assert all(torch.equal(value, saved.state_dict()[key]) for key, value in loaded.state_dict().items())


def test_a_saved_folder_brings_back_network_and_switches(tmp_path: Path) -> None:
    saved = tiny(ref_mask_polarity="visible", padding="zeros")
    saved.save_pretrained(tmp_path)
    loaded = load_pretrained(tmp_path)
    frames, masks = clip(height=21)
    with torch.no_grad():
        assert torch.equal(loaded(frames, masks), saved(frames, masks))


def test_an_untrained_network_aligns_by_the_identity() -> None:
    model = CPNet(channels=4, alignment_size=32)
    frames, masks = clip()
    target, features, references = split(model, frames, masks)
    aligned = model.align(features, references)
    torch.testing.assert_close(aligned.frames, references.prepared.frames, atol=1e-5, rtol=0)
    assert torch.equal(aligned.visible, 1 - masks[:, 1:])
    assert target.frames.shape == frames[:, 0].shape


@pytest.mark.parametrize("share", [True, False])
def test_the_layers_the_released_code_forgot_take_part_only_when_asked(share: bool) -> None:
    torch.manual_seed(0)
    regressor = AffineRegressor(channels=2, share_conv5=share)
    nn.init.normal_(regressor.fc.weight)
    pair = torch.rand(1, 8, 8, 8), torch.rand(1, 8, 8, 8)
    before = regressor(*pair)
    with torch.no_grad():
        for value in regressor.conv6a.parameters():
            value.normal_()
    assert torch.equal(regressor(*pair), before) == share
    assert all(value.requires_grad != share for value in regressor.conv6b.parameters())


# ---------------------------------------------------------------- holes


@pytest.mark.parametrize("size", [(24, 32), (23, 29)])
@pytest.mark.parametrize("padding", ["reflect", "zeros"])
def test_what_lies_under_the_hole_has_no_influence(size: tuple[int, int], padding: str) -> None:
    model = tiny(padding=padding)
    frames, masks = clip(height=size[0], width=size[1])
    other = torch.where(masks > 0.5, torch.full_like(frames, torch.nan), frames)
    with torch.no_grad():
        completed = model(frames, masks)
        assert torch.equal(model(other, masks), completed)
        known = torch.where(masks > 0.5, frames, 1 - frames)
        assert not torch.equal(model(known, masks), completed)


@pytest.mark.parametrize("legacy", [False, True])
def test_visible_is_the_largest_visibility_of_any_reference(legacy: bool) -> None:
    model = tiny(legacy_softmax=legacy)
    frames, masks = clip(num_frames=4)
    with torch.no_grad():
        target, features, references = split(model, frames, masks)
        completion = model.complete(target, features, [references], size=(24, 32), keep_aligned=True)
    assert torch.equal(completion.visible, completion.aligned[0].visible.amax(1))
    assert 0 < completion.visible.mean() < 1


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_the_decoder_is_told_exactly_what_no_reference_sees(scale: float) -> None:
    model = tiny()
    frames, masks = clip(num_frames=4)
    with torch.no_grad():
        target, features, references = split(model, frames, masks)
        aligned = model.align(features, references)
        copied = model.encode_copy(aligned)
        wanted = model.Encoder(target.frames, target.holes)
        # similarities far below zero are what a badly fitting reference gets
        gathered = model.CM_Module.gather(None, wanted * scale, target.known, -copied, aligned.visible)
        _, visible = model.CM_Module.match(wanted, target.known, copied, aligned.visible)
        unseen = model.CM_Module(wanted, gathered)[:, -1:]
    assert torch.equal(unseen, 1 - visible.amax(1))


@pytest.mark.parametrize("polarity", ["hole", "visible"])
def test_references_are_described_by_the_chosen_map(polarity: str) -> None:
    model = tiny(ref_mask_polarity=polarity)
    frames, masks = clip()
    maps: list[Tensor] = []
    model.Encoder.register_forward_pre_hook(lambda _, inputs: maps.append(inputs[1]))
    with torch.no_grad():
        _, features, references = split(model, frames, masks)
        aligned = model.align(features, references)
        model.encode_copy(aligned)
    expected = aligned.visible if polarity == "visible" else 1 - aligned.visible
    assert torch.equal(maps[0], expected.flatten(0, 1))


# ---------------------------------------------------------------- sizes and numbers


@pytest.mark.parametrize("size", [(24, 32), (23, 41), (1, 1), (3, 9), (5, 4)])
@pytest.mark.parametrize("padding", ["reflect", "zeros"])
def test_any_frame_size_comes_back_as_it_went_in(size: tuple[int, int], padding: str) -> None:
    frames, masks = clip(num_frames=2, height=size[0], width=size[1])
    with torch.no_grad():
        completed = tiny(padding=padding)(frames, masks)
    assert completed.shape == frames.shape
    assert completed.dtype == torch.float32
    assert completed.isfinite().all()
    assert completed.min() >= 0
    assert completed.max() <= 1


def test_the_middle_of_an_extended_frame_is_the_frame() -> None:
    frames, masks = clip(height=22, width=27)
    prepared = tiny().prepare(frames, masks)
    shown = torch.where(masks > 0.5, torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), frames)
    assert torch.equal(prepared.frames[..., 1:23, 2:29], shown)
    assert torch.equal(prepared.holes[..., 1:23, 2:29], masks)


def test_nothing_is_copied_from_reflected_borders() -> None:
    frames, masks = clip(height=22, width=27)
    reflected, black = tiny().prepare(frames, masks), tiny(padding="zeros").prepare(frames, masks)
    assert reflected.known.shape[-2:] == (24, 32)
    assert reflected.known.sum() == (1 - masks).sum()
    assert torch.equal(reflected.frames[..., 0, 2:29], reflected.frames[..., 2, 2:29])
    outside = 24 * 32 - 22 * 27
    assert black.known.sum() == (1 - masks).sum() + 3 * outside
    assert not black.frames[..., 0, :].any()


def test_a_lone_frame_and_a_clip_that_is_all_hole_are_completed() -> None:
    frames, masks = clip(num_frames=1)
    with torch.no_grad():
        assert tiny()(frames, masks).isfinite().all()
        frames, masks = clip()
        hidden = tiny()(frames, torch.ones_like(masks))
    assert hidden.isfinite().all()
    torch.testing.assert_close(hidden[:, 0], hidden[:, 1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("chunk", [1, 2])
def test_portions_of_references_change_nothing(chunk: int) -> None:
    frames, masks = clip(num_frames=4)
    with torch.no_grad():
        torch.testing.assert_close(tiny(reference_chunk=chunk)(frames, masks), tiny()(frames, masks), atol=1e-5, rtol=0)


def test_neither_the_order_of_references_nor_other_clips_matter() -> None:
    frames, masks = clip(batch=2, num_frames=4)
    order = [0, 3, 1, 2]
    model = tiny()
    with torch.no_grad():
        completed = model(frames, masks)
        torch.testing.assert_close(model(frames[:, order], masks[:, order]), completed[:, order], atol=1e-5, rtol=0)
        torch.testing.assert_close(model(frames[1:], masks[1:]), completed[1:], atol=1e-5, rtol=0)


def test_half_precision_weights_still_place_pixels_in_float32() -> None:
    frames, masks = clip()
    model = tiny()
    with torch.no_grad():
        _, features, references = split(model, frames, masks)
        exact = model.align(features, references).theta
        half = model.bfloat16()
        _, features, references = split(half, frames, masks)
        aligned = half.align(features, references)
        completed = half(frames, masks)
    assert aligned.theta.dtype == aligned.frames.dtype == completed.dtype == torch.float32
    assert completed.isfinite().all()
    torch.testing.assert_close(aligned.theta, exact, atol=0.03, rtol=0)


def test_every_part_that_is_trained_gets_a_gradient() -> None:
    model = tiny().train()
    frames, masks = clip()
    model(frames, masks).square().mean().backward()
    idle = {name for name, value in model.named_parameters() if value.requires_grad and not value.grad.any()}  # type: ignore[union-attr]
    assert not idle
    frozen = {name.rsplit(".", 3)[0] for name, value in model.named_parameters() if not value.requires_grad}
    assert frozen == {"A_Regressor.conv6a", "A_Regressor.conv6b"}


# ---------------------------------------------------------------- mistakes


def test_shapes_that_do_not_fit_are_refused() -> None:
    frames, masks = clip()
    with pytest.raises(ValueError, match=r"expected \(B, T, 3, H, W\)"):
        tiny()(frames, masks[:, :2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": "mirror"}, "padding=mirror: expected reflect or zeros"),
        ({"ref_mask_polarity": "known"}, "ref_mask_polarity=known: expected hole or visible"),
        ({"reference_chunk": 0}, "reference_chunk=0: expected at least 1"),
    ],
)
def test_a_misspelt_choice_names_the_right_ones(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        CPNet(channels=4, **options)
