"""The recipe that draws weights and clips for stored outputs gives the values that were recorded with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import golden_weights

MODELS = ["sttn_generator", "sttn_discriminator", "irr_pwc", "i3d", "cpnet"]
CLIPS = [("sttn_forward_b1_t3", 3), ("sttn_forward_b2_t2", 4), ("sttn_test_t12", 12), ("sttn_discriminator_n10", 10)]


@pytest.mark.parametrize("model", MODELS)
def test_weights_are_the_recorded_ones(golden_dir: Path, model: str) -> None:
    state, recorded = (
        golden_weights.official_state(golden_dir, model),
        golden_weights.recorded_summary(golden_dir, model),
    )
    assert set(state) == set(recorded)
    kept = {"mean", "std", "mean3d"}
    drawn = {key: entry for key, entry in recorded.items() if "mean" in entry and key.rpartition(".")[2] not in kept}
    assert drawn
    for key, entry in drawn.items():
        mean, std = golden_weights.statistics(state[key])[:2]
        assert mean == pytest.approx(entry["mean"], abs=1e-6), key
        assert std == pytest.approx(entry["std"], abs=1e-6), key
        np.testing.assert_allclose(state[key].flatten()[:3].numpy(), entry["first"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "num_frames"), CLIPS)
def test_clips_and_masks_are_the_recorded_ones(golden_dir: Path, name: str, num_frames: int) -> None:
    with np.load(golden_dir / f"{name}.npz") as stored:
        seed, key = int(stored["seed"]), str(stored["video_key"])
        clip = golden_weights.moving_clip(seed, key, num_frames, 240, 432)
        assert golden_weights.sha256(clip) == str(stored["frames_sha256"])
        if "masks_u8" in stored:
            masks = golden_weights.box_masks(seed, key, num_frames, 240, 432, fractions=stored["mask_fractions"])
            assert np.array_equal(masks, stored["masks_u8"])
