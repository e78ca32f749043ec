"""Memory of large tensors, kept by the process between uses instead of being given back each time."""

from __future__ import annotations

import ctypes
import os

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGEST_KEPT = 1 << 30  # bytes; what is larger goes back to the system when it is freed


def keep_freed_memory() -> bool:
    """Let the C library keep freed blocks of up to 1 GiB for the next tensor of that size.

    By default glibc returns every block above 32 MiB to the system at once, and the next one is paid for page by page:
    a seventh of STTN's CPU time on whole frames. The peak of memory grows by about a tenth. Threads started from here
    on share the one heap, so that what one frees serves another: a tenth less memory where frames are large. All of it
    concerns the whole process, so commands do this and the library never does.

    Returns:
        Whether it was done: not outside glibc, and not where ``MALLOC_`` variables already say something else.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        return False
    settings = ((_M_MMAP_THRESHOLD, _LARGEST_KEPT), (_M_TRIM_THRESHOLD, _LARGEST_KEPT), (_M_ARENA_MAX, 1))
    return all(mallopt(option, value) == 1 for option, value in settings)
