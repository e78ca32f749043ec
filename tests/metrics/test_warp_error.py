"""Warp error against the public script and against clips whose motion is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vinpaint.metrics import UndefinedError, WarpError, occlusion, warp_error
from vinpaint.models.flow.dis import DISFlow
from vinpaint.models.flow.estimator import FlowPair


class KnownFlow:
    """A flow that is the same everywhere."""

    name = "known"

    def __init__(self, u: float = 0.0, v: float = 0.0) -> None:
        self.u, self.v = u, v
        self.sizes: list[tuple[int, ...]] = []

    def estimate(self, first: Tensor, second: Tensor) -> Tensor:
        self.sizes.append(tuple(first.shape))
        flow = torch.zeros(len(first), 2, *first.shape[-2:])
        flow[:, 0], flow[:, 1] = self.u, self.v
        return flow

    def both(self, first: Tensor, second: Tensor) -> FlowPair:
        flow = self.estimate(first, second)
        return FlowPair(flow, -flow)


@pytest.fixture(scope="module")
def stored_script(golden_dir: Path) -> dict[str, Any]:
    with np.load(golden_dir / "warp_error.npz") as archive:
        return dict(archive)


def flow_of(stored: dict[str, Any], key: str) -> Tensor:
    return torch.from_numpy(stored[key]).permute(0, 3, 1, 2)


def test_occlusion_equals_the_public_script(stored_script: dict[str, Any]) -> None:
    found = occlusion(flow_of(stored_script, "fw_flow"), flow_of(stored_script, "bw_flow"))[:, 0].numpy()
    expected = stored_script["occlusion"].astype(bool)
    assert 0.3 < expected[0].mean() < 0.6
    np.testing.assert_array_equal(found[:-1], expected[:-1])  # the last one was set by hand: everything occluded


def test_warp_error_equals_the_public_script(stored_script: dict[str, Any]) -> None:
    frames = torch.from_numpy(stored_script["frames_u8"]).permute(0, 3, 1, 2).float() / 255
    occluded = torch.from_numpy(stored_script["occlusion"])[:, None].bool()
    errors = warp_error(frames, flow_of(stored_script, "fw_flow"), occluded=occluded)
    np.testing.assert_allclose(errors.numpy(), stored_script["warp_error_pairs"], rtol=1e-5)
    assert float(errors.mean()) == pytest.approx(float(stored_script["warp_error"]), rel=1e-5)


def test_a_static_clip_has_no_warp_error() -> None:
    frames = torch.rand(1, 1, 3, 64, 64).round(decimals=2).repeat(1, 4, 1, 1, 1)
    metric = WarpError(KnownFlow())
    metric.update(frames, frames, masks=torch.ones(1, 4, 1, 64, 64), names=["still"])
    assert metric.compute().tolist() == pytest.approx([0, 0], abs=1e-9)


def test_a_clip_warped_by_its_known_flow_has_no_warp_error_inside() -> None:
    wide = torch.rand(3, 60, 80)
    frames = torch.stack([wide[:, 2 * t : 2 * t + 40, 12 - 3 * t : 12 - 3 * t + 56] for t in range(4)])
    forward = torch.tensor([3.0, -2.0]).view(1, 2, 1, 1).expand(3, 2, 40, 56)
    assert not occlusion(forward, -forward).any()
    border = torch.ones(3, 1, 40, 56, dtype=torch.bool)
    border[..., 2:-2, 3:-3] = False
    assert warp_error(frames, forward, occluded=border).tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert warp_error(frames, torch.zeros_like(forward), occluded=border).min() > 0.01


def test_hand_worked_pixels_of_the_hole() -> None:
    frames = torch.zeros(2, 3, 1, 4)
    frames[1, :, 0] = torch.tensor([0.1, 0.2, 0.3, 0.4])
    forward = torch.zeros(1, 2, 1, 4)
    forward[:, 0] = 1.0  # every pixel goes one to the right; the last is clamped
    masks = torch.zeros(2, 1, 1, 4)
    masks[0, ..., 0] = 1  # starts in the hole: compares with 0.2
    masks[1, ..., 2] = 1  # pixel 1 ends in the hole: compares with 0.3
    occluded = torch.zeros(1, 1, 1, 4, dtype=torch.bool)
    assert warp_error(frames, forward, occluded=occluded, masks=masks).item() == pytest.approx((0.04 + 0.09) / 2)
    occluded[..., 0] = True
    assert warp_error(frames, forward, occluded=occluded, masks=masks).item() == pytest.approx(0.09)
    assert warp_error(frames, forward, occluded=occluded).item() == pytest.approx((0.09 + 0.16 + 0.16) / 3)
    occluded[...] = True
    assert warp_error(frames, forward, occluded=occluded).item() == 0
    assert warp_error(frames, forward, occluded=occluded, masks=masks).isnan().all()


def test_two_flows_that_disagree_are_an_occlusion() -> None:
    forward = torch.zeros(1, 2, 4, 4)
    forward[:, 0] = 1.0
    assert occlusion(forward, torch.zeros(1, 2, 4, 4)).all()  # |0 + 1|^2 > 0.01 + 0.5
    assert not occlusion(forward * 0.7, torch.zeros(1, 2, 4, 4)).any()  # 0.49 < 0.0049 + 0.5
    edge = torch.zeros(1, 2, 4, 4)
    edge[:, 1, :, 2:] = 0.1
    assert occlusion(edge, -edge)[0, 0].any(dim=0).tolist() == [False, True, False, False]


def test_frames_are_resized_for_the_flow_and_the_flow_is_brought_back() -> None:
    wide = torch.rand(3, 40, 90)
    frames = torch.stack([wide[..., 10 - 2 * t : 10 - 2 * t + 72] for t in range(4)])[None]
    flow = KnownFlow(u=2 * 128 / 72)  # two pixels at the size of the frames
    metric = WarpError(flow, levels="float", pairs_at_once=2, regions=["hole"])
    masks = torch.zeros(1, 4, 1, 40, 72)
    masks[..., 8:32, 8:60] = 1
    metric.update(frames, frames, masks=masks, names=["a"])
    assert set(flow.sizes) == {(2, 3, 64, 128), (1, 3, 64, 128)}
    assert float(metric.compute()) == pytest.approx(0, abs=1e-9)
    assert metric.suffixes == ("_known_hole",)


def test_real_flow_finds_a_clip_that_moves_with_the_truth_more_consistent() -> None:
    wide = torch.nn.functional.avg_pool2d(torch.rand(3, 80, 120), 5, stride=1)
    truth = torch.stack([wide[:, 5:69, 20 - 3 * t : 84 - 3 * t] for t in range(4)])[None].clamp(0, 1)
    masks = torch.zeros(1, 4, 1, 64, 64)
    masks[..., 16:48, 16:48] = 1
    metric = WarpError(DISFlow())
    assert metric.suffixes == ("_dis", "_dis_hole")
    still = torch.where(masks > 0, truth[:, :1], truth)  # the hole does not follow the motion
    metric.update(torch.cat((truth, still)), truth.repeat(2, 1, 1, 1, 1), masks=masks.repeat(2, 1, 1, 1, 1), names="ab")
    moving, frozen = metric.clip_values
    assert (moving * 4 < frozen).all()


def test_pairs_at_once_change_nothing() -> None:
    frames, truth = torch.rand(2, 1, 6, 3, 20, 30).unbind()
    masks = (torch.rand(1, 6, 1, 20, 30) > 0.5).float()
    results = []
    for pairs in (1, 2, 5, 9):
        metric = WarpError(KnownFlow(u=1.25, v=-0.5), pairs_at_once=pairs, size_multiple=1)
        metric.update(frames, truth, masks=masks, names=["a"])
        results.append(metric.compute().tolist())
        assert metric.suffixes == ("_known", "_known_hole")
    for other in results[1:]:
        assert other == pytest.approx(results[0], rel=1e-9)


def test_videos_weigh_alike_by_default() -> None:
    metric = WarpError(KnownFlow(), regions=("whole",), levels="float", size_multiple=1)
    for name, num_frames, step in (("long", 5, 0.1), ("short", 2, 0.2)):
        ramp = torch.arange(num_frames).view(1, -1, 1, 1, 1) * step
        frames = ramp.expand(1, num_frames, 3, 8, 8)
        metric.update(frames, frames, masks=torch.ones(1, num_frames, 1, 8, 8), names=[name])
    assert float(metric.compute()) == pytest.approx((0.01 + 0.04) / 2, rel=1e-5)


def test_one_frame_has_no_motion() -> None:
    with pytest.raises(UndefinedError, match="one frame has no motion"):
        warp_error(torch.rand(1, 3, 8, 8), torch.zeros(0, 2, 8, 8), occluded=torch.zeros(0, 1, 8, 8))
    metric = WarpError(KnownFlow())
    frames = torch.rand(1, 1, 3, 8, 8)
    with pytest.warns(UserWarning, match="tennis: WarpError is undefined: a clip of one frame"):
        metric.update(frames, frames, masks=torch.ones(1, 1, 1, 8, 8), names=["tennis"])
    assert metric.compute().isnan().all()


def test_flow_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(2, 2, 8, 8\).*3 frames of 8x8"):
        warp_error(torch.rand(3, 3, 8, 8), torch.zeros(3, 2, 8, 8), occluded=torch.zeros(2, 1, 8, 8))


def test_a_flow_must_estimate() -> None:
    with pytest.raises(ValueError, match="flow is a str: expected a FlowEstimator"):
        WarpError("dis")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="choose whole, hole or both"):
        WarpError(KnownFlow(), regions=("holes",))  # type: ignore[arg-type]
