"""CPNet against stored outputs of the released code under seeded weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from golden_weights import box_masks, moving_clip, official_state, recorded_summary, statistics
from vinpaint.models.cpnet import CPNet, PreparedFrames, References
from vinpaint.ops.compositing import composite
from vinpaint.ops.conversion import mask_to_tensor, to_tensor
from vinpaint.ops.reference_attention import masked_softmax


def released_cpnet(golden_dir: Path, **options: Any) -> CPNet:
    """The network as the released script runs it, with the seeded weights."""
    model = CPNet(ref_mask_polarity="visible", legacy_softmax=True, padding="zeros", **options)
    constants = {key: value for key, value in model.state_dict().items() if "mean" in key or "std" in key}
    model.load_state_dict(official_state(golden_dir, "cpnet", keep=constants))
    return model.eval()


@pytest.fixture(scope="module")
def model(golden_dir: Path) -> CPNet:
    return released_cpnet(golden_dir)


@pytest.fixture(scope="module")
def stored(golden_dir: Path) -> dict[str, Any]:
    return dict(np.load(golden_dir / "cpnet_5x240x424.npz"))


@pytest.fixture(scope="module")
def frames(stored: dict[str, Any]) -> tuple[Tensor, Tensor]:
    return to_tensor(stored["frames_u8"]), mask_to_tensor(stored["masks_u8"] > 0)


@pytest.fixture(scope="module")
def prepared(model: CPNet, frames: tuple[Tensor, Tensor]) -> PreparedFrames:
    return model.prepare(*frames)


@pytest.fixture(scope="module")
def features(model: CPNet, prepared: PreparedFrames) -> Tensor:
    with torch.no_grad():
        return model.encode_alignment(prepared)


def near(actual: Tensor, expected: Any, tolerance: float) -> None:
    np.testing.assert_allclose(actual.numpy(), expected, atol=tolerance, rtol=0)


def test_names_shapes_and_values_of_the_weights_are_the_recorded_ones(golden_dir: Path, model: CPNet) -> None:
    recorded, state = recorded_summary(golden_dir, "cpnet"), model.state_dict()
    assert state.keys() == recorded.keys()
    assert all(list(state[key].shape) == entry["shape"] for key, entry in recorded.items())
    for key in ("A_Encoder.std", "mean3d", "A_Regressor.fc.bias", "Decoder.conv21.conv.0.weight"):
        near(state[key].flatten()[:3], recorded[key]["first"], 1e-6)


def test_stored_inputs_are_made_anew(stored: dict[str, Any]) -> None:
    seed, key = int(stored["seed"]), str(stored["video_key"])
    assert np.array_equal(moving_clip(seed, key, 5, 240, 424, vy=1, vx=2), stored["frames_u8"])
    assert np.array_equal(box_masks(seed, key, 5, 240, 424, fractions=stored["mask_fractions"]), stored["masks_u8"])


def test_alignment_features_are_the_released_codes(stored: dict[str, Any], features: Tensor) -> None:
    near(features[:, ::8, ::2, ::2].transpose(0, 1), stored["a_feat_sub"], 5e-5)
    near(features[int(stored["target"])][::8, ::2, ::2], stored["target_a_feat_sub"], 5e-5)
    np.testing.assert_allclose(statistics(features), stored["a_feat_stats"], rtol=1e-5)


@pytest.mark.parametrize("align_corners", [True, False])
def test_every_stage_is_the_released_codes(  # noqa: PLR0917 - fixtures
    align_corners: bool,
    model: CPNet,
    frames: tuple[Tensor, Tensor],
    prepared: PreparedFrames,
    features: Tensor,
    stored: dict[str, Any],
) -> None:
    values = {key[4:]: value for key, value in stored.items() if key.startswith(f"ac{int(align_corners)}_")}
    model.align_corners = align_corners
    index, others = int(stored["target"]), stored["refs"].tolist()
    target = PreparedFrames(*(part[index : index + 1] for part in prepared))
    references = References(PreparedFrames(*(part[others][None] for part in prepared)), features[others][None])
    with torch.no_grad():
        aligned = model.align(features[index : index + 1], references)
        copied = model.encode_copy(aligned)
        wanted = model.Encoder(target.frames, target.holes)
        logits, visible = model.CM_Module.match(wanted, target.known, copied, aligned.visible)
        weights = masked_softmax(logits[..., None, None, None], visible, dim=1, legacy=True)
        gathered = model.CM_Module.gather(None, wanted, target.known, copied, aligned.visible)
        pasted = model.CM_Module(wanted, gathered)
        decoded = model.Decoder(pasted)
    near(aligned.theta[0], values["theta"], 1e-5)
    near(aligned.frames[0].transpose(0, 1)[..., ::4, ::4], values["aligned_sub"], 5e-4)
    seen = aligned.visible[0].transpose(0, 1)[..., ::4, ::4].numpy() > 0.5
    decided = np.abs(values["aligned_valid_raw_sub"] - 0.5) > 1e-4
    assert np.array_equal(seen[decided], (values["aligned_valid_raw_sub"] > 0.5)[decided])
    near(torch.cat([wanted, copied[0]]).transpose(0, 1)[::8, :, ::4, ::4], values["c_feats_sub"], 3e-3)
    near(logits[0], values["similarity"], 1e-4)
    near(visible[0, :, 0, ::2, ::2], values["ref_valid_lowres_sub"], 0)
    near(weights[0, :, 0, ::2, ::2], values["c_match_sub"], 1e-4)
    near(pasted[0, 128:256][::8, ::2, ::2], values["c_out_sub"], 1e-3)
    near(pasted[0, 256], values["c_mask"], 1e-4)
    np.testing.assert_allclose(statistics(pasted), values["p_in_stats"], rtol=1e-4)
    near(decoded[0][:, ::2, ::2], values["pred"], 1e-4)
    np.testing.assert_allclose(statistics(decoded), values["pred_stats"], rtol=1e-4)
    known, hole = frames[0][index], frames[1][index]
    near(composite(known, decoded[0].clamp(0, 1), hole)[:, ::2, ::2], values["comp"], 1e-4)


@pytest.mark.slow
def test_completing_in_portions_is_the_released_codes(
    golden_dir: Path, frames: tuple[Tensor, Tensor], prepared: PreparedFrames, features: Tensor, stored: dict[str, Any]
) -> None:
    model = released_cpnet(golden_dir)
    index, others = int(stored["target"]), stored["refs"].tolist()
    target = PreparedFrames(*(part[index : index + 1] for part in prepared))
    portions = [
        References(PreparedFrames(*(part[chunk][None] for part in prepared)), features[chunk][None])
        for chunk in (others[:3], others[3:])
    ]
    with torch.no_grad():
        completed = model.complete(target, features[index : index + 1], portions, size=(240, 424)).frame
    near(completed[0][:, ::2, ::2], stored["ac1_pred"], 1e-4)
