"""How several workers share clips without talking to each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from vinpaint.errors import UserError

_T = TypeVar("_T")


def shard_of(items: Sequence[_T], *, index: int, count: int) -> list[_T]:
    """The part of a list that one of several workers takes.

    Args:
        items: the same list, in the same order, for every worker.
        index: of the worker, in ``[0, count)``.
        count: number of workers.

    Returns:
        Every ``count``-th item from ``index`` on; shards differ in length by one at most.

    Raises:
        UserError: if there is no such shard.
    """
    if not (isinstance(count, int) and isinstance(index, int) and 0 <= index < count):
        raise UserError(f"shard.index={index} of shard.count={count}: expected an index from 0 to shard.count - 1")
    return list(items[index::count])
