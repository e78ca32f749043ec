"""CPU time of STTN against its plain form: one block, the decoder and a whole clip, on one thread.

    python benchmarks/sttn_cpu.py                     # three rounds, a quarter of an hour on an idle machine
    python benchmarks/sttn_cpu.py --rounds 1 --frames 0 --forms plain float32     # block and decoder alone
    python benchmarks/sttn_cpu.py --count             # operations of the clip, nothing is timed

Every form runs in a process of its own, in turn, round after round; times are CPU seconds, ratios are those within a
round, and of both the median is shown. ``plain`` is the network as the public code runs it (benchmarks/plain_sttn.py)
under the system's allocator; ``kept`` lets the process keep freed memory, as the commands do. The clip goes through the
window engine, or the public script's loop, from 8-bit frames in memory to such frames.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from plain_sttn import PlainSTTN, complete_plainly, moving_clip, plain_block
from torch.utils.flop_counter import FlopCounterMode

from vinpaint.allocator import keep_freed_memory
from vinpaint.inference.inpainter import MaskedClip
from vinpaint.inference.schedule import window_schedule
from vinpaint.inference.window import WindowInpainter
from vinpaint.masks import ArrayMasks
from vinpaint.models.sttn import FEATURE_STRIDE, STTN
from vinpaint.ops.conversion import to_uint8
from vinpaint.ops.region import region_of
from vinpaint.video import ArrayClip

FORMS = ("plain", "plain, kept", "float32", "float32, kept", "bf16, kept")
PARTS = ("block", "decoder", "clip")


def cpu_seconds(work: Callable[[], Any], repeats: int) -> float:
    """The median of a few, after one to warm up."""
    times = []
    for _ in range(repeats + 1):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return statistics.median(times[1:])


@torch.no_grad()
def measure(form: str, num_frames: int, size: tuple[int, int], window: int, output: Path) -> dict[str, float]:
    """CPU seconds of the parts in one form; the completed clip is stored in ``output``."""
    if form.endswith("kept"):
        keep_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = STTN(init_gain=1.0).eval().requires_grad_(False)
    height, width = size
    features = torch.randn(
        window, network.decoder[0].conv.in_channels, height // FEATURE_STRIDE, width // FEATURE_STRIDE
    )
    _, holes = moving_clip(max(num_frames, window), height, width)
    masks = torch.from_numpy(holes[:window]).float().unsqueeze(1)
    frames, holes = moving_clip(max(num_frames, 1), height, width)
    parts: dict[str, Callable[[], Any]]
    if form.startswith("plain"):
        plain = PlainSTTN(network)
        cells = masks[..., ::FEATURE_STRIDE, ::FEATURE_STRIDE]
        parts = {
            "block": lambda: plain_block(plain.network.transformer[0], features, cells),
            "decoder": lambda: plain.decode(features),
        }
        clip = lambda: complete_plainly(plain, frames, holes, torch.device("cpu"))  # noqa: E731
    else:
        dtype = torch.bfloat16 if form.startswith("bf16") else torch.float32
        network = network.to(dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        features = features.to(dtype, memory_format=torch.channels_last).unsqueeze(0)
        hidden = network._hidden_tokens(masks.unsqueeze(0))
        precision: Any = "bf16" if dtype is torch.bfloat16 else "fp32"
        engine = WindowInpainter(network, size="native", device="keep", precision=precision)
        masked = MaskedClip(ArrayClip(frames), ArrayMasks(holes))
        parts = {
            "block": lambda: network.transformer[0](features, hidden=hidden),
            "decoder": lambda: network.decode(features),
        }
        clip = lambda: np.stack([to_uint8(frame) for frame in engine.stream(masked)])  # noqa: E731
    found = {name: cpu_seconds(work, 2) for name, work in parts.items()}
    if num_frames:
        started = time.process_time()
        np.save(output, clip())
        found["clip"] = time.process_time() - started
    found["peak MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


@torch.no_grad()
def operations(num_frames: int, size: tuple[int, int]) -> tuple[float, float]:
    """GFLOP per frame of the clip, with whole frames decoded and with what the holes span alone."""
    network = STTN().eval().to("meta")
    height, width = size
    _, holes = moving_clip(num_frames, height, width)
    clip = torch.zeros(1, num_frames, 3, height, width, device="meta")
    masks = torch.from_numpy(holes)[None, :, None].to("meta").float()
    counted = []
    for cut in (False, True):
        with FlopCounterMode(display=False) as counter:
            encoded = network.encode(clip, masks)
            for window in window_schedule(num_frames):
                together = [*window.neighbors, *window.references]
                features, wanted = encoded[:, together], len(window.neighbors)
                if not cut:
                    network.decode(network.transform(features, masks[:, together], num_queries=wanted))
                    continue
                region = region_of(torch.from_numpy(holes[together[:wanted]])[:, None])
                read = network.transform_region(features, masks[:, together], region=region, num_queries=wanted)
                network.decode_region(read, region=region, size=size)
        counted.append(counter.get_total_flops() / 1e9 / num_frames)
    return counted[0], counted[1]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=FORMS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=20, help="of the clip; 0 leaves it out")
    parser.add_argument("--size", default="432x240", help="width x height")
    parser.add_argument("--window", type=int, default=11, help="frames that the block and the decoder are given")
    parser.add_argument("--count", action="store_true", help="count operations instead")
    parser.add_argument("--measure", nargs=2, metavar=("FORM", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    width, height = (int(side) for side in arguments.size.split("x"))
    if arguments.measure:
        form, file = arguments.measure
        print(json.dumps(measure(form, arguments.frames, (height, width), arguments.window, Path(file))))
        return
    if arguments.count:
        whole, cut = operations(arguments.frames, (height, width))
        print(f"{whole:.0f} GFLOP per frame with whole frames, {cut:.0f} with what the holes span")
        return
    forms = list(dict.fromkeys(["plain", *arguments.forms]))
    runs: dict[str, list[dict[str, float]]] = {form: [] for form in forms}
    with tempfile.TemporaryDirectory() as folder:
        files = {form: Path(folder) / f"{number}.npy" for number, form in enumerate(forms)}
        for _ in range(arguments.rounds):
            for form in forms:
                command = [sys.executable, *sys.argv, "--measure", form, str(files[form])]
                done = subprocess.run(
                    command, capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
                )
                runs[form].append(json.loads(done.stdout))
                print(f"{form}: {runs[form][-1]}", file=sys.stderr, flush=True)
        completed = {form: np.load(file).astype(int) for form, file in files.items() if arguments.frames}
    parts = [part for part in PARTS if part in runs["plain"][0]]
    columns = [column for part in parts for column in (f"{part}, CPU s", "times plain")]
    print(f"| form | {' | '.join(columns)} | peak MiB |{' levels off, mean (most) |' if completed else ''}")
    print(f"| --- |{' ---: |' * (2 * len(parts) + 1 + bool(completed))}")
    for form, rounds in runs.items():
        cells = []
        for part in parts:
            ratios = [plain[part] / mine[part] for plain, mine in zip(runs["plain"], rounds, strict=True)]
            cells += [f"{statistics.median(mine[part] for mine in rounds):.2f}"]
            cells += [f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"]
        cells.append(f"{max(mine['peak MiB'] for mine in rounds):.0f}")
        if completed:
            off = np.abs(completed[form] - completed["plain"])
            cells.append(f"{off.mean():.4f} ({off.max()})")
        print(f"| {form} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
