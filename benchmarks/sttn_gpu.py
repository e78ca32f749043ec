"""Output frames per second of STTN on a GPU, form by form.

    python benchmarks/sttn_gpu.py --json sttn_gpu.json
    python benchmarks/sttn_gpu.py --device cpu --size 144x96 --frames 12 --channels 16 --repeats 1     # tries it out

A clip of 8-bit frames in memory is completed to 8-bit frames in memory, so no codec takes part. ``plain float32`` is
the network as the public code runs it (benchmarks/plain_sttn.py) without TF32; all others are the window engine. Forms
are measured in turn, after one clip each to warm up, and the medians are shown. Weights are random: they cost the same.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import signal
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from plain_sttn import Pictures, PlainSTTN, complete_plainly, moving_clip
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vinpaint.inference.inpainter import MaskedClip
from vinpaint.inference.schedule import window_schedule
from vinpaint.inference.window import WindowInpainter
from vinpaint.masks import ArrayMasks
from vinpaint.models.sttn import FEATURE_STRIDE, STTN
from vinpaint.ops.conversion import to_uint8
from vinpaint.video import ArrayClip


class GraphedSTTN(nn.Module):
    """A network whose window transform is recorded once per shape as a CUDA graph and replayed.

    Args:
        network: on the GPU, in evaluation mode.
    """

    def __init__(self, network: STTN) -> None:
        super().__init__()
        self.network = network
        self.encode, self.decode = network.encode, network.decode
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: dict[tuple[int, ...], tuple[torch.cuda.CUDAGraph, Tensor, Tensor, Tensor]] = {}

    def transform(self, features: Tensor, masks: Tensor, *, num_queries: int | None = None) -> Tensor:
        """As :meth:`STTN.transform`; the result is overwritten by the next call of the same shape."""
        shape = (*features.shape, num_queries or 0)
        if shape not in self._graphs:
            self._graphs[shape] = self._record(features.clone(), masks.clone(), num_queries)
        graph, own_features, own_masks, output = self._graphs[shape]
        own_features.copy_(features)
        own_masks.copy_(masks)
        graph.replay()
        return output

    def _record(self, features: Tensor, masks: Tensor, num_queries: int | None) -> Any:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self.network.transform(features, masks, num_queries=num_queries)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            output = self.network.transform(features, masks, num_queries=num_queries)
        return graph, features, masks, output


class Form:
    """One way to complete the clip.

    Args:
        name: for the table.
        complete: gives the completed frames.
        tf32: whether float32 products and convolutions may round their factors to TF32.
        tune: whether cuDNN may try its algorithms out, once per shape.
    """

    def __init__(self, name: str, complete: Callable[[], Pictures], *, tf32: bool = False, tune: bool = False) -> None:
        self.name, self._complete, self._tf32, self._tune = name, complete, tf32, tune
        self.seconds: list[float] = []
        self.warm_up = 0.0
        self.peak_mib = 0.0

    def run(self, device: torch.device) -> tuple[float, Pictures]:
        """Seconds taken and the completed frames."""
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self._tf32
        torch.backends.cudnn.benchmark = self._tune
        if device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        completed = self._complete()
        seconds = time.perf_counter() - started
        if device.type == "cuda":
            self.peak_mib = torch.cuda.max_memory_allocated() / 2**20
        return seconds, completed


def engine_form(name: str, network: nn.Module, clip: MaskedClip, options: dict[str, Any], **switches: bool) -> Form:
    """A form that runs the window engine on a network that lies ready, in the precision it has."""
    precision: Any = "bf16" if next(network.parameters()).dtype is torch.bfloat16 else "fp32"
    engine = WindowInpainter(network, size="native", device="keep", precision=precision, **options)
    return Form(name, lambda: np.stack([to_uint8(frame) for frame in engine.stream(clip)]), **switches)


def matmul_rate(device: torch.device) -> float:
    """Operations per second in 1e12 of a large bfloat16 matrix product."""
    order = 8192 if device.type == "cuda" else 512
    left, right = (torch.randn(order, order, device=device, dtype=torch.bfloat16) for _ in range(2))
    times = []
    for _ in range(12):
        if device.type == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return 2 * order**3 / 1e12 / statistics.median(times[2:])


def compiled(network: STTN, clip: MaskedClip, limit: float, device: torch.device) -> tuple[STTN | None, str]:
    """The network with its blocks compiled for every length of the clip's windows, or why not.

    The last block is not: it knows a number of wanted frames too, and would double what has to be compiled.
    """
    network = copy.deepcopy(network)
    network.transformer.requires_grad_(False)
    for block in network.transformer[:-1]:
        block.compile(dynamic=False)
    size, channels = (clip.height // FEATURE_STRIDE, clip.width // FEATURE_STRIDE), network.decoder[0].conv.in_channels
    lengths = {len(window.neighbors) + len(window.references) for window in window_schedule(clip.num_frames)}
    started = time.perf_counter()
    signal.signal(signal.SIGALRM, _give_up)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        with torch.no_grad():
            for length in lengths:
                features = torch.randn(length, channels, *size, device=device, dtype=network.dtype)
                features = features.contiguous(memory_format=torch.channels_last).unsqueeze(0)
                masks = torch.zeros(1, length, 1, clip.height, clip.width, device=device)
                network.transform(features, masks, num_queries=1)
    except Exception as error:  # whatever stands in the way of compiling is what the notes should say
        if time.perf_counter() - started >= limit:
            return None, f"left out, as it takes more than {limit:.0f} s"
        return None, f"failed: {type(error).__name__}: {str(error).strip()[:160]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return network, f"{len(lengths)} lengths of windows in {time.perf_counter() - started:.1f} s"


def _give_up(*_: object) -> None:
    raise TimeoutError("compiling takes too long")


def forms(arguments: argparse.Namespace, network: STTN, clip: MaskedClip, notes: list[str]) -> list[Form]:
    """All forms, plain first."""
    device = torch.device(arguments.device)
    plain = PlainSTTN(network)
    frames, holes = clip.read(range(clip.num_frames))
    fast = copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    half = copy.deepcopy(fast).to(torch.bfloat16)
    options = {"chunk_size": arguments.chunk}
    listed = [
        Form("plain float32", lambda: complete_plainly(plain, frames, holes, device)),
        engine_form("float32", fast, clip, options),
        engine_form("tf32", fast, clip, options, tf32=True),
        engine_form("bf16", half, clip, options),
    ]
    if device.type == "cuda":
        listed.append(engine_form("bf16, tuned cuDNN", half, clip, options, tune=True))
        listed.append(engine_form("bf16, CUDA graphs", GraphedSTTN(half), clip, options))
    if arguments.compile_limit > 0:
        found, note = compiled(half, clip, arguments.compile_limit, device)
        notes.append(f"torch.compile: {note}")
        if found is not None:
            listed.append(engine_form("bf16, compiled", found, clip, options))
    return listed


def measure(
    listed: list[Form], repeats: int, deadline: float, device: torch.device, notes: list[str]
) -> dict[str, Pictures]:
    """Run all forms once to warm up, the last first, then time them in turn until the repeats are done or the time is.

    What is known is printed at once: a run that is cut off has not been for nothing.
    """
    completed: dict[str, Pictures] = {}
    for form in reversed(list(listed)):
        if time.perf_counter() > deadline:
            notes.append(f"{form.name}: left out, there was no time")
            listed.remove(form)
            continue
        try:
            form.warm_up, completed[form.name] = form.run(device)
            print(f"{form.name}: first clip in {form.warm_up:.2f} s", flush=True)
        except RuntimeError as error:
            notes.append(f"{form.name}: failed: {str(error).strip().splitlines()[0][:160]}")
            listed.remove(form)
    for _ in range(repeats):
        for form in reversed(listed):
            if time.perf_counter() < deadline or not form.seconds:
                form.seconds.append(form.run(device)[0])
                print(f"{form.name}: {form.seconds[-1]:.3f} s", flush=True)
    return completed


def main() -> None:
    """Print a table and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", default="432x240", help="width x height")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--channels", type=int, default=256, help="of the network's features")
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--chunk", type=int, default=16, help="frames encoded or decoded at a time")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=50, help="after which nothing is begun, from the start on")
    parser.add_argument("--compile-limit", type=float, default=25, help="seconds; 0 leaves torch.compile out")
    parser.add_argument("--json", type=Path, help="where all numbers are written to")
    arguments = parser.parse_args()
    began = time.perf_counter()
    device = torch.device(arguments.device)
    width, height = (int(side) for side in arguments.size.split("x"))
    torch.manual_seed(0)
    network = STTN(channels=arguments.channels, num_blocks=arguments.blocks, init_gain=1.0).eval().to(device)
    network.requires_grad_(False)
    frames, holes = moving_clip(arguments.frames, height, width)
    clip = MaskedClip(ArrayClip(frames), ArrayMasks(holes))
    notes: list[str] = []
    rate = matmul_rate(device)
    print(f"bf16 product {rate:.0f} TFLOP/s", flush=True)
    listed = forms(arguments, network, clip, notes)
    with FlopCounterMode(display=False) as counter:
        next(form for form in listed if form.name == "bf16").run(device)
    tflop = counter.get_total_flops() / 1e12
    completed = measure(listed, arguments.repeats, began + arguments.seconds, device, notes)

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}; {arguments.frames} frames of {arguments.size}")
    print(f"bf16 product {rate:.0f} TFLOP/s\n")
    columns = (
        "form", "frames/s", "over plain", "slowest/fastest", "% of product", "peak MiB", "levels off", "warm-up s"
    )  # fmt: skip
    print(f"| {' | '.join(columns)} |\n| --- |{' ---: |' * (len(columns) - 1)}")
    record = []
    plain = next((form for form in listed if form.name == "plain float32"), None)
    base = statistics.median(plain.seconds) if plain else math.nan
    levels = {name: frames[holes].astype(np.int16) for name, frames in completed.items()}
    for form in listed:
        seconds = statistics.median(form.seconds)
        off = np.abs(levels[form.name] - levels.get("float32", np.nan))
        row = {
            "form": form.name,
            "frames_per_second": arguments.frames / seconds,
            "over_plain": base / seconds,
            "spread": max(form.seconds) / min(form.seconds),
            "share_of_product": tflop / seconds / rate,
            "peak_mib": form.peak_mib,
            "mean_levels_off": float(off.mean()),
            "most_levels_off": float(off.max()),
            "warm_up_seconds": form.warm_up,
            "seconds": form.seconds,
        }
        record.append(row)
        print(
            f"| {form.name} | {row['frames_per_second']:.1f} | {row['over_plain']:.2f} | {row['spread']:.2f} "
            f"| {100 * tflop / seconds / rate:.1f} | {form.peak_mib:.0f} | {off.mean():.3f} (most {off.max():.0f}) "
            f"| {form.warm_up:.1f} |"
        )
    notes.append(f"{1000 * tflop / arguments.frames:.0f} GFLOP per output frame as the engine runs them")
    repeats = max((len(form.seconds) for form in listed), default=0)
    print("\n" + "\n".join(notes) + f"\n{repeats} repeats; {time.perf_counter() - began:.0f} s in all")
    if arguments.json:
        record_all = {
            "device": name, "torch": torch.__version__, "frames": arguments.frames, "size": arguments.size,
            "bf16_product_tflops": rate, "tflop": tflop, "forms": record, "notes": notes,
        }  # fmt: skip
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(record_all, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
