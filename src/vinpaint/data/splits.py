"""Split files: ``{clip: number of frames}`` in JSON, as the public inpainting code keeps them.

``python -m vinpaint.data.splits FOLDER`` writes one from the clips that are in a folder.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vinpaint.data.sources import DataError, is_clip
from vinpaint.errors import UserError
from vinpaint.video import open_clip

PUBLISHED_SIZES: Mapping[str, int] = {
    "youtube-vos/train": 3471,
    "youtube-vos/test": 508,
    "davis/train": 60,
    "davis/test": 90,
    "davis/2016": 50,
    "davis/2017_train": 60,
    "davis/2017_val": 30,
    "davis/2017_trainval": 90,
}
"""Number of clips of the splits that papers report on."""


def check_size(split: str, count: int, *, where: str) -> None:
    """Warn if a split is not of its published size.

    Args:
        split: a key of :data:`PUBLISHED_SIZES`; others are not checked.
        count: number of clips found.
        where: what was listed, for the warning.
    """
    published = PUBLISHED_SIZES.get(split)
    if published is not None and count != published:
        warnings.warn(
            f"{where}: {count} clips, but the published {split} has {published}; "
            "results will not be comparable with published ones",
            stacklevel=2,
        )


def read_split(path: Path) -> dict[str, int]:
    """Read a split file.

    Args:
        path: a JSON file ``{clip: number of frames}``.

    Returns:
        Its content, in file order.

    Raises:
        DataError: if it cannot be read or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a split ({error}): expected JSON, clip: frames") from error
    if not isinstance(content, dict) or not all(isinstance(n, int) and n > 0 for n in content.values()):
        raise DataError(f"{path}: expected one JSON object, the number of frames by clip")
    return content


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


def missing_names(missing: Sequence[str], wanted: int) -> str:
    """Phrase which of a number of clips are missing."""
    named = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
    return f"{len(missing)} of {wanted} clips are missing: {named}"


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
