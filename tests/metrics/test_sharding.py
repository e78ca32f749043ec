"""Two processes give the number that one process gives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# What each process runs: clips rank, rank + world, ... of all; then rank 0 writes the results.
SCRIPT = """
import json, os, sys, warnings
import torch, torch.distributed as dist
torch.set_num_threads(1)
from vinpaint.metrics import L1, PSNR, SSIM, VFID, TemporalConsistency, VideoMetricCollection, WarpError

class Still:
    name = "still"
    def estimate(self, first, second):
        return torch.zeros(len(first), 2, *first.shape[-2:])

rank, world, count, folder = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
if world > 1:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
warnings.simplefilter("ignore")
collection = VideoMetricCollection({
    "psnr": PSNR(), "psnr_hole": PSNR(region="hole", pool="clip"), "psnr_videos": PSNR(average="videos"),
    "ssim": SSIM(window="gaussian"), "ssim_hole": SSIM(window="gaussian", region="hole"), "l1": L1(),
    "temporal_consistency": TemporalConsistency(), "warp_error": WarpError(Still(), size_multiple=1),
    "vfid": VFID(weights="random"),
})
for index in range(rank, count, world):
    generator = torch.Generator().manual_seed(index)
    shape = (1, 2 + index, 3, 16, 40)  # clips of different lengths
    truth, other = torch.rand(shape, generator=generator), torch.rand(shape, generator=generator)
    masks = (torch.rand(1, shape[1], 1, 16, 40, generator=generator) > 0.5).float()
    collection.update(torch.where(masks > 0, other, truth), truth, masks=masks, names=[str(index)])
results = collection.compute()
with open(f"{folder}/{world}_{rank}.json", "w") as file:
    json.dump(results, file)
if world > 1:
    dist.destroy_process_group()
"""


def results_of(world: int, count: int, folder: Path) -> list[dict[str, float]]:
    folder.mkdir()
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(rank), str(world), str(count), str(folder)], stderr=subprocess.PIPE
        )
        for rank in range(world)
    ]
    for run in runs:
        _, errors = run.communicate(timeout=300)
        assert run.returncode == 0, errors.decode()
    return [json.loads((folder / f"{world}_{rank}.json").read_text()) for rank in range(world)]


@pytest.mark.parametrize("count", [3, 1])  # unevenly spread; one process without any clip
def test_two_processes_give_the_number_of_one(count: int, tmp_path: Path) -> None:
    alone = results_of(1, count, tmp_path / "one")[0]
    for shared in results_of(2, count, tmp_path / "two"):
        assert shared == pytest.approx(alone, rel=1e-9, nan_ok=True)
    assert (alone["vfid_random_weights"] > 0) == (count > 1)
