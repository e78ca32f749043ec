"""How good optical flow is: against the true motion of clips made here, and by what it carries between real frames.

    python benchmarks/flow_quality.py --flow dis --flow irr_pwc=runs/flow/weights/best --clips clips/ --device cpu

A ``--flow`` is an option of conf/flow, with weights where it needs them.

True motion: cut-outs over a backdrop (vinpaint.data.LayeredMotion) and clips made by program at several distances in
time. ``epe`` is the mean end-point error in pixels, ``seen`` that of what is seen in the other frame, ``> 3 px`` the
share of the latter in per cent that is off by more; then come errors of what is seen by the length of its motion.

Real clips: the mean absolute difference, in levels of 255, between a frame and another one that was warped onto it, at
several distances in time. ``inside`` is over all pixels whose flow ends in the frame; ``own`` over those whose flow
leads there and back, with their share; ``common`` over those of which that is true for every method, so that none gains
by giving up on what is difficult.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from vinpaint.config import CONFIG_DIR, build
from vinpaint.data import FolderClips, LayeredMotion, ProceduralClips, WindowRequest
from vinpaint.models.flow.chaining import consistent_flow
from vinpaint.models.flow.estimator import BothFlows, FlowEstimator
from vinpaint.ops.conversion import to_tensor
from vinpaint.ops.warp import backward_warp


@dataclass
class Pair:
    """Two frames ``(1, 3, H, W)``, and what is known of the motion from the first to the second."""

    first: Tensor
    second: Tensor
    flow: Tensor | None = None  # (1, 2, H, W) pixels
    seen: Tensor | None = None  # (1, 1, H, W) in {0, 1}


@dataclass
class Means:
    """Weighted means by name."""

    sums: dict[str, float] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, values: Tensor, weight: Tensor) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + float((values * weight).sum())
        self.weights[name] = self.weights.get(name, 0.0) + float(weight.expand_as(values).sum())

    def __getitem__(self, name: str) -> float:
        return self.sums[name] / self.weights[name] if self.weights[name] else float("nan")


# ---------------------------------------------------------------- pairs


def layered_pairs(photographs: Path | None, count: int, size: tuple[int, int]) -> Iterator[Pair]:
    """Cut-outs that move; seeded apart from any training."""
    source = LayeredMotion(photographs, textures=50)
    for number in range(count):
        window = source.draw(number, np.random.default_rng([20_000, number]), WindowRequest(2, *size, "flow"))
        frames = window["frames"]
        yield Pair(frames[:1], frames[1:], window["flow_forward"], window["seen_forward"])


def procedural_pairs(count: int, size: tuple[int, int], distance: int) -> Iterator[Pair]:
    """Clips made by program, a pair of each."""
    for source in ProceduralClips(num_clips=count, num_frames=30, height=size[0], width=size[1], seed=20_000):
        with source.open() as clip:
            first = 12
            frames = to_tensor(clip.read([first, first + distance]))
            flow = torch.from_numpy(clip.flow(first, target=first + distance))[None]
            seen = torch.from_numpy(~clip.occluded(first, target=first + distance))[None, None].float()
        yield Pair(frames[:1], frames[1:], flow, seen)


def real_pairs(clips: FolderClips, size: tuple[int, int], distance: int, per_clip: int) -> Iterator[Pair]:
    """Frames of real clips, evenly spread."""
    for source in clips:
        with source.open() as clip:
            last = clip.num_frames - 1 - distance
            if last < 0:
                continue
            for first in np.unique(np.linspace(0, last, per_clip).round().astype(int)).tolist():
                frames = clip.read([first, first + distance])
                reduced = [cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA) for frame in frames]
                both = to_tensor(np.stack(reduced))
                yield Pair(both[:1], both[1:])


# ---------------------------------------------------------------- measures


def measure_truth(pairs: Iterator[Pair], methods: dict[str, FlowEstimator], device: torch.device) -> dict[str, Means]:
    """End-point errors per method."""
    found = {name: Means() for name in methods}
    for pair in pairs:
        assert pair.flow is not None
        assert pair.seen is not None
        length = pair.flow.norm(dim=1, keepdim=True)
        for name, method in methods.items():
            started = time.perf_counter()
            flow = method.estimate(pair.first.to(device), pair.second.to(device)).cpu()
            seconds = time.perf_counter() - started
            error = (flow - pair.flow).norm(dim=1, keepdim=True)
            means, one = found[name], torch.ones(1)
            means.add("epe", error, one)
            means.add("seen", error, pair.seen)
            means.add("> 3 px", (error > 3).float() * 100, pair.seen)
            for label, low, high in (("0-10 px", 0, 10), ("10-40", 10, 40), ("40+", 40, 1e9)):
                means.add(label, error, pair.seen * (length >= low) * (length < high))
            means.add("ms", torch.tensor([1000 * seconds]), one)
    return found


def measure_warp(pairs: Iterator[Pair], methods: dict[str, FlowEstimator], device: torch.device) -> dict[str, Means]:
    """What warping leaves of the difference between frames, per method."""
    found = {name: Means() for name in methods}
    for pair in pairs:
        errors: dict[str, Tensor] = {}
        holds: dict[str, Tensor] = {}
        for name, method in methods.items():
            flows: BothFlows = method.both(pair.first.to(device), pair.second.to(device))
            forward, backward = flows.forward.cpu(), flows.backward.cpu()
            warped, inside = backward_warp(pair.second, forward, padding_mode="border")
            errors[name] = 255 * (warped - pair.first).abs().mean(dim=1, keepdim=True)
            holds[name] = consistent_flow(forward, backward)
            found[name].add("inside", errors[name], inside)
            found[name].add("own", errors[name], holds[name])
            found[name].add("own %", 100 * holds[name], torch.ones(1))
        common = torch.stack(list(holds.values())).amin(dim=0)
        for name in methods:
            found[name].add("common", errors[name], common)
    return found


def show(title: str, found: dict[str, Means]) -> None:
    """Print a table, a method a row."""
    columns = list(next(iter(found.values())).sums)
    print(f"\n{title}\n{'':28}" + "".join(f"{column:>10}" for column in columns))
    for name, means in found.items():
        print(f"{name[-28:]:28}" + "".join(f"{means[column]:10.2f}" for column in columns), flush=True)


def estimator(spec: str, device: torch.device) -> FlowEstimator:
    """Build ``name`` or ``name=weights`` of conf/flow."""
    name, _, weights = spec.partition("=")
    node = cast(DictConfig, OmegaConf.load(CONFIG_DIR / "flow" / f"{name}.yaml"))
    if weights:
        node.weights = weights
    method = build(node)
    return cast(FlowEstimator, method.to(device) if isinstance(method, torch.nn.Module) else method)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flow", action="append", required=True, help="name, or name=weights; several times")
    parser.add_argument("--size", default="432x240", help="width x height of all frames, pixels")
    parser.add_argument("--pairs", type=int, default=40, help="pairs of each kind with true motion; 0: none")
    parser.add_argument("--photographs", type=Path, help="folder for cut-outs; made by program when left out")
    parser.add_argument("--clips", type=Path, help="folder of real clips")
    parser.add_argument("--pattern", default="*", help="which of its entries are clips, such as */frames*")
    parser.add_argument("--include", nargs="*", help="only clips of these names or patterns")
    parser.add_argument("--per-clip", type=int, default=6, help="pairs of a real clip and distance")
    parser.add_argument(
        "--distances", type=int, nargs="*", default=[1, 2, 4, 8], help="frames between the two of a pair"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    width, height = (int(side) for side in options.size.split("x"))
    size, device = (height, width), torch.device(options.device)
    methods = {spec: estimator(spec, device) for spec in options.flow}
    with torch.inference_mode():
        if options.pairs:
            pairs = layered_pairs(options.photographs, options.pairs, size)
            show("cut-outs over a backdrop", measure_truth(pairs, methods, device))
            for distance in options.distances:
                pairs = procedural_pairs(options.pairs, size, distance)
                show(f"clips made by program, {distance} frames apart", measure_truth(pairs, methods, device))
        for distance in options.distances if options.clips else ():
            clips = FolderClips(options.clips, clips=options.pattern, include=options.include)
            pairs = real_pairs(clips, size, distance, options.per_clip)
            show(f"real clips, {distance} frames apart", measure_warp(pairs, methods, device))


if __name__ == "__main__":
    main()
