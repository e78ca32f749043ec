"""Every network on a GPU against float64 on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from device_agreement import PRECISIONS, Case
from vinpaint.metrics.lpips import LPIPSNetwork
from vinpaint.models.cpnet import CPNet
from vinpaint.models.flow.estimator import FlowPair
from vinpaint.models.flow.irr_pwc import IRRPWC
from vinpaint.models.fusion import FusionNetwork
from vinpaint.models.hifill_discriminator import HiFillDiscriminator
from vinpaint.models.i3d import I3D
from vinpaint.models.stra_net import STRANet
from vinpaint.models.sttn import STTN
from vinpaint.models.t_patch_gan import TPatchGAN
from vinpaint.models.vgg import VGG16Features

pytestmark = pytest.mark.gpu


def smooth(*shape: int) -> Tensor:
    """Pictures in [0, 1] without the noise that no flow can follow."""
    coarse = torch.rand(*shape[:-2], shape[-2] // 8 + 1, shape[-1] // 8 + 1, dtype=torch.float64)
    large = nn.functional.interpolate(coarse.flatten(0, -4), shape[-2:], mode="bicubic", align_corners=True)
    return large.clamp(0, 1).reshape(shape)


def pictures() -> Tensor:
    return smooth(1, 2, 3, 64, 128)[0]


def boxes(num_frames: int, height: int, width: int) -> Tensor:
    masks = torch.zeros(1, num_frames, 1, height, width, dtype=torch.float64)
    for index in range(num_frames):
        masks[:, index, :, height // 4 : height // 2, width // 4 + index : width // 2 + index] = 1
    return masks


def clip(num_frames: int = 4, height: int = 96, width: int = 96) -> tuple[Tensor, Tensor]:
    return smooth(1, num_frames, 3, height, width), boxes(num_frames, height, width)


def shaken(network: nn.Module, std: float = 0.1) -> nn.Module:
    """Weights that are not zero anywhere."""
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=std)
    return network


def candidates() -> tuple[dict[str, Tensor]]:
    hole = boxes(2, 40, 48)[0]
    return (
        {
            "image": smooth(1, 2, 3, 40, 48)[0] * (1 - hole),
            "hole": hole,
            "missing": hole * (torch.rand_like(hole) > 0.8),
            "plain": smooth(1, 2, 3, 40, 48)[0],
            "colours": smooth(2, 4, 3, 40, 48),
            "shares": torch.rand(2, 4, 40, 48, dtype=torch.float64),
            "offsets": torch.tensor([0.0, -1, 1, -8], dtype=torch.float64).expand(2, -1),
        },
    )


def call(network: nn.Module, *inputs: Any) -> Sequence[Tensor]:
    outputs = network(*inputs)
    return outputs if isinstance(outputs, (list, tuple)) else [outputs]


def run_sttn(network: STTN, frames: Tensor, masks: Tensor) -> Sequence[Tensor]:
    """What it makes of the frames, about mid-grey, and the features before."""
    encoded = network.encode(frames, masks)
    features = network.transform(encoded, masks, num_queries=3)
    return [encoded, features, network.decode(features) - 0.5]


def run_hole(network: nn.Module, frames: Tensor, masks: Tensor) -> Sequence[Tensor]:
    """What lies in the hole: known pixels agree anyway."""
    return [network(frames, masks) * masks]


class Drift:
    """A flow estimator that sees everything drift 1.5 pixels to the left from each frame to the next."""

    def estimate(self, first: Tensor, second: Tensor) -> Tensor:
        return self.both(first, second).forward

    def both(self, first: Tensor, second: Tensor) -> FlowPair:
        forward = torch.zeros_like(first[:, :2])
        forward[:, 0] = -1.5
        return FlowPair(forward, -forward)


LOOSE = {"float32": 1e-4, "tf32": 2e-2, "bf16": 1e-1}
STATISTICS = {"float32": 3e-4, "tf32": 1e-1, "bf16": 5e-1}  # of few positions: they enlarge what is off
FLOW = {"float32": 1e-4, "tf32": 2e-2, "bf16": 1e-4}  # float32 whatever autocast says

CASES = [
    Case("STTN", lambda: STTN(channels=32, num_blocks=3, init_gain=1.0), clip, run_sttn, half_weights=True),
    Case("STTN, autocast", lambda: STTN(channels=32, num_blocks=3, init_gain=1.0), clip, run_sttn),
    Case("CPNet", lambda: CPNet(channels=8), clip, run_hole, half_weights=True),
    Case(
        "STRA-Net", lambda: STRANet(channels=8, alignment_channels=8, flow=Drift()), clip, run_hole,
        half_weights=True, limits=LOOSE,
    ),
    Case("IRR-PWC", lambda: IRRPWC(weights="random"), lambda: (pictures(), pictures()), call, limits=FLOW),
    Case(
        "IRR-PWC, occlusion", lambda: IRRPWC(weights="random", occlusion=True), lambda: (pictures(), pictures()),
        lambda network, *pair: network.both(*pair), limits=FLOW,
    ),
    Case("fusion", lambda: shaken(FusionNetwork(channels=8)), candidates, call),
    Case("I3D", I3D, lambda: (smooth(1, 3, 9, 64, 64),), lambda network, video: [network.features(video)]),
    Case(
        "I3D, batch statistics", I3D, lambda: (smooth(2, 3, 9, 64, 64),),
        lambda network, video: [network.features(video, bn_mode="batch")], limits=STATISTICS,
    ),
    Case("T-PatchGAN", lambda: TPatchGAN(channels=8), lambda: (smooth(1, 4, 3, 64, 64),), call),
    Case("HiFill discriminator", lambda: HiFillDiscriminator(head="pool"), lambda: (pictures(),), call, limits=LOOSE),
    Case("VGG-16", VGG16Features, lambda: (pictures(),), call),
    Case("LPIPS", lambda: shaken(LPIPSNetwork(), std=0.05), lambda: (pictures(), pictures()), call, limits=LOOSE),
]  # fmt: skip


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_network_agrees_with_float64_on_the_cpu(
    case: Case, precision: str, device: torch.device, errors: list[tuple[str, str, float, float]]
) -> None:
    error = case.error(device, precision)
    errors.append((case.name, precision, error, case.limits[precision]))
    assert error < case.limits[precision]  # NaN is below nothing
