"""Samplers and a loader that count epochs and batches, so that a run can be shared, killed and continued."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler


class EpochSampler(DistributedSampler[Any]):
    """Keys ``(epoch, index)`` of a training set, shuffled anew in every epoch and shared out over devices.

    A dataset that draws from its key alone needs not know how many workers or devices there are. The trainer sets the
    epoch through ``set_epoch``.

    Args:
        dataset: the training set.
        num_replicas: number of devices.
        rank: number of this device.
        seed: of the order.
    """

    def __init__(self, dataset: Dataset[Any], *, num_replicas: int = 1, rank: int = 0, seed: int = 0) -> None:
        super().__init__(dataset, num_replicas=num_replicas, rank=rank, shuffle=True, seed=seed)
        self.start = 0
        """Keys of this device to skip at the beginning of the next epoch."""

    def __iter__(self) -> Iterator[Any]:
        indices = list(super().__iter__())
        start, self.start = self.start, 0
        return iter([(self.epoch, index) for index in indices[start:]])


class ShareSampler(DistributedSampler[Any]):
    """Every index of an evaluation set exactly once over all devices, in order.

    PyTorch's own fills up with repeated clips so that all devices have as many, which would count those twice. Only
    where there are fewer clips than devices, the last devices repeat one.

    Args:
        dataset: the evaluation set.
        num_replicas: number of devices.
        rank: number of this device.
    """

    def __init__(self, dataset: Dataset[Any], *, num_replicas: int = 1, rank: int = 0) -> None:
        super().__init__(dataset, num_replicas=num_replicas, rank=rank, shuffle=False)
        count = len(dataset)  # type: ignore[arg-type]
        self._share = list(range(rank, count, num_replicas)) or ([rank % count] if count else [])

    def __iter__(self) -> Iterator[Any]:
        return iter(self._share)

    def __len__(self) -> int:
        return len(self._share)


class ResumableLoader(DataLoader[Any]):
    """A loader that knows where in which epoch it is, and can go on there.

    It counts epochs itself: the trainer's own count, given to samplers, runs ahead after resuming a run whose length
    is a number of steps (Lightning 2.6).
    """

    position = (-1, 0)
    """The epoch under way and the batches of it that were given out."""

    _next = (0, 0)

    def start_from(self, epoch: int, batches: int) -> None:
        """Begin the next pass in ``epoch`` after ``batches`` of its batches; the pass after it is a whole epoch."""
        self._next = (epoch, batches)
        self.position = (epoch, batches)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        # A generator, so that nothing happens before the first batch is asked for: the trainer makes idle iterators.
        epoch, batches = self._next
        self._next = (epoch + 1, 0)
        if isinstance(self.sampler, EpochSampler):
            self.sampler.set_epoch(epoch)
            self.sampler.start = batches * (self.batch_size or 1)
        for batch in super().__iter__():
            batches += 1
            self.position = (epoch, batches)
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the datamodule keeps the position. That the method exists tells the trainer of resumed epochs."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Do nothing, see :meth:`state_dict`."""


def default_workers() -> int:
    """Processes that read data where nothing else is asked for: one per processor that may be used, at most 4."""
    try:
        return min(len(os.sched_getaffinity(0)), 4)
    except AttributeError:  # not on macOS and Windows
        return min(os.cpu_count() or 1, 4)


def begin_worker(_: int) -> None:
    """Keep a worker to one thread: OpenCV's own threads neither survive a fork nor help beside other workers."""
    import cv2

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
