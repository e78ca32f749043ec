"""Writing on a thread of its own, so that what makes the frames does not wait for the encoder."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

Write = Callable[[NDArray[np.uint8]], None]

_WAITING = 4  # frames; each is as large as the clip's


@contextmanager
def written_behind(write: Write) -> Iterator[Write]:
    """Call ``write`` in order, on one other thread, for every frame that is handed over.

    Whoever hands over waits once four frames do. Leaving the context waits for all of them; leaving it with an
    exception drops those whose turn has not come.

    Args:
        write: takes a frame ``(H, W, 3)`` uint8 RGB.

    Yields:
        What takes the frames instead. It raises what ``write`` raised on an earlier one.
    """
    waiting: deque[Future[None]] = deque()
    pool = ThreadPoolExecutor(1, thread_name_prefix="writer")

    def hand_over(frame: NDArray[np.uint8]) -> None:
        while len(waiting) >= _WAITING:
            waiting.popleft().result()
        waiting.append(pool.submit(write, frame))

    try:
        yield hand_over
        for written in waiting:
            written.result()
    finally:
        pool.shutdown(cancel_futures=True)
