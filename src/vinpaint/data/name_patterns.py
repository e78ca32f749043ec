"""Which of the things in a folder are taken, by name: a licence or a split is a list of names."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from vinpaint.data.sources import DataError


def select_names(
    names: Sequence[str], *, include: Sequence[str] | None, exclude: Sequence[str] | None, where: str
) -> list[str]:
    """Choose names by shell patterns.

    Args:
        names: those that are there.
        include: names or patterns such as ``kodak_*``, one of which a name has to match; all names when not given.
        exclude: names or patterns none of which it may match.
        where: what to call the place in an error.

    Returns:
        The names that are left, in their order.

    Raises:
        DataError: if a pattern of ``include`` matches nothing (a misspelt name would silently be missing), or no name
            is left.
    """
    for pattern in include or ():
        if not any(fnmatchcase(name, pattern) for name in names):
            raise DataError(f"{where}: include={pattern} matches none of {len(names)} names, such as {names[0]}")
    chosen = [
        name
        for name in names
        if (include is None or any(fnmatchcase(name, pattern) for pattern in include))
        and not any(fnmatchcase(name, pattern) for pattern in exclude or ())
    ]
    if not chosen:
        raise DataError(f"{where}: include and exclude leave none of {len(names)} names; widen them")
    return chosen
