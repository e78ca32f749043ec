"""Large tensors that are kept while many others come and go."""

from __future__ import annotations

import ctypes
import mmap

import torch
from torch import Tensor

LARGE_FRAME = 1280 * 720
"""Pixels of a frame above which it is worth its time to give freed memory back."""


def in_own_memory(values: Tensor) -> Tensor:
    """Copy a tensor into a mapping of its own, which goes back to the system when the copy is freed.

    Among short-lived tensors of other sizes, those that stay divide the memory of the C library into gaps that fit
    nothing: on frames of 1920x1080 as much lay idle between them as was in use.

    Args:
        values: any shape and type; where it is not on the CPU, the copy is an ordinary one.
    """
    size = values.numel() * values.element_size()
    if not size or values.device.type != "cpu":
        return values.clone(memory_format=torch.contiguous_format)
    mapping = mmap.mmap(-1, size, access=mmap.ACCESS_COPY)
    kept = torch.frombuffer(mapping, dtype=values.dtype).view(values.shape)
    return kept.copy_(values)


def return_freed_memory() -> bool:
    """Give the pages of all freed blocks back to the system.

    Where a process keeps freed blocks for its next tensor, as the commands do, those that stay divide them into gaps,
    and more of them the longer it runs: half of the heap after eight frames of 1920x1080.

    Returns:
        Whether anything was given back: never outside glibc.
    """
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        return False
