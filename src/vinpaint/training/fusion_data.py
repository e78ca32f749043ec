"""Records of ``flow_guided`` as batches for the training of a fusion."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import cv2
import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from vinpaint.errors import UserError
from vinpaint.inference.flow_guided_fusion import offer_tensors
from vinpaint.inference.flow_guided_offer import Offer
from vinpaint.inference.fusion_records import (
    ClipOpener,
    HoleDrawer,
    Recording,
    plain_error,
    random_square,
    read_record,
    record_files,
)
from vinpaint.models.fusion import Candidates
from vinpaint.ops.conversion import to_tensor

_FLOOR = 1e-4
"""Least mean squared error a clip is said to have: 40 dB. Below it there is little to gain."""


class FusionBatch(TypedDict):
    """A :class:`vinpaint.batch.VideoBatch` with what ``flow_guided`` offers for it.

    Keys:
        frames: the truth, ``(B, T, 3, H, W)`` float32 in [0, 1]; for whole clips 0 where nothing is offered.
        masks: ``(B, T, 1, H, W)`` float32 in {0, 1}, 1 = hole.
        name: of the clips.
        difficulty: mean squared error of the plain mean in the holes of the whole clip, ``(B,)``.
        candidates: one entry per frame; for training a single one of all B frames, T = 1.
        corners: top and left of each entry's candidates in the frame, pixels.
    """

    frames: Tensor
    masks: Tensor
    name: list[str]
    difficulty: Tensor
    candidates: list[Candidates]
    corners: list[tuple[int, int]]


class FusionDataModule(LightningDataModule):
    """Records of clips, made before the first epoch, read as crops to train on and as clips to judge on.

    Args:
        train: clips to train on.
        val: clips to judge on.
        mask: what draws the holes.
        folder: where records lie. Those that are there are used, so that making them can be interrupted: change the
            folder when anything that makes them changes.
        num_frames: see :class:`vinpaint.inference.fusion_records.Recording`.
        max_step: see there.
        dilation: see there.
        max_side: see there.
        record_crop: pixels of the side of what is recorded of a frame to train on.
        crop: pixels of the side of what is trained on.
        val_num_frames: frames of a clip that is judged, the first ones of its recorded part.
        samples_per_epoch: crops of an epoch.
        batch_size: crops of an update.
        num_workers: processes that make records, and then that read them; 0: the main process does.
        seed: of everything drawn.

    Raises:
        UserError: if a crop is larger than what is recorded, or an epoch has no batch.
    """

    def __init__(
        self,
        *,
        train: Sequence[ClipOpener],
        val: Sequence[ClipOpener],
        mask: HoleDrawer,
        folder: str | Path,
        num_frames: int = 40,
        max_step: int = 2,
        dilation: int = 4,
        max_side: int = 480,
        record_crop: int = 112,
        crop: int = 64,
        val_num_frames: int = 16,
        samples_per_epoch: int = 4000,
        batch_size: int = 8,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if crop > record_crop:
            raise UserError(f"crop={crop}, record_crop={record_crop}: what is trained on must lie in what is recorded")
        if samples_per_epoch < batch_size:
            raise UserError(f"samples_per_epoch={samples_per_epoch}: expected a batch of {batch_size} at least")
        self.recording = Recording(
            mask=mask, num_frames=num_frames, max_step=max_step, dilation=dilation, max_side=max_side
        )
        self._train, self._val = train, val
        self.folder = Path(folder)
        self.record_crop, self.crop = record_crop, crop
        self.val_num_frames = val_num_frames
        self.samples_per_epoch = samples_per_epoch
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed

    def prepare_data(self) -> None:
        """Make the records that are missing; about a third of a second per frame and process."""
        parts = [
            partial(self.recording.record, clip, folder, seed=(self.seed, 0, draw), crop=self.record_crop)
            for clip, folder, draw in self._parts("train")
        ] + [
            partial(self.recording.record, clip, folder, seed=(self.seed, 1, draw), limit=self.val_num_frames)
            for clip, folder, draw in self._parts("val")
        ]
        if not self.num_workers:
            for record in parts:
                record()
            return
        # spawned, not forked: the trainer may have started CUDA
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self.num_workers, mp_context=context, initializer=_one_thread) as workers:
            for made in [workers.submit(record) for record in parts]:
                made.result()

    def train_dataloader(self) -> DataLoader[Any]:
        """Random crops."""
        folders = [folder for _, folder, _ in self._parts("train")]
        crops = FusionCrops(folders, crop=self.crop, num_samples=self.samples_per_epoch, seed=self.seed)
        return DataLoader(
            crops,
            batch_size=self.batch_size,
            sampler=_Keys(self.samples_per_epoch),
            num_workers=self.num_workers,
            collate_fn=collate_crops,
            drop_last=True,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """Whole clips, one a batch."""
        folders = [folder for _, folder, _ in self._parts("val")]
        return DataLoader(FusionClips(folders), batch_size=None)

    def _parts(self, stage: str) -> list[tuple[ClipOpener, Path, int]]:
        clips = self._train if stage == "train" else self._val
        return [(clip, self.folder / stage / f"{draw:04d}-{clip.name}", draw) for draw, clip in enumerate(clips)]


def _one_thread() -> None:
    """Leave the other cores to the other processes."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


class FusionCrops(Dataset[Any]):
    """Crops of records, mirrored, turned, with exchanged colours and reversed time.

    Chance comes from the seed, the epoch and the number of the sample alone.

    Args:
        folders: one per recorded part of a clip.
        crop: pixels of a side; smaller records are padded with known pixels.
        num_samples: crops of an epoch.
        seed: of all chance.

    Raises:
        UserError: if there are no records.
    """

    def __init__(self, folders: Sequence[Path], *, crop: int, num_samples: int, seed: int) -> None:
        self.files = [(number, file) for number, folder in enumerate(folders) for file in record_files(folder)]
        if not self.files:
            raise UserError(f"no records in {len(folders)} folders: let the holes cover something")
        self.difficulty = [max(plain_error(folder), _FLOOR) for folder in folders]
        self.crop = crop
        self.num_samples = num_samples
        self.seed = seed

    def __len__(self) -> int:
        return self.num_samples

    def __getitem__(self, key: tuple[int, int]) -> tuple[Candidates, Tensor, str, float]:
        """Draw a crop of an epoch: its candidates, its truth ``(1, 3, crop, crop)``, its clip and its difficulty."""
        rng = np.random.default_rng([self.seed, *key])
        number, file = self.files[int(rng.integers(len(self.files)))]
        offer, truth, _ = read_record(file)
        box = random_square(offer.hole, self.crop, rng)
        offer, truth = _turn(offer.cut(box), truth[box.slices], rng, side=self.crop)
        return offer_tensors(offer), to_tensor(truth)[None], file.parent.name, self.difficulty[number]


class FusionClips(Dataset[FusionBatch]):
    """Recorded clips, whole frames.

    Args:
        folders: one per clip.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = [folder for folder in folders if record_files(folder)]

    def __len__(self) -> int:
        return len(self.folders)

    def __getitem__(self, index: int) -> FusionBatch:
        """Read a clip as a batch of one."""
        folder = self.folders[index]
        records = [read_record(file) for file in record_files(folder)]
        height, width = (int(side) for side in records[0][2][2:])
        frames = torch.zeros(1, len(records), 3, height, width)
        masks = torch.zeros(1, len(records), 1, height, width)
        corners = []
        for t, (offer, truth, place) in enumerate(records):
            top, left = int(place[0]), int(place[1])
            h, w = offer.hole.shape
            frames[0, t, :, top : top + h, left : left + w] = to_tensor(truth)
            masks[0, t, 0, top : top + h, left : left + w] = torch.from_numpy(offer.hole).float()
            corners.append((top, left))
        return FusionBatch(
            frames=frames,
            masks=masks,
            name=[folder.name],
            difficulty=torch.tensor([max(plain_error(folder), _FLOOR)]),
            candidates=[offer_tensors(offer) for offer, _, _ in records],
            corners=corners,
        )


class _Keys(Sampler[tuple[int, int]]):
    """Epoch and number of every sample; a resumed run begins the epoch it was in anew."""

    def __init__(self, num_samples: int) -> None:
        self.num_samples = num_samples
        self.epoch = 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter([(self.epoch, index) for index in range(self.num_samples)])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Be told the epoch; the trainer calls it."""
        self.epoch = epoch


def collate_crops(samples: Sequence[tuple[Candidates, Tensor, str, float]]) -> FusionBatch:
    """Put crops together; where one has fewer candidates, the rest of them show nothing."""
    most = max(sample[0]["shares"].shape[1] for sample in samples)
    joined: dict[str, Tensor] = {}
    for key in Candidates.__annotations__:
        values = [sample[0][key] for sample in samples]  # type: ignore[literal-required]
        if key in ("colours", "shares", "offsets"):
            values = [torch.cat((v, v.new_zeros(1, most - v.shape[1], *v.shape[2:])), dim=1) for v in values]
        joined[key] = torch.cat(values)
    return FusionBatch(
        frames=torch.stack([sample[1] for sample in samples]),
        masks=joined["hole"].unsqueeze(1),
        name=[sample[2] for sample in samples],
        difficulty=torch.tensor([sample[3] for sample in samples]),
        candidates=[Candidates(**joined)],  # type: ignore[typeddict-item]
        corners=[(0, 0)],
    )


def _turn(
    offer: Offer, truth: NDArray[np.uint8], rng: np.random.Generator, *, side: int
) -> tuple[Offer, NDArray[np.uint8]]:
    """Pad to a square and apply one of the symmetries that leave a fusion's task as it is."""
    h, w = offer.hole.shape
    upright, mirrored, turned = rng.random(3) < 0.5
    channels = rng.permutation(3)

    def change(field: NDArray[Any], first: int, *, colour: bool = False) -> NDArray[Any]:
        rest = [(0, 0)] * (field.ndim - first - 2)
        field = np.pad(field, [(0, 0)] * first + [(0, side - h), (0, side - w), *rest], mode="edge")
        field = np.flip(field, first) if upright else field
        field = np.flip(field, first + 1) if mirrored else field
        field = np.swapaxes(field, first, first + 1) if turned else field
        return np.ascontiguousarray(field[..., channels] if colour else field)

    image = change(offer.image, 0, colour=True)
    return Offer(
        image=image,
        hole=change(offer.hole, 0),
        missing=change(offer.missing, 0),
        plain=change(offer.plain, 0, colour=True),
        colours=change(offer.colours, 1, colour=True),
        shares=change(offer.shares, 1),
        offsets=offer.offsets if rng.random() < 0.5 else -offer.offsets,
    ), change(truth, 0, colour=True)
