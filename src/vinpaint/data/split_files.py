"""Split files: ``{clip: number of frames}`` in JSON, as the public inpainting code keeps them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from vinpaint.data.sources import DataError

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


def missing_names(missing: Sequence[str], wanted: int) -> str:
    """Phrase which of a number of clips are missing."""
    named = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
    return f"{len(missing)} of {wanted} clips are missing: {named}"
