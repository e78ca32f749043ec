"""What stands between the CPU and the device: nothing is lost, and failures arrive."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from engine_promises import noise, wandering_box
from vinpaint.inference.inpainter import MaskedClip
from vinpaint.inference.transfer import ReadAhead, arriving
from vinpaint.inference.window import WindowInpainter
from vinpaint.masks import ArrayMasks
from vinpaint.models.sttn import STTN
from vinpaint.ops.chunks import Chunks
from vinpaint.ops.region import Region
from vinpaint.video import ArrayClip


class Watched(MaskedClip):
    """Writes down what is read, and by which thread."""

    def __init__(self, num_frames: int) -> None:
        super().__init__(ArrayClip(noise(num_frames, 4, 6)), ArrayMasks(wandering_box(num_frames, 4, 6)))
        self.asked: list[tuple[list[int], bool]] = []

    def read(self, indices: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append((list(indices), threading.current_thread() is threading.main_thread()))
        return super().read(indices)


def test_what_comes_next_is_read_by_another_thread() -> None:
    clip = Watched(9)
    with ReadAhead(clip, active=True) as reader:
        first = reader.read([0, 1], then=[2, 3])
        second = reader.read([2, 3], then=[])
        third = reader.read([7], then=[8])
    assert clip.asked[:3] == [([0, 1], True), ([2, 3], False), ([7], True)]
    for indices, (frames, holes) in (([0, 1], first), ([2, 3], second), ([7], third)):
        assert np.array_equal(frames, clip.clip.read(indices))
        assert np.array_equal(holes, clip.masks.read(indices))


def test_what_was_read_ahead_in_vain_is_read_again() -> None:
    clip = Watched(9)
    with ReadAhead(clip, active=True) as reader:
        reader.read([0], then=[1])
        frames, _ = reader.read([5], then=[])
    assert np.array_equal(frames, clip.clip.read([5]))


def test_an_inactive_reader_reads_nothing_ahead() -> None:
    clip = Watched(9)
    with ReadAhead(clip, active=False) as reader:
        reader.read([0], then=[1])
    assert clip.asked == [([0], True)]


def test_a_failure_to_read_ahead_is_raised_where_the_frames_are_asked_for() -> None:
    clip = Watched(9)
    with ReadAhead(clip, active=True) as reader:
        reader.read([0], then=[100])
        with pytest.raises(IndexError):
            reader.read([100], then=[])


def test_nothing_is_delayed_on_the_cpu() -> None:
    asked: list[int] = []

    def batches() -> Iterator[list[Tensor]]:
        for number in range(3):
            asked.append(number)
            yield [torch.tensor(number), torch.tensor(-number)]

    stream = arriving(batches(), torch.device("cpu"))
    assert [int(next(stream)) for _ in range(2)] == [0, 0]
    assert asked == [0]
    assert [int(frame) for frame in stream] == [1, -1, 2, -2]


def test_a_gpu_has_the_next_batch_before_one_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []

    class Download:
        def __init__(self, batch: list[int], device: torch.device) -> None:
            self.batch = batch

        def wait(self) -> Iterator[int]:
            happened.append(f"wait for {self.batch[0]}")
            yield from self.batch

    def batches() -> Iterator[list[int]]:
        for number in range(3):
            happened.append(f"begin {number}")
            yield [number, -number]

    monkeypatch.setattr("vinpaint.inference.transfer._Download", Download)
    assert list(arriving(batches(), torch.device("cuda"))) == [0, 0, 1, -1, 2, -2]  # type: ignore[arg-type]
    assert happened == ["begin 0", "begin 1", "wait for 0", "begin 2", "wait for 1", "wait for 2"]


# ---------------------------------------------------------------- memory that runs out


class Short(STTN):
    """Has memory for so many frames at a time, and no more."""

    room = 2

    def encode(self, frames: Tensor, masks: Tensor) -> Tensor:
        self._need(frames)
        return super().encode(frames, masks)

    def decode_region(self, features: Tensor, *, region: Region, size: tuple[int, int]) -> Tensor:
        self._need(features)
        return super().decode_region(features, region=region, size=size)

    def _need(self, frames: Tensor) -> None:
        if frames.shape[1] > self.room:
            raise torch.OutOfMemoryError(f"{frames.shape[1]} frames")


def completed(room: int) -> Tensor:
    torch.manual_seed(0)
    network = Short(channels=8, num_blocks=1, init_gain=1.0)
    network.room = room
    engine = WindowInpainter(network, size="native", device="cpu", chunk_size=5)
    clip = MaskedClip(ArrayClip(noise(12, 24, 24)), ArrayMasks(wandering_box(12, 24, 24)))
    return torch.stack(list(engine.stream(clip)))


def test_frames_are_encoded_and_decoded_fewer_at_a_time() -> None:
    with pytest.warns(UserWarning, match="out of device memory") as caught:
        found = completed(room=2)
    assert sorted(str(warning.message) for warning in caught) == [
        "out of device memory: frames decoded 2 at a time now",
        "out of device memory: frames encoded 2 at a time now",
    ]
    torch.testing.assert_close(found, completed(room=99), atol=1e-5, rtol=0)


def test_memory_that_never_suffices_is_an_error() -> None:
    with pytest.warns(UserWarning, match="1 at a time"), pytest.raises(torch.OutOfMemoryError, match="1 frames"):
        completed(room=0)


def test_every_item_is_done_once_and_in_order() -> None:
    done: list[int] = []

    def work(part: slice) -> Tensor:
        if part.stop - part.start > 3 or (part.start > 4 and part.stop - part.start > 1):
            raise torch.OutOfMemoryError
        done.extend(range(part.start, part.stop))
        return torch.zeros(())

    chunks = Chunks(8, "items done")
    with pytest.warns(UserWarning, match="items done"):
        parts = chunks.run(work, 9)
    assert done == list(range(9))
    assert len(parts) == 6  # 8 and 4 at a time fail; three times two; then one at a time
    assert chunks.size == 1
