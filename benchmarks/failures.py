r"""Stills of the same frame by every model of an evaluated sweep, side by side: where they fail.

    vinpaint-evaluate -m model=sttn_small,stra_net,sttn,flow_guided_fusion data=procedural dilation=2 \
      mask=object_motion limit_frames=20 limit_clips=6 hydra.sweep.dir=failures
    python benchmarks/failures.py failures --clips 0 5 1 --out docs/failures.jpg

A row per clip: the hole, the truth, then the models, each with its PSNR in the hole over the clip.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from vinpaint.evaluation_pictures import picture_folder
from vinpaint.job_record import read_results

WIDTH = 288  # pixels of a still
BAND = 18  # pixels above a row, for its labels


def main() -> None:
    """Lay the stills out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", type=Path, help="folder of the sweep")
    parser.add_argument("--clips", type=int, nargs="+", default=[0], help="numbers of the clips to show")
    parser.add_argument("--still", type=int, default=-1, help="which of a clip's stills, the last by default")
    parser.add_argument("--out", type=Path, required=True, help="picture to write")
    arguments = parser.parse_args()
    jobs = read_results(arguments.sweep)
    rows = [_row(jobs, clip, arguments.still) for clip in arguments.clips]
    height = max(still.height for row in rows for _, still in row)
    sheet = Image.new("RGB", (WIDTH * len(rows[0]), (height + BAND) * len(rows)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for at, row in enumerate(rows):
        for column, (label, still) in enumerate(row):
            draw.text((WIDTH * column + 4, (height + BAND) * at + 1), label, "black", font)
            sheet.paste(still, (WIDTH * column, (height + BAND) * at + BAND))
    sheet.save(arguments.out, quality=84)


def _row(jobs: list[dict[str, Any]], clip: int, still: int) -> list[tuple[str, Image.Image]]:
    """Label and picture of each column."""
    row = []
    for job in jobs:
        measured = job["clips"][clip]
        folder = Path(job["folder"]) / picture_folder(clip, measured["clip"])
        completed = sorted(folder.glob("*_completed.jpg"))[still]
        if not row:
            row += [(kind, _open(folder, completed, kind)) for kind in ("masked", "truth")]
        row.append((f"{job['model']}, {measured['psnr_hole']:.1f} dB", _open(folder, completed, "completed")))
    return row


def _open(folder: Path, completed: Path, kind: str) -> Image.Image:
    picture = Image.open(folder / completed.name.replace("completed", kind))
    return picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
