"""The command that writes split files from the clips in a folder: ``python -m vinpaint.data.splits FOLDER``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from vinpaint.data.sources import DataError, is_clip
from vinpaint.data.split_files import PUBLISHED_SIZES, missing_names
from vinpaint.errors import UserError
from vinpaint.video import open_clip


def count_frames(folder: Path, names: Iterable[str] | None = None) -> dict[str, int]:
    """Count the frames of the clips in a folder.

    Args:
        folder: holds one folder, zip or video per clip.
        names: the clips wanted; all when not given.

    Returns:
        The number of frames by clip, in the order of the names.

    Raises:
        DataError: if the folder or a named clip is not there, or a clip has no frames.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; name the one that holds the clips (often JPEGImages)")
    found = {(p.name if p.is_dir() else p.stem): p for p in sorted(folder.iterdir()) if is_clip(p)}
    wanted = sorted(found) if names is None else list(names)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataError(f"{folder}: {missing_names(missing, len(wanted))}; download them, or list those that are there")
    if not wanted:
        raise DataError(f"{folder}: no clips in it; expected a folder, zip or video per clip")
    counts = {}
    for name in wanted:
        with open_clip(found[name], verify=False) as clip:
            counts[name] = clip.num_frames
    return counts


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a split file from what is on disk."""
    parser = argparse.ArgumentParser(
        prog="python -m vinpaint.data.splits",
        description="Write a split file, {clip: number of frames} in JSON, from the clips that are in a folder.",
        epilog="Example: python -m vinpaint.data.splits datasets/davis/JPEGImages/480p -o datasets/davis/test.json "
        "--names datasets/davis/ImageSets/2017/val.txt --published davis/2017_val",
    )
    parser.add_argument("folder", type=Path, help="holds one folder, zip or video per clip")
    parser.add_argument("-o", "--output", type=Path, help="file to write; the screen when not given")
    parser.add_argument("--names", type=Path, help="text file with one clip per line; all clips when not given")
    parser.add_argument(
        "--published", choices=sorted(PUBLISHED_SIZES), help="compare the number of clips with this published split"
    )
    options = parser.parse_args(arguments)
    try:
        names = None
        if options.names is not None:
            names = options.names.read_text(encoding="utf-8").split()
        counts = count_frames(options.folder, names)
        text = json.dumps(counts, indent=1) + "\n"
        if options.output is None:
            print(text, end="")
        else:
            beside = options.output.with_name(f".{options.output.name}.{os.getpid()}")
            beside.write_text(text, encoding="utf-8")
            os.replace(beside, options.output)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    frames = sum(counts.values())
    print(f"{len(counts)} clips, {frames} frames, {min(counts.values())} to {max(counts.values())}", file=sys.stderr)
    published = PUBLISHED_SIZES.get(options.published or "")
    if published is not None and published != len(counts):
        print(
            f"note: the published {options.published} has {published} clips; with {len(counts)} of them results are "
            "not comparable with published ones",
            file=sys.stderr,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
