"""Training windows and evaluation clips: what chance decides, what it is drawn from, and what reaches a model."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader

from vinpaint.batch import check_batch
from vinpaint.data import DataError, EvaluationSet, ProceduralClips, VideoClipDataset, WholeClipDataset
from vinpaint.data.loading import EpochSampler, ShareSampler
from vinpaint.data.sampling import LONGEST_DRAWN, mask_times, sample_frames
from vinpaint.masks import ArrayMasks, BoxMask, MaskSequence, MovingMask, StationaryMask, dilate
from vinpaint.video import ArrayClip, ClipReader


class NumberedClip:
    """A clip in memory whose every pixel is the number of its frame, brighter to the right, with masks of its own."""

    def __init__(self, name: str, num_frames: int = 12, *, height: int = 16, width: int = 24, own: bool = True) -> None:
        self.name = name
        self.frames = np.zeros((num_frames, height, width, 3), np.uint8)
        self.frames[:] = np.arange(num_frames)[:, None, None, None] * 10
        self.frames[:, :, width // 2 :, 0] += 100
        self.own = own

    def open(self) -> ClipReader:
        return ArrayClip(self.frames, Fraction(25), "unnamed")

    def open_masks(self, clip: ClipReader) -> MaskSequence | None:
        if not self.own:
            return None
        masks = np.zeros((clip.num_frames, clip.height, clip.width), dtype=bool)
        for index in range(clip.num_frames):
            masks[index, 4:8, index : index + 4] = True
        return ArrayMasks(masks)


def clips(count: int = 4, num_frames: int = 12) -> list[NumberedClip]:
    return [NumberedClip(f"clip{number}", num_frames) for number in range(count)]


def frame_numbers(frames: torch.Tensor) -> list[int]:
    """Which frames of a :class:`NumberedClip` a window holds, from its third channel."""
    return [round(value * 25.5) for value in frames[:, 2].mean(dim=(1, 2)).tolist()]


def windows(dataset: VideoClipDataset, epoch: int = 0) -> list[bytes]:
    keys = [(epoch, index) for index in range(len(dataset))]
    return [dataset[key]["frames"].numpy().tobytes() + dataset[key]["masks"].numpy().tobytes() for key in keys]


@pytest.mark.parametrize("sampling", ["consecutive", "random", "mixed"])
def test_frames_are_sampled_as_they_are_named(sampling: str) -> None:
    rng = np.random.default_rng(0)
    drawn = [sample_frames(30, 5, rng, sampling=sampling) for _ in range(600)]  # type: ignore[arg-type]
    assert all(len(set(times)) == 5 and times == sorted(times) and 0 <= times[0] <= times[-1] < 30 for times in drawn)
    consecutive = np.mean([times[-1] - times[0] == 4 for times in drawn])
    assert {"consecutive": consecutive == 1, "random": consecutive < 0.02, "mixed": abs(consecutive - 0.5) < 0.07}[
        sampling
    ]
    assert {times[0] for times in drawn} >= {0, 1, 2, 3} if sampling != "random" else True
    assert max(times[-1] for times in drawn) == 29


def test_a_clip_as_long_as_the_window_is_taken_whole() -> None:
    for sampling in ("consecutive", "random", "mixed"):
        assert sample_frames(5, 5, np.random.default_rng(0), sampling=sampling) == [0, 1, 2, 3, 4]  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="6 frames of a clip of 5"):
        sample_frames(5, 6, np.random.default_rng(0))


def test_holes_are_as_far_apart_in_time_as_the_frames() -> None:
    assert mask_times([3, 60, 179]) == [3, 60, 179]
    for frames in ([180, 181, 185], [100_000, 100_001], [0, 90, 50_000], [179, 180], [5, 500], [1, 180]):
        times = mask_times(frames)
        assert 0 <= times[0] <= times[-1] < LONGEST_DRAWN
        if frames[-1] - frames[0] < LONGEST_DRAWN:
            assert np.array_equal(np.diff(times), np.diff(frames))


def test_a_window_is_what_models_read() -> None:
    dataset = VideoClipDataset(ProceduralClips(num_clips=3, height=48, width=64), StationaryMask(), height=32, width=40)
    batch = next(iter(DataLoader(dataset, batch_size=3)))
    check_batch(batch)
    assert batch["frames"].shape == (3, 5, 3, 32, 40)
    assert batch["frames"].dtype == torch.float32
    assert batch["name"] == [f"procedural-0-{number:06d}" for number in range(3)]


def test_frames_are_resized_by_pillows_bicubic() -> None:
    source = NumberedClip("a", 1)
    source.frames[:] = np.random.default_rng(0).integers(0, 255, source.frames.shape)
    dataset = VideoClipDataset([source], BoxMask(), height=9, width=14, num_frames=1, flip_probability=0.0)
    expected = Image.fromarray(source.frames[0]).resize((14, 9), Image.Resampling.BICUBIC)
    assert torch.equal(dataset[0]["frames"][0].movedim(0, -1) * 255, torch.from_numpy(np.array(expected)).float())


def test_frames_are_mirrored_and_holes_are_not() -> None:
    def left_hole(num_frames: int, height: int, width: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        masks = np.zeros((num_frames, height, width), dtype=bool)
        masks[:, :, 0] = True
        return masks

    for probability in (0.0, 0.5, 1.0):
        dataset = VideoClipDataset(
            clips(1), left_hole, height=16, width=24, flip_probability=probability, samples_per_epoch=200
        )
        mirrored = []
        for index in range(200):
            sample = dataset[index]
            red = sample["frames"][:, 0].mean(dim=(0, 1))
            mirrored.append(bool(red[0] > red[-1]))
            assert sample["masks"][..., 0].all()
            assert not sample["masks"][..., 1:].any()
        assert abs(np.mean(mirrored) - probability) <= (0.1 if probability == 0.5 else 0)


def test_a_moving_hole_is_taken_at_the_time_of_its_frame() -> None:
    def clock(num_frames: int, height: int, width: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        return np.arange(num_frames)[:, None, None] > np.arange(height * width).reshape(height, width)

    dataset = VideoClipDataset(clips(1), clock, height=16, width=24, samples_per_epoch=30, flip_probability=0.0)
    for index in range(30):
        sample = dataset[index]
        assert sample["masks"].sum(dim=(1, 2, 3)).int().tolist() == frame_numbers(sample["frames"])


def test_a_sample_depends_on_seed_epoch_and_number_alone() -> None:
    def dataset(seed: int = 0) -> VideoClipDataset:
        return VideoClipDataset(clips(), MovingMask(), height=16, width=24, samples_per_epoch=8, seed=seed)

    first = windows(dataset())
    assert windows(dataset()) == first
    again = dataset()
    assert [windows(again, 1), windows(again, 0)][1] == first
    assert not set(first) & set(windows(dataset(), 1))
    assert not set(first) & set(windows(dataset(seed=1)))
    assert len(set(first)) == len(first)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_differ_from_each_other_and_the_number_of_workers_changes_nothing(num_workers: int) -> None:
    def epoch(workers: int) -> list[torch.Tensor]:
        dataset = VideoClipDataset(clips(1), StationaryMask(), height=16, width=24, samples_per_epoch=8)
        sampler = EpochSampler(dataset, seed=3)
        sampler.set_epoch(2)
        loader = DataLoader(dataset, batch_size=2, sampler=sampler, num_workers=workers)
        return [torch.cat((batch["frames"].flatten(1), batch["masks"].flatten(1)), dim=1) for batch in loader]

    alone, shared = torch.cat(epoch(0)), torch.cat(epoch(num_workers))
    assert torch.equal(alone, shared)
    assert len(torch.unique(shared, dim=0)) == 8


def test_fewer_samples_than_clips_go_on_with_the_next_clips() -> None:
    dataset = VideoClipDataset(clips(5), BoxMask(), height=16, width=24, samples_per_epoch=2)
    names = [dataset[(epoch, index)]["name"] for epoch in range(5) for index in range(2)]
    assert names == [f"clip{number % 5}" for number in range(10)]


def test_devices_share_an_epoch_and_every_epoch_has_its_order() -> None:
    dataset = VideoClipDataset(clips(1), BoxMask(), samples_per_epoch=12)

    def keys(epoch: int, replicas: int = 1) -> list[list[tuple[int, int]]]:
        samplers = [EpochSampler(dataset, num_replicas=replicas, rank=rank) for rank in range(replicas)]
        for sampler in samplers:
            sampler.set_epoch(epoch)
        return [list(sampler) for sampler in samplers]

    whole = keys(4)[0]
    assert sorted(whole) == [(4, index) for index in range(12)]
    assert [index for _, index in whole] != [index for _, index in keys(5)[0]]
    shares = keys(4, replicas=3)
    assert sorted(key for share in shares for key in share) == sorted(whole)
    # a step over three devices takes the samples that one device would take
    assert [key for step in zip(*shares, strict=True) for key in step] == whole


@pytest.mark.parametrize(("count", "replicas"), [(7, 2), (8, 4), (1, 1)])
def test_every_evaluation_clip_is_judged_exactly_once(count: int, replicas: int) -> None:
    dataset = WholeClipDataset(EvaluationSet(clips(count), BoxMask()))
    shares = [list(ShareSampler(dataset, num_replicas=replicas, rank=rank)) for rank in range(replicas)]
    assert sorted(index for share in shares for index in share) == list(range(count))
    assert all(len(ShareSampler(dataset, num_replicas=replicas, rank=r)) == len(s) for r, s in enumerate(shares))


def test_a_device_without_a_clip_repeats_one_so_that_it_takes_part() -> None:
    dataset = WholeClipDataset(EvaluationSet(clips(2), BoxMask()))
    assert [list(ShareSampler(dataset, num_replicas=3, rank=rank)) for rank in range(3)] == [[0], [1], [0]]


def holes_of(evaluation: EvaluationSet) -> dict[str, NDArray[np.bool_]]:
    return {name: masks.read(range(masks.num_frames)) for name, _, masks in evaluation}


def test_evaluation_holes_depend_on_the_name_of_the_clip_and_the_seed_alone() -> None:
    def evaluation(sources: Sequence[NumberedClip], seed: int = 0) -> EvaluationSet:
        return EvaluationSet(sources, MovingMask(), height=32, width=48, seed=seed)

    first = holes_of(evaluation(clips(4)))
    assert list(first) == ["clip0", "clip1", "clip2", "clip3"]
    reversed_part = holes_of(evaluation(clips(4)[:1:-1]))
    assert list(reversed_part) == ["clip3", "clip2"]
    assert all(np.array_equal(first[name], masks) for name, masks in reversed_part.items())
    assert not np.array_equal(first["clip0"], first["clip1"])
    assert not np.array_equal(first["clip0"], holes_of(evaluation(clips(1), seed=1))["clip0"])


def test_validation_reads_the_holes_of_the_evaluation_set() -> None:
    evaluation = EvaluationSet(clips(2), StationaryMask(), height=32, width=48, num_frames=3, dilation=2)
    dataset = WholeClipDataset(evaluation)
    for sample, (name, clip, masks) in zip([dataset[0], dataset[1]], evaluation, strict=True):
        assert sample["name"] == name
        assert np.array_equal(sample["masks"][:, 0].numpy() > 0, masks.read(range(3)))
        assert np.array_equal((sample["frames"] * 255).round().byte().movedim(1, -1).numpy(), clip.read(range(3)))
        assert frame_numbers(sample["frames"]) == [0, 1, 2]


def test_own_masks_follow_the_clip_in_size_length_and_dilation() -> None:
    ((name, clip, masks),) = EvaluationSet(clips(1), "own", height=32, width=48, num_frames=5, dilation=1)
    assert (name, clip.name, clip.num_frames, clip.height, clip.width) == ("clip0", "clip0", 5, 32, 48)
    source = clips(1)[0]
    native = source.open_masks(source.open())
    assert native is not None
    doubled = native.read([2]).repeat(2, axis=1).repeat(2, axis=2)
    assert np.array_equal(masks.read([2]), dilate(doubled, 1))
    ((_, clip, masks),) = EvaluationSet(clips(1), "own", height=None, width=None)
    assert (clip.num_frames, clip.height, clip.width) == (12, 16, 24)
    assert np.array_equal(masks.read([2]), native.read([2]))
    for reader in (clip, masks):
        with pytest.raises(IndexError, match="12 of 12"):
            reader.read([12])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VideoClipDataset(clips(1, 4), BoxMask())[0], "clip0 has 4 frames but a window takes 5"),
        (lambda: VideoClipDataset(clips(1), BoxMask(), sampling="all"), "sampling all: expected one of consecutive"),  # type: ignore[arg-type]
        (lambda: VideoClipDataset(clips(1), BoxMask(), flip_probability=2), "expected 0 to 1"),
        (lambda: VideoClipDataset(clips(1), BoxMask(), samples_per_epoch=0), "samples_per_epoch 0"),
        (lambda: VideoClipDataset(clips(1), BoxMask(), height=0), "at least one of each"),
        (lambda: EvaluationSet(clips(1), "object"), "expected a generator, or own"),  # type: ignore[arg-type]
        (lambda: EvaluationSet(clips(1), BoxMask(), height=None), "give both, or neither"),
        (lambda: EvaluationSet([NumberedClip("a", own=False)], "own").open(0), "a comes without masks"),
    ],
)
def test_what_makes_no_sense_is_refused(make: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()  # type: ignore[operator]


def test_reading_beyond_the_end_stops_a_loop() -> None:
    assert len(list(VideoClipDataset(clips(3), BoxMask(), height=16, width=24))) == 3
    assert len(list(WholeClipDataset(EvaluationSet(clips(3), BoxMask(), height=16, width=24)))) == 3
