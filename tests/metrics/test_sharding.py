"""Two processes give the number that one process gives. Run as a script, this file is one of the processes."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
import torch.distributed
from torch import Tensor

from vinpaint.metrics import L1, PSNR, SSIM, VFID, TemporalConsistency, VideoMetricCollection, WarpError
from vinpaint.models.flow.estimator import FlowPair

COUNTS = (3, 1)  # clips: spread unevenly, and none for one of the processes


class Still:
    """A flow that sees no motion."""

    name = "still"

    def estimate(self, first: Tensor, second: Tensor) -> Tensor:
        return torch.zeros(len(first), 2, *first.shape[-2:])

    def both(self, first: Tensor, second: Tensor) -> FlowPair:
        return FlowPair(self.estimate(first, second), self.estimate(second, first))


def results(rank: int, world: int) -> list[dict[str, float]]:
    """Measure clips ``rank``, ``rank + world`` ... of each set; the results are over all clips and processes."""
    collection = VideoMetricCollection(
        {
            "psnr": PSNR(),
            "psnr_hole": PSNR(region="hole", pool="clip"),
            "psnr_videos": PSNR(average="videos"),
            "ssim": SSIM(window="gaussian"),
            "ssim_hole": SSIM(window="gaussian", region="hole"),
            "l1": L1(),
            "temporal_consistency": TemporalConsistency(),
            "warp_error": WarpError(Still(), size_multiple=1),
            "vfid": VFID(weights="random"),
        }
    )
    found = []
    for count in COUNTS:
        collection.reset()
        for index in range(rank, count, world):
            generator = torch.Generator().manual_seed(index)
            shape = (1, 2 + index, 3, 16, 40)  # clips of different lengths
            truth, other = torch.rand(shape, generator=generator), torch.rand(shape, generator=generator)
            masks = (torch.rand(1, shape[1], 1, 16, 40, generator=generator) > 0.5).float()
            collection.update(torch.where(masks > 0, other, truth), truth, masks=masks, names=[str(index)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one clip has no VFID, and a process without clips hears about it
            found.append(collection.compute())
    return found


def test_two_processes_give_the_number_of_one(tmp_path: Path) -> None:
    runs = [
        subprocess.Popen([sys.executable, __file__, str(rank), str(tmp_path)], stderr=subprocess.PIPE)
        for rank in (0, 1)
    ]
    for run in runs:
        _, errors = run.communicate(timeout=300)
        assert run.returncode == 0, errors.decode()
    alone = results(0, 1)
    for rank in (0, 1):
        shared = json.loads((tmp_path / f"{rank}.json").read_text())
        for one, two in zip(alone, shared, strict=True):
            assert two == pytest.approx(one, rel=1e-9, nan_ok=True)
    assert alone[0]["vfid_random_weights"] > 0
    assert alone[0]["psnr_videos"] != pytest.approx(alone[0]["psnr"], rel=1e-6)


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    (folder / f"{rank}.json").write_text(json.dumps(results(rank, 2)))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
