"""How many 432x240 frames per second each metric of metrics=fast measures, alone and together.

    python benchmarks/metrics.py [--threads 2] [--frames 60] [--repeats 5]

Prints the median of the repeats by the clock, and per second of processor time, which a busy machine changes less (with
several threads it counts them all). The published set is PSNR, SSIM (65x65) and L1 over the whole frame.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import Tensor

from vinpaint.metrics import L1, PSNR, SSIM, TemporalConsistency, VideoMetric, VideoMetricCollection

HEIGHT, WIDTH = 240, 432


def clip(num_frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """A noisy clip whose hole is a moving box of 8 % of the frame."""
    truth = torch.rand(1, num_frames, 3, HEIGHT, WIDTH)
    masks = torch.zeros(1, num_frames, 1, HEIGHT, WIDTH)
    for index in range(num_frames):
        left = index * 2 % (WIDTH - 122)
        masks[:, index, :, 80:148, left : left + 122] = 1
    completed = torch.where(masks > 0, (truth + 0.1 * torch.randn_like(truth)).clamp(0, 1), truth)
    return completed, truth, masks


def frames_per_second(
    metrics: dict[str, VideoMetric], data: tuple[Tensor, Tensor, Tensor], repeats: int
) -> tuple[float, float]:
    """Frames per second of the clock and of processor time."""
    completed, truth, masks = data
    collection = VideoMetricCollection(metrics)
    clock, processor = [], []
    for _ in range(repeats + 1):  # the first one warms up
        start = time.perf_counter(), time.process_time()
        collection.update(completed, truth, masks=masks, names=["clip"])
        clock.append(time.perf_counter() - start[0])
        processor.append(time.process_time() - start[1])
    num_frames = truth.shape[1]
    return num_frames / statistics.median(clock[1:]), num_frames / statistics.median(processor[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--frames", type=int, default=60, help="frames of the clip")
    parser.add_argument("--repeats", type=int, default=5, help="how often each is measured")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    data = clip(options.frames)
    fast: dict[str, VideoMetric] = {
        "psnr": PSNR(),
        "psnr_hole": PSNR(region="hole", pool="clip"),
        "ssim": SSIM(),
        "ssim_hole": SSIM(region="hole", window="gaussian"),
        "l1": L1(),
        "l1_hole": L1(region="hole", pool="clip"),
        "temporal_consistency": TemporalConsistency(),
    }
    groups = {name: {name: metric} for name, metric in fast.items()}
    groups["psnr + ssim + l1"] = {name: fast[name] for name in ("psnr", "ssim", "l1")}
    groups["all of metrics=fast"] = fast
    print(f"{WIDTH}x{HEIGHT}, {options.frames} frames, {options.threads} threads, torch {torch.__version__}")
    for name, metrics in groups.items():
        by_clock, by_processor = frames_per_second(metrics, data, options.repeats)
        print(f"{name:24s} {by_clock:8.1f} frames/s {by_processor:8.1f} frames per CPU-second")


if __name__ == "__main__":
    main()
