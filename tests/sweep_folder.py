"""A finished sweep as jobs leave it: two rows over two seeds, one that failed, one that is published only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from vinpaint.data import ProceduralClip
from vinpaint.masks import MovingMask
from vinpaint.video import open_writer
from vinpaint.video.film_strip import tint_hole

NASTY = "+note='<script>document.title=\"owned\"</script>'"
"""An override that would run if it were not escaped."""

ROWS = [
    {"name": "×2", "group": None, "when": {"ablation": "two"}, "values": {"psnr": 30.17, "ssim": 0.9489, "vfid": 0.19}},
    {"name": "×4", "group": None, "when": {"ablation": "four"}, "values": {"psnr": 30.38, "ssim": 0.9526}},
    {"name": "×6", "group": None, "when": {"ablation": "six"}, "values": {"psnr": 30.53, "ssim": 0.9543}},
    {"name": "×8", "group": None, "when": None, "values": {"psnr": 30.67, "ssim": 0.9560}},
]
SWEEP = {
    "title": "STTN, stacked blocks",
    "source": "STTN table 3",
    "columns": ["psnr", "ssim", "vfid"],
    "rows": ROWS,
    "remarks": ["stationary masks that were never released"],
}


def make_sweep(folder: Path, *, num_clips: int = 2, height: int = 48, width: int = 80, num_frames: int = 6) -> Path:
    """Write the records and pictures of five jobs and return their folder."""
    values = {"×2": (29.11, 29.31), "×4": (30.42, 30.6)}
    number = 0
    for row, results in values.items():
        for seed, psnr in enumerate(results):
            clips = [f"procedural-2-{index:06d}" for index in range(num_clips)]
            record = a_record(number, row, seed=seed, psnr=psnr, clips=clips)
            place = folder / str(number)
            record["files"] = _pictures(place, clips, height, width, num_frames, blur=4 if row == "×2" else 2)
            write_record(place, record)
            number += 1
    (folder / "0" / "attention").mkdir()
    Image.new("RGB", (60, 20), "orange").save(folder / "0" / "attention" / "0000500_bear.png")
    failed = a_record(number, "×6", seed=0, psnr=0.0, clips=[])
    failed |= {"status": "failed", "metrics": None, "frames_per_second": None, "higher_is_better": {}}
    trace = ["Traceback (most recent call last):", "  ...", "RuntimeError: <b>no</b> memory"]
    failed["error"] = {"type": "RuntimeError", "message": "<b>no</b> memory", "traceback": trace}
    failed["overrides"].append(NASTY)
    write_record(folder / str(number), failed)
    return folder


def write_record(place: Path, record: dict[str, Any]) -> None:
    place.mkdir(parents=True, exist_ok=True)
    (place / "result.json").write_text(json.dumps(record), encoding="utf-8")


def a_record(number: int, row: str, *, seed: int, psnr: float, clips: list[str]) -> dict[str, Any]:
    blocks = int(row[1:])
    results = {"psnr": psnr, "ssim": 0.9 + psnr / 1000, "vfid_random_weights": 2.5 - psnr / 100, "l1": 0.012}
    return {
        "schema": 1,
        "status": "completed",
        "command": "vinpaint-train",
        "job": number,
        "overrides": [f"ablation=sttn_blocks_{blocks}", f"seed={seed}", "progress=false"],
        "choices": {"model": "sttn"},
        "config": {
            "seed": seed,
            "model": {"name": "sttn", "network": {"num_blocks": blocks, "channels": 64}},
            "paths": {"output_dir": f"/somewhere/{number}"},
            "callbacks": {"clips": {"folder": f"/somewhere/{number}/clips"}},
        },
        "sweep": {"name": "sttn_table3", "row": row, "group": None, **SWEEP},
        "seeds": {"training": seed, "masks": 0},
        "started": "2026-11-20T22:41:00+00:00",
        "seconds": 61.5 + 20 * blocks,
        "peak_memory": {"process_bytes": 1_200_000_000 + 50_000_000 * blocks, "gpu_bytes": None},
        "versions": {"torch": "2.13.0", "vinpaint": "0.1.0"},
        "git": "0123456789abcdef0123456789abcdef01234567",
        "machine": {"system": "Linux", "processors": 2, "gpu": None},
        "error": None,
        "model": "sttn",
        "measured_by": "evaluation",
        "metrics": {**results, "temporal_consistency": None},
        "higher_is_better": {"psnr": True, "ssim": True, "vfid_random_weights": False, "l1": False},
        "hole": 0.08,
        "frames_per_second": 12.5 / blocks,
        "clips": [
            {"clip": clip, "frames": 6, "hole": 0.04 + 0.05 * index, **results, "psnr": psnr - 1.5 * index}
            for index, clip in enumerate(clips)
        ],
        "protocol": None,
        "weights": {},
        "flow": {},
        "training": None,
        "files": {},
    }


def _pictures(place: Path, clips: list[str], height: int, width: int, num_frames: int, *, blur: int) -> dict[str, Any]:
    pictures, videos = [], []
    for index, clip in enumerate(clips):
        folder = place / "pictures" / clip
        folder.mkdir(parents=True)
        truth = ProceduralClip(index, num_frames=num_frames, height=height, width=width).read(range(num_frames))
        holes = MovingMask()(num_frames, height, width, np.random.default_rng(index))
        blurred = [np.asarray(Image.fromarray(frame).filter(ImageFilter.GaussianBlur(blur))) for frame in truth]
        views = {
            "masked": [tint_hole(frame, hole, opacity=1.0) for frame, hole in zip(truth, holes, strict=True)],
            "completed": [np.where(h[..., None], b, t) for t, h, b in zip(truth, holes, blurred, strict=True)],
            "truth": list(truth),
        }
        for view, frames in views.items():
            for frame in (1, 4):
                Image.fromarray(frames[frame]).save(folder / f"{frame:05d}_{view}.png")
            with open_writer(folder / f"{view}.mp4", frame_rate=12, height=height, width=width, quality=24) as writer:
                for frame in frames:
                    writer.write(frame)
        below = folder.relative_to(place)
        for frame in (1, 4):
            files = {view: f"{below}/{frame:05d}_{view}.png" for view in views}
            pictures.append({"clip": clip, "frame": frame, **files})
        videos.append({"clip": clip, **{view: f"{below}/{view}.mp4" for view in views}})
    return {"pictures": pictures, "videos": videos}
