"""The one datamodule of all models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from vinpaint.data.dataset import VideoClipDataset, WholeClipDataset
from vinpaint.data.evaluation import EvaluationSet
from vinpaint.data.loading import EpochSampler, ResumableLoader, ShareSampler, begin_worker, default_workers
from vinpaint.data.sampling import Sampling
from vinpaint.data.sources import ClipSource, DataError
from vinpaint.data.windows import Motion, WindowDataset, WindowRequest, WindowSource
from vinpaint.masks import MaskGenerator

Stage = Literal["train", "val", "test"]


class VideoInpaintingDataModule(LightningDataModule):
    """Windows of clips to train on and whole clips to judge on, with holes.

    Args:
        train: clips to train on, or a source of windows that come with their holes; none for a module that only
            evaluates.
        val: clips to judge on between epochs, or a source of windows: the same ones at every validation,
            in the batches of training.
        test: clips to judge on at the end; those of ``val`` when not given.
        mask: what draws the holes of training windows that are cut from clips.
        val_mask: what draws the holes of ``val`` and ``test``; ``own`` for the masks that come with the clips, the
            generator ``mask`` when not given. Drawn holes are seeded by the clip's name.
        height: rows in pixels that clips are resized to.
        width: columns in pixels.
        num_frames: frames of a training window.
        sampling: ``consecutive``, ``random`` or ``mixed`` frames of a training window that is cut from a clip.
        flip_probability: share of the training windows cut from clips that are mirrored, 0 to 1.
        samples_per_epoch: training windows of an epoch; one of every clip when not given.
        motion: give training windows their true ``affine`` maps or ``flow`` too, see
            :class:`vinpaint.data.windows.Window`; only a source of windows may know them.
        val_num_frames: only the first frames of a clip of ``val`` and ``test``; all when not given.
        val_dilation: how often the holes of ``val`` and ``test`` grow by a 3x3 cross.
        batch_size: windows of a training step over all devices together.
        num_workers: processes per device that read data; 0 reads in the main process, the number of processors but at
            most 4 when not given.
        pin_memory: whether batches are put where a GPU fetches them faster; if there is a GPU when not given.
        seed: of every sample's chance and of validation holes.

    Raises:
        DataError: when a loader is asked for whose clips were not given, or the batch does not divide over the devices.

    The epoch reaches the datasets in the keys of the sampler. Checkpoints hold the epoch and the number of its batches
    given out, so a resumed run goes on with the very next batch, on any number of workers.
    """

    def __init__(
        self,
        *,
        train: Sequence[ClipSource] | WindowSource | None,
        val: Sequence[ClipSource] | WindowSource | None,
        mask: MaskGenerator,
        test: Sequence[ClipSource] | None = None,
        val_mask: MaskGenerator | Literal["own"] | None = None,
        height: int = 240,
        width: int = 432,
        num_frames: int = 5,
        sampling: Sampling = "mixed",
        flip_probability: float = 0.5,
        samples_per_epoch: int | None = None,
        motion: Motion | None = None,
        val_num_frames: int | None = 20,
        val_dilation: int = 0,
        batch_size: int = 8,
        num_workers: int | None = None,
        pin_memory: bool | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if motion is not None and train is not None and not isinstance(train, WindowSource):
            raise DataError(f"motion={motion}: only data=image_motion and parts of data=mixture may know it")
        self._train, self._val, self._test = train, val, test if test is not None else val
        self._mask = mask
        self._val_mask: MaskGenerator | Literal["own"] = mask if val_mask is None else val_mask
        self.num_workers = default_workers() if num_workers is None else num_workers
        self.pin_memory = torch.cuda.is_available() if pin_memory is None else pin_memory
        self._loader: ResumableLoader | None = None
        self._resume_at = (0, 0)
        self.save_hyperparameters(  # plain values only: a checkpoint loads no objects
            "height",
            "width",
            "num_frames",
            "sampling",
            "flip_probability",
            "samples_per_epoch",
            "motion",
            "val_num_frames",
            "val_dilation",
            "batch_size",
            "seed",
            logger=False,
        )

    def evaluation_set(
        self,
        stage: Stage = "val",
        *,
        num_frames: int | None = None,
        dilation: int | None = None,
        seed: int | None = None,
        native_size: bool = False,
    ) -> EvaluationSet:
        """Clips and their holes, to be opened one at a time; with the defaults, those of the validation loader.

        Args:
            stage: which clips.
            num_frames: only the first frames of each clip; ``val_num_frames`` when not given.
            dilation: how often holes grow by a 3x3 cross; ``val_dilation`` when not given.
            seed: of drawn holes; ``seed`` when not given.
            native_size: leave clips at the size they have.

        Raises:
            DataError: if there are no such clips.
        """
        h = self.hparams
        return EvaluationSet(
            self._clips(stage),
            self._val_mask,
            height=None if native_size else h["height"],
            width=None if native_size else h["width"],
            num_frames=h["val_num_frames"] if num_frames is None else num_frames,
            dilation=h["val_dilation"] if dilation is None else dilation,
            seed=h["seed"] if seed is None else seed,
        )

    def training_set(self) -> VideoClipDataset | WindowDataset:
        """The training windows.

        Raises:
            DataError: if there are no clips to train on.
        """
        h = self.hparams
        if isinstance(self._train, WindowSource):
            return WindowDataset(
                self._train,
                WindowRequest(h["num_frames"], h["height"], h["width"], h["motion"]),
                samples_per_epoch=h["samples_per_epoch"],
                seed=h["seed"],
            )
        return VideoClipDataset(
            self._clips("train"),
            self._mask,
            height=h["height"],
            width=h["width"],
            num_frames=h["num_frames"],
            sampling=h["sampling"],
            flip_probability=h["flip_probability"],
            samples_per_epoch=h["samples_per_epoch"],
            seed=h["seed"],
        )

    def train_dataloader(self) -> ResumableLoader:
        """Shuffled windows, in batches of this device's share."""
        dataset, (replicas, rank) = self.training_set(), self._devices()
        batch_size = self.hparams["batch_size"]
        if batch_size % replicas:
            raise DataError(f"batch_size {batch_size} over {replicas} devices: choose a multiple of {replicas}")
        if len(dataset) < batch_size:
            raise DataError(
                f"{len(dataset)} samples in an epoch are less than a batch of {batch_size}; set samples_per_epoch to a "
                "multiple of batch_size, or batch_size lower"
            )
        self._loader = ResumableLoader(
            dataset,
            batch_size=batch_size // replicas,
            sampler=EpochSampler(dataset, num_replicas=replicas, rank=rank, seed=self.hparams["seed"]),
            drop_last=True,
            **self._loading(),
        )
        self._loader.start_from(*self._resume_at)
        return self._loader

    def state_dict(self) -> dict[str, Any]:
        """Where in which epoch training is, for checkpoints."""
        if self._loader is None:
            return {}
        epoch, batches = self._loader.position
        limit = self.trainer.num_training_batches if self.trainer is not None else len(self._loader)
        return {"epoch": epoch + 1, "batches": 0} if batches >= limit else {"epoch": epoch, "batches": batches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let training go on where a checkpoint was written."""
        if state_dict:
            self._resume_at = (state_dict["epoch"], state_dict["batches"])

    def val_dataloader(self) -> DataLoader[Any]:
        """Clips of ``val``, one a batch, or batches of its windows."""
        if not isinstance(self._val, WindowSource):
            return self._whole_clips("val")
        h = self.hparams
        wanted = WindowRequest(h["num_frames"], h["height"], h["width"], h["motion"])
        # seeded apart from the windows that are trained on
        dataset = WindowDataset(self._val, wanted, seed=h["seed"] + 1)
        replicas, rank = self._devices()
        sampler = ShareSampler(dataset, num_replicas=replicas, rank=rank)
        return DataLoader(dataset, batch_size=max(h["batch_size"] // replicas, 1), sampler=sampler, **self._loading())

    def test_dataloader(self) -> DataLoader[Any]:
        """Clips of ``test``, one a batch."""
        return self._whole_clips("test")

    def _whole_clips(self, stage: Literal["val", "test"]) -> DataLoader[Any]:
        dataset, (replicas, rank) = WholeClipDataset(self.evaluation_set(stage)), self._devices()
        sampler = ShareSampler(dataset, num_replicas=replicas, rank=rank)
        return DataLoader(dataset, batch_size=1, sampler=sampler, **self._loading())

    def _clips(self, stage: Stage) -> Sequence[ClipSource]:
        clips = {"train": self._train, "val": self._val, "test": self._test}[stage]
        if clips is None or isinstance(clips, WindowSource):
            raise DataError(f"no clips for {stage}: give data.{stage}")
        if len(clips) == 0:
            raise DataError(f"the clips for {stage} are an empty list")
        return clips

    def _devices(self) -> tuple[int, int]:
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer is not None else (1, 0)

    def _loading(self) -> dict[str, Any]:
        return {
            "num_workers": self.num_workers,
            "pin_memory": self.pin_memory,
            "persistent_workers": self.num_workers > 0,
            "worker_init_fn": begin_worker if self.num_workers else None,
        }
