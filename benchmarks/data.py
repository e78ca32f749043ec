"""Cost of training windows on one core: CPU milliseconds and windows per second of every kind of source.

Without arguments the sources that need no file are measured; folders add the others:

    python benchmarks/data.py --photographs photos/ --clips clips/ --masks masks/ --size 128x128 --windows 200
"""

from __future__ import annotations

import argparse
import time

import cv2
import torch

from vinpaint.data import (
    ClipWindows,
    FolderClips,
    ImageMotion,
    LayeredMotion,
    MixtureWindows,
    ProceduralClips,
    WindowDataset,
    WindowRequest,
    WindowSource,
)
from vinpaint.masks import MovingMask, ObjectMotionMask


def sources(options: argparse.Namespace, height: int, width: int) -> dict[str, WindowSource]:
    """The sources that there is material for."""
    mask = ObjectMotionMask(options.masks)
    procedural = ProceduralClips(num_clips=100_000, height=height, width=width)
    found: dict[str, WindowSource] = {"procedural": ClipWindows(procedural, MovingMask(), max_cover=1.0)}
    if options.motion != "affine":
        found["cut-outs"] = LayeredMotion(options.photographs, None, images=options.images)
    if options.photographs:
        found["photographs"] = ImageMotion(options.photographs, mask, images=options.images)
    if options.clips:
        for name, cache in (("clips", 0), ("clips, kept", options.cache)):
            clips = FolderClips(options.clips, clips=options.pattern)
            found[name] = ClipWindows(clips, mask, cache_megabytes=cache)
    if len(found) > 1:
        found["mixture of these alike"] = MixtureWindows(dict(found))
    return found


def cpu_milliseconds(dataset: WindowDataset, first: int, count: int) -> float:
    """CPU time of a window, mean over samples ``first`` to ``first + count``."""
    started = time.process_time()
    for index in range(first, first + count):
        dataset[index]
    return (time.process_time() - started) / count * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", help="folder of photographs")
    parser.add_argument("--images", default="*", help="pattern in it")
    parser.add_argument("--clips", help="folder of clips")
    parser.add_argument("--pattern", default="*", help="pattern in it")
    parser.add_argument("--masks", help="mask bank; shapes made by program if not given")
    parser.add_argument("--size", nargs="+", default=["96x96", "128x128", "256x256"], help="width x height, pixels")
    parser.add_argument("--frames", type=int, default=5, help="of a window")
    parser.add_argument("--windows", type=int, default=100, help="measured of every kind")
    parser.add_argument("--cache", type=int, default=3000, help="megabytes of clips kept decoded")
    parser.add_argument("--motion", choices=["affine", "flow"], help="true motion to give (without clips)")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    print(f"{'kind':24} {'size':>9} {'first pass, ms':>15} {'after it, ms':>13} {'windows/s':>10}")
    for size in options.size:
        width, height = (int(side) for side in size.split("x"))
        wanted = WindowRequest(options.frames, height, width, options.motion)
        for name, source in sources(options, height, width).items():
            dataset = WindowDataset(source, wanted, samples_per_epoch=1_000_000)
            first = cpu_milliseconds(dataset, 0, options.windows)
            dataset.seed += 1  # the same material, other windows of it
            later = cpu_milliseconds(dataset, 0, options.windows)
            print(f"{name:24} {size:>9} {first:15.1f} {later:13.1f} {1000 / later:10.0f}")


if __name__ == "__main__":
    main()
