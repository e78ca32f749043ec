"""Cost of STRA-Net per frame, part by part: multiplications and additions, and time on this machine.

    python benchmarks/stra_net.py --size 432x240 --references 19 --near 6 model.network.align_domain=feature

Counts what the engine runs for one frame in the middle of a clip: every reference is aligned by an affine map, the near
ones by flow too, one frame is encoded as it was read and one as it was completed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vinpaint.config import build, compose
from vinpaint.models.cpnet import PreparedFrames
from vinpaint.models.stra_net import Motion, References, STRANet


def measured(part: Callable[[], Any], repeats: int) -> tuple[float, float, Any]:
    """GFLOP, the least of the seconds taken, and what the part gave."""
    with FlopCounterMode(display=False) as counter:
        result = part()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        part()
        seconds.append(time.perf_counter() - started)
    return counter.get_total_flops() / 1e9, min(seconds, default=float("nan")), result


@torch.no_grad()
def costs(network: STRANet, size: tuple[int, int], references: int, near: int, repeats: int) -> dict[str, Any]:
    """GFLOP and seconds of each part."""
    height, width = size
    frames = torch.rand(references + 1, 3, height, width)
    masks = torch.zeros(references + 1, 1, height, width)
    masks[..., height // 4 : height // 2, width // 3 : width // 2] = 1
    prepared = network.prepare(frames, masks)
    target = PreparedFrames(*(part[:1] for part in prepared))
    others = PreparedFrames(*(part[1:].unsqueeze(0) for part in prepared))
    features = network.encode_alignment(prepared)
    flow = torch.randn(1, near, 2, *prepared.frames.shape[-2:])
    motion = Motion(flow, torch.ones_like(flow[:, :, :1]))
    nearest = PreparedFrames(*(part[:, :near] for part in others))
    farther = PreparedFrames(*(part[:, near:] for part in others))
    pyramid = network.encode_copy(PreparedFrames(*(part.unsqueeze(0) for part in prepared)))
    by_feature = network.align_domain == "feature"

    def portions() -> list[References]:
        levels = [tuple(level[:, 1:][:, part] for level in pyramid) for part in (slice(near), slice(near, None))]
        first, second = levels if by_feature else (None, None)
        return [
            References(nearest, features[1:][None, :near], motion, first),
            References(farther, features[1:][None, near:], None, second),
        ]

    def all_but_spatial() -> Tensor:
        return network.complete(target, features[:1], portions(), size=size, spatial=False).temporal

    parts: dict[str, Callable[[], Any]] = {
        "flow, one pair there and back": lambda: network.flow.between(
            target, PreparedFrames(*(p[1:2] for p in prepared))
        ),
        "affine encoder, two frames": lambda: network.encode_alignment(PreparedFrames(*(p[:2] for p in prepared))),
        f"affine regressor, {references} pairs": lambda: network.affine(features[:1], features[1:][None]),
        f"copy encoder, {2 if by_feature else references + near} frames": lambda: network.encode_copy(
            PreparedFrames(*(torch.cat([p, p])[: 2 if by_feature else references + near] for p in prepared))
        ),
        "all but flow, affine encoder and spatial": all_but_spatial,
    }
    if network.spatial is not None:
        parts["spatial, where anything is left over"] = lambda: network.spatial(target.frames, target.holes)  # type: ignore[misc]
    return {name: measured(part, repeats)[:2] for name, part in parts.items()}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="stra_net")
    parser.add_argument("--size", default="432x240", help="width x height the network works at")
    parser.add_argument("--references", type=int, default=19)
    parser.add_argument("--near", type=int, default=6, help="references that are aligned by flow too")
    parser.add_argument("--repeats", type=int, default=3, help="0 counts and does not time")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("overrides", nargs="*", help="such as model.network.align_domain=feature")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    network = build(compose("inpaint", [f"model={arguments.model}", *arguments.overrides]).model.network).eval()
    width, height = (int(side) for side in arguments.size.split("x"))
    table = costs(network, (height, width), arguments.references, arguments.near, arguments.repeats)
    for name, (flops, seconds) in table.items():
        print(f"{name:45} {flops:8.1f} GFLOP {seconds:8.3f} s")


if __name__ == "__main__":
    main()
