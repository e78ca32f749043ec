"""Time of optical flow: IRR-PWC with and without occlusion, and the cost volume in three formulations.

Repeats are interleaved, so that a busy machine slows all alike; medians are printed, with the ratio to the first:

    python benchmarks/flow.py --threads 2 --size 448x256
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from vinpaint.models.flow.irr_pwc import IRRPWC
from vinpaint.ops.correlation import local_correlation

RADIUS = 4
SIDE = 2 * RADIUS + 1


def shifted_products(source: Tensor, target: Tensor) -> Tensor:
    """Multiply and average once per displacement."""
    H, W = source.shape[-2:]
    padded = F.pad(target, [RADIUS] * 4)
    volume = [(source * padded[:, :, y : y + H, x : x + W]).mean(dim=1) for y in range(SIDE) for x in range(SIDE)]
    return torch.stack(volume, dim=1)


def unfolded_contraction(source: Tensor, target: Tensor) -> Tensor:
    """Contract channels with a view that holds every neighbourhood."""
    neighbours = F.pad(target, [RADIUS] * 4).unfold(2, SIDE, 1).unfold(3, SIDE, 1)
    return torch.einsum("bchw,bchwij->bijhw", source, neighbours).flatten(1, 2) / source.shape[1]


def compare(title: str, contestants: dict[str, Callable[[], object]], repeats: int) -> None:
    """Run each once to warm up, then all in turn, and print medians."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for repeat in range(repeats + 1):
        for name, run in contestants.items():
            started = time.perf_counter()
            run()
            if repeat:
                seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    first = next(iter(medians.values()))
    print(title)
    for name, median in medians.items():
        print(f"  {name:34} {median * 1000:9.1f} ms  {median / first:5.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="448x256", help="width x height of the frames, pixels")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    width, height = (int(side) for side in options.size.split("x"))

    full, flow_only = (IRRPWC(weights="random", occlusion=occlusion) for occlusion in (True, False))
    first, second = torch.rand(2, 1, 3, height, width)
    with torch.inference_mode():
        compare(
            f"IRR-PWC, one pair of {options.size}, {options.threads} threads",
            {
                "both directions and occlusion": lambda: full.both(first, second),
                "both directions": lambda: flow_only.both(first, second),
                "one direction": lambda: flow_only(first, second),
            },
            options.repeats,
        )
        source, target = torch.randn(2, 2, 32, height // 4, width // 4)
        compare(
            "cost volume of 32 channels at a quarter of the size, two pairs",
            {
                "tiles (vinpaint.ops.correlation)": lambda: local_correlation(source, target, radius=RADIUS),
                "81 shifted products": lambda: shifted_products(source, target),
                "unfolded contraction": lambda: unfolded_contraction(source, target),
            },
            options.repeats,
        )


if __name__ == "__main__":
    main()
