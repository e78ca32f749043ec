"""Peak memory of ``vinpaint-inpaint`` against the length of the clip.

Makes clips by program, completes each in a process of its own with a moving hole, and prints the peak resident memory
of that process:

    python benchmarks/memory.py --frames 200 2000 --size 216x120 model=flow_guided
    python benchmarks/memory.py --frames 50 200 --size 1920x1080 --scene 24 model=flow_guided refine=stra
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from vinpaint.data import ProceduralClip
from vinpaint.video import open_writer


def make_clip(folder: Path, num_frames: int, height: int, width: int, *, scene: int) -> None:
    """Write a clip whose scene of so many frames runs to and fro, and a mask video of a box that wanders."""
    clip = ProceduralClip(1, num_frames=scene, height=height, width=width)
    frames = clip.read(range(scene))
    box_height, box_width = height // 4, width // 5
    with (
        open_writer(folder / "clip.mp4", height=height, width=width, frame_rate=24) as clip_writer,
        open_writer(folder / "masks.mp4", height=height, width=width, frame_rate=24) as mask_writer,
    ):
        for index in range(num_frames):
            step = index % (2 * scene)
            clip_writer.write(frames[min(step, 2 * scene - 1 - step)])  # there and back, so no cut
            mask = np.zeros((height, width, 3), np.uint8)
            top = int((height - box_height) * (0.5 + 0.4 * np.sin(index / 17)))
            left = int((width - box_width) * (0.5 + 0.4 * np.cos(index / 29)))
            mask[top : top + box_height, left : left + box_width] = 255
            mask_writer.write(mask)


def peak_of(folder: Path, overrides: list[str]) -> tuple[float, float]:
    """Complete the clip of a folder; give the peak resident memory in MiB and the time in seconds."""
    code = "from vinpaint.inpaint import main; main()"
    arguments = [f"input={folder}/clip.mp4", f"masks={folder}/masks.mp4", f"output={folder}/completed.mp4"]
    started = time.perf_counter()
    arguments += ["progress=false", "preview=false", *overrides]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"vinpaint-inpaint failed on the clip in {folder}")
    return usage.ru_maxrss / 1024, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[200, 2000], help="lengths of the clips")
    parser.add_argument("--size", default="216x120", help="width x height of the frames in pixels")
    parser.add_argument("--scene", type=int, default=100, help="frames of the scene, all of them in memory at once")
    parser.add_argument("overrides", nargs="*", help="options of vinpaint-inpaint, such as model=flow_guided")
    arguments = parser.parse_args()
    width, height = (int(side) for side in arguments.size.split("x"))
    first = None
    for num_frames in arguments.frames:
        with tempfile.TemporaryDirectory() as folder:
            make_clip(Path(folder), num_frames, height, width, scene=arguments.scene)
            peak, seconds = peak_of(Path(folder), arguments.overrides)
        first = first or peak
        rate = num_frames / seconds
        print(f"{num_frames:6d} frames: peak {peak:7.0f} MiB, {peak / first:.3f} of the first, {rate:.1f} frames/s")


if __name__ == "__main__":
    main()
