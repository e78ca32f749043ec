"""IRR-PWC against the public implementation under seeded weights, and what it promises beyond it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from golden_weights import official_state, recorded_summary, statistics
from vinpaint.models.flow import irr_pwc
from vinpaint.models.flow.estimator import FlowEstimator
from vinpaint.models.flow.irr_levels import to_global, to_local, warp
from vinpaint.models.flow.irr_pwc import IRRPWC, Flows

Stored = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def stored(golden_dir: Path) -> Stored:
    with np.load(golden_dir / "irr_pwc_192x256.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def state(golden_dir: Path) -> dict[str, Tensor]:
    return official_state(golden_dir, "irr_pwc")


@pytest.fixture(scope="module")
def network(state: dict[str, Tensor]) -> IRRPWC:
    network = IRRPWC(weights="random", occlusion=True)
    network.load_state_dict(state)
    return network


@pytest.fixture(scope="module")
def frames(stored: Stored) -> Tensor:
    return torch.from_numpy(stored["images_u8"]).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(scope="module")
def small_network() -> IRRPWC:
    return IRRPWC(weights="random")


@pytest.fixture(scope="module")
def refined() -> dict[str, list[Tensor]]:
    """Outputs of the refinements of flow and occlusion, level by level, filled by ``both``."""
    return {"flow": [], "occ": []}


@pytest.fixture(scope="module")
def both(network: IRRPWC, frames: Tensor, refined: dict[str, list[Tensor]]) -> Flows:
    def keep(kind: str) -> Callable[..., None]:
        return lambda _module, _inputs, output: refined[kind].append(output)

    hooks = [getattr(network, f"refine_{kind}").register_forward_hook(keep(kind)) for kind in refined]
    flows = network.both(frames[:1], frames[1:])
    for hook in hooks:
        hook.remove()
    return flows


def close(actual: Tensor | None, expected: NDArray[Any], tolerance: float) -> None:
    assert actual is not None
    np.testing.assert_allclose(actual.numpy(), expected, rtol=0, atol=tolerance)


# ---------------------------------------------------------------- the public network


def test_flow_and_occlusion_are_those_of_the_public_network(both: Flows, stored: Stored) -> None:
    close(both.forward, stored["tolerant_flow"], 1e-4)
    close(both.forward_occlusion, stored["tolerant_occ"], 1e-4)
    close(both.backward[..., ::3, ::3], stored["tolerant_flow_bwd_sub"], 1e-4)
    assert both.backward_occlusion is not None
    close(both.backward_occlusion[..., ::3, ::3], stored["tolerant_occ_bwd_sub"], 1e-4)


@pytest.mark.parametrize("level", range(4))
def test_every_level_is_refined_as_in_the_public_network(
    level: int, both: Flows, refined: dict[str, list[Tensor]], stored: Stored
) -> None:
    assert both.forward.isfinite().all()
    for kind in ("flow", "occ"):
        close(refined[kind][level][:1], stored[f"tolerant_level{level}_refined_{kind}_f"], 1e-4)


def test_what_rounding_decides_in_the_public_network_stays_small(both: Flows, stored: Stored) -> None:
    flow_mean, flow_max, occlusion_mean, occlusion_max = stored["official_vs_tolerant"]
    assert both.forward_occlusion is not None
    flow = np.abs(both.forward[..., ::3, ::3].numpy() - stored["official_flow"])
    occlusion = np.abs(both.forward_occlusion[..., ::3, ::3].numpy() - stored["official_occ"])
    assert flow.mean() < 1.2 * flow_mean
    assert flow.max() < 1.2 * flow_max
    assert occlusion.mean() < 1.2 * occlusion_mean
    assert occlusion.max() < 1.2 * occlusion_max


def test_scaling_the_refined_flow_once_is_another_network(
    network: IRRPWC, frames: Tensor, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published weights were trained with flow scaled before the refinement and again after it."""
    scaled = iter(range(1000))

    def leave_out_the_scaling_before(flow: Tensor, stride: float) -> Tensor:
        # three per level: for the warp of the image, before the refinement, after it
        return flow if next(scaled) % 3 == 1 else to_global(flow, stride)

    monkeypatch.setattr(irr_pwc, "to_global", leave_out_the_scaling_before)
    flow = network(frames[:1], frames[1:])[0]
    assert next(scaled) == 15
    expected = stored["not_official_without_inplace_flow_stats"]
    np.testing.assert_allclose([statistics(component) for component in flow], expected, rtol=0.02, atol=0.05)
    assert abs(expected[:, 1] - stored["tolerant_flow_stats"][:, 1]).min() > 1


def test_units_and_warp_are_the_public_ones(golden_dir: Path) -> None:
    with np.load(golden_dir / "irr_ops.npz") as archive:
        stored = {key: torch.from_numpy(archive[key]) for key in archive.files if archive[key].ndim}
        frame_size = int(archive["warp_height_im"]), int(archive["warp_width_im"])
    stride = frame_size[1] / stored["warp_x"].shape[-1]
    close(to_local(stored["rescale_in"], stride), stored["rescale_to_local"].numpy(), 1e-6)
    close(to_global(stored["rescale_in"], stride), stored["rescale_to_global"].numpy(), 1e-6)
    warped = warp(stored["warp_x"], stored["warp_flow"], frame_size)
    close(warped, stored["warped_tolerant"].numpy(), 1e-5)


def test_names_and_sizes_are_those_of_the_public_weights(golden_dir: Path) -> None:
    network = IRRPWC(weights="random")
    own = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert own == {key: entry["shape"] for key, entry in recorded_summary(golden_dir, "irr_pwc").items()}


def test_it_is_a_flow_estimator(small_network: IRRPWC) -> None:
    assert isinstance(small_network, FlowEstimator)


def test_it_has_the_published_number_of_parameters(small_network: IRRPWC) -> None:
    assert len(small_network.state_dict()) == 124
    assert sum(parameter.numel() for parameter in small_network.parameters()) == 6_362_092
    assert not any(parameter.requires_grad for parameter in small_network.parameters())


# ---------------------------------------------------------------- the same flow for less


def test_without_occlusion_the_flow_is_the_same(network: IRRPWC, both: Flows, frames: Tensor) -> None:
    flow_only = IRRPWC(weights="random")
    flow_only.load_state_dict(network.state_dict())
    flows = flow_only.both(frames[:1], frames[1:])
    assert flows.forward_occlusion is flows.backward_occlusion is None
    torch.testing.assert_close(flows.forward, both.forward, rtol=0, atol=1e-5)
    torch.testing.assert_close(flows.backward, both.backward, rtol=0, atol=1e-5)


def test_without_occlusion_it_is_less_than_half_the_work() -> None:
    pair = torch.rand(2, 1, 3, 64, 64)
    work = {}
    for occlusion in (True, False):
        network = IRRPWC(weights="random", occlusion=occlusion)
        with FlopCounterMode(display=False) as counter:
            network.both(*pair)
        work[occlusion] = counter.get_total_flops()
    assert work[False] < 0.45 * work[True]


def test_one_direction_is_the_forward_half_of_both(small_network: IRRPWC) -> None:
    first, second = torch.rand(2, 2, 3, 64, 128)
    flows = small_network.both(first, second)
    torch.testing.assert_close(small_network(first, second), flows.forward, rtol=0, atol=1e-4)
    torch.testing.assert_close(small_network.estimate(second, first), flows.backward, rtol=0, atol=1e-4)


@pytest.mark.parametrize("max_pairs", [1, 2, 9])
@pytest.mark.parametrize("occlusion", [True, False])
def test_a_clip_gives_the_flows_of_its_pairs_and_describes_each_frame_once(max_pairs: int, occlusion: bool) -> None:
    network = IRRPWC(weights="random", occlusion=occlusion, max_pairs=max_pairs)
    clip = torch.rand(4, 3, 60, 70)
    expected = network.both(clip[:-1], clip[1:])

    described: list[int] = []
    network.feature_pyramid_extractor.register_forward_pre_hook(
        lambda _module, inputs: described.append(len(inputs[0]))
    )
    chunks = list(network.sequence(clip))

    assert sum(described) == 4
    assert max(len(chunk.forward) for chunk in chunks) <= max_pairs
    for actual, wanted in zip(zip(*chunks, strict=True), expected, strict=True):
        if wanted is None:
            assert set(actual) == {None}
        else:
            torch.testing.assert_close(torch.cat(actual), wanted, rtol=0, atol=1e-4)


def test_a_clip_of_one_frame_has_no_flow(small_network: IRRPWC) -> None:
    assert list(small_network.sequence(torch.rand(1, 3, 64, 64))) == []


# ---------------------------------------------------------------- any frames


@pytest.mark.parametrize("size", [(100, 130), (1, 1), (37, 64)])
def test_other_sizes_are_resized_and_the_flow_scaled_back(size: tuple[int, int], small_network: IRRPWC) -> None:
    frames = torch.rand(2, 1, 3, *size)
    H, W = (-(-side // 64) * 64 for side in size)
    resize = torch.nn.functional.interpolate
    at_work = small_network(*(resize(f, size=(H, W), mode="bilinear", align_corners=False) for f in frames))
    expected = resize(at_work, size=size, mode="bilinear", align_corners=False)
    expected = expected * torch.tensor([size[1] / W, size[0] / H])[:, None, None]
    torch.testing.assert_close(small_network(*frames), expected)


def test_flow_is_float32_under_autocast_and_from_half_frames(small_network: IRRPWC) -> None:
    frames = (torch.rand(2, 1, 3, 64, 64) * 255).round() / 256  # exact in half precision
    expected = small_network(*frames)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(small_network(*frames), expected)
    assert torch.equal(small_network(*frames.half()), expected)


def test_pairs_of_a_batch_do_not_see_each_other(small_network: IRRPWC) -> None:
    first, second = torch.rand(2, 3, 3, 64, 64)
    alone = torch.cat([small_network(first[i : i + 1], second[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(small_network(first, second), alone, rtol=0, atol=1e-4)


def test_frames_of_two_shapes_are_refused(small_network: IRRPWC) -> None:
    with pytest.raises(ValueError, match=r"expected two of one shape \(N, 3, H, W\)"):
        small_network(torch.zeros(1, 3, 64, 64), torch.zeros(2, 3, 64, 64))
    with pytest.raises(ValueError, match=r"expected two of one shape \(N, 3, H, W\)"):
        small_network.both(torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64))


# ---------------------------------------------------------------- weights


@pytest.mark.parametrize("prefix", ["", "_model.", "model.", "module."])
@pytest.mark.parametrize("extra", [{}, {"epoch": 3, "pytorch-lightning_version": "2.0"}])
def test_published_checkpoints_load(prefix: str, extra: dict[str, Any], small_network: IRRPWC, tmp_path: Path) -> None:
    state = {key: value + 1 for key, value in small_network.state_dict().items()}
    path = tmp_path / "checkpoint_best.ckpt"
    torch.save({"state_dict": {prefix + key: value for key, value in state.items()}, **extra}, path)
    network = IRRPWC(weights=path)
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert network.name == "irr_pwc"


@pytest.mark.parametrize("weights", [None, "nowhere/irr.ckpt"])
def test_missing_weights_say_where_to_fetch_them(weights: str | None) -> None:
    with pytest.raises(
        ValueError, match=r"fetch .*IRR-PWC_things3d/checkpoint_best.ckpt of https://github.com/visinf/irr"
    ):
        IRRPWC(weights=weights)


def test_weights_of_another_network_are_refused(small_network: IRRPWC, tmp_path: Path) -> None:
    state = dict(small_network.state_dict())
    del state["refine_occ.convs.6.0.bias"]
    torch.save({"state_dict": state}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=r"lack refine_occ\.convs\.6\.0\.bias"):
        IRRPWC(weights=tmp_path / "other.ckpt")


def test_random_weights_are_the_same_everywhere_and_named_so() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = IRRPWC(weights="random")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second = IRRPWC(weights="random")
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert first.name == "irr_pwc_random_weights"


def test_no_pair_at_a_time_is_refused() -> None:
    with pytest.raises(ValueError, match="max_pairs=0: expected 1 or more"):
        IRRPWC(weights="random", max_pairs=0)
