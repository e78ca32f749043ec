"""Measures clips one by one, in this process or spread over several; each leaves its record as soon as it is done."""

from __future__ import annotations

import multiprocessing
import signal
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import cv2
import torch
from omegaconf import DictConfig, OmegaConf

from vinpaint.api import inpainter_from_config
from vinpaint.config import build
from vinpaint.data import EvaluationClip, EvaluationSet
from vinpaint.errors import UserError
from vinpaint.evaluation_pictures import leave_pictures, picture_folder
from vinpaint.evaluation_records import ClipRecord, ClipResult, EvaluationFolder
from vinpaint.inference.inpainter import Inpainter, MaskedClip
from vinpaint.metrics import VideoMetricCollection
from vinpaint.ops.conversion import mask_to_tensor, to_tensor, to_uint8
from vinpaint.video import open_writer


@dataclass(frozen=True)
class Failure:
    """Why a clip has no numbers.

    Attributes:
        message: one line.
        trace: where it happened, if it is a fault of the library and no mistake of the user.
    """

    message: str
    trace: str | None = None

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Tell a mistake of the user from a fault of the library; call it where the error is handled."""
        if isinstance(error, UserError | OSError):
            return cls(str(error))
        return cls(f"{type(error).__name__}: {error}", traceback.format_exc())


def measure(
    config: DictConfig, folder: EvaluationFolder, indices: Sequence[int], *, processes: int = 1
) -> Iterator[tuple[int, Failure | None]]:
    """Measure clips; a clip that fails does not keep the others from being measured.

    Args:
        config: as composed from ``evaluate.yaml``; ``model``, ``weights``, ``data``, ``split``, ``metrics``,
            ``save_clips`` and ``pictures`` are read.
        folder: where records, pictures, and completed clips if they are wanted, are left.
        indices: which clips of the data set.
        processes: how many processes share them, every one with its own engine and its share of the threads.

    Yields:
        The index of each clip when it is finished, and why it has no record if it has none.

    Raises:
        UserError: if the model, the data or the metrics cannot be made.
    """
    if not indices:
        return
    if processes == 1:
        yield from _measure_here(config, folder, indices)
    else:
        yield from _spread(config, folder, indices, processes=min(processes, len(indices)))


def evaluate_clip(
    inpainter: Inpainter,
    clip: EvaluationClip,
    metrics: VideoMetricCollection,
    *,
    saved: Path | None = None,
    pictured: Path | None = None,
    num_stills: int = 2,
) -> ClipRecord:
    """Complete one clip and measure it.

    Args:
        inpainter: the engine.
        clip: its true frames and its holes.
        metrics: what to measure; forget what they held.
        saved: a folder to write the completed frames to, as a folder of PNGs named after the clip.
        pictured: a folder for stills and short videos of the clip.
        num_stills: see :func:`vinpaint.evaluation_pictures.leave_pictures`.

    Returns:
        The clip's own numbers, and the states of the metrics after it.
    """
    indices = range(clip.clip.num_frames)
    started = time.perf_counter()
    completed = torch.stack(list(inpainter.stream(MaskedClip(clip.clip, clip.masks))))
    seconds = time.perf_counter() - started
    if saved is not None:
        saved.mkdir(parents=True, exist_ok=True)
        height, width, rate = clip.clip.height, clip.clip.width, clip.clip.frame_rate
        with open_writer(saved / clip.name, frame_rate=rate, height=height, width=width, overwrite=True) as writer:
            for frame in completed:
                writer.write(to_uint8(frame))
    truth, holes = clip.clip.read(indices), clip.masks.read(indices)
    if pictured is not None:
        rate, shown = clip.clip.frame_rate, to_uint8(completed)
        leave_pictures(pictured, truth=truth, holes=holes, completed=shown, frame_rate=rate, num_stills=num_stills)
    metrics.reset()
    tensors = (completed[None], to_tensor(truth)[None])
    (values,) = metrics.update(*tensors, masks=mask_to_tensor(holes)[None], names=[clip.name])
    return ClipRecord(ClipResult(clip.name, len(indices), float(holes.mean()), seconds, values), metrics.states())


def _measure_here(
    config: DictConfig, folder: EvaluationFolder, indices: Sequence[int]
) -> Iterator[tuple[int, Failure | None]]:
    inpainter = inpainter_from_config(config.model, config.weights, completion=config.completion, refine=config.refine)
    metrics = VideoMetricCollection(build(config.metrics))
    clips: EvaluationSet = build(config.data).evaluation_set(config.split)
    saved = folder.path / "clips" if config.save_clips else None
    for index in indices:
        failure = None
        try:
            clip = clips.open(index)
            try:
                pictured = folder.path / picture_folder(index, clip.name) if config.pictures else None
                stills = config.pictures
                record = evaluate_clip(inpainter, clip, metrics, saved=saved, pictured=pictured, num_stills=stills)
                folder.save(index, record)
            finally:
                clip.clip.close()
        except Exception as error:
            failure = Failure.of(error)
        yield index, failure


def _spread(
    config: DictConfig, folder: EvaluationFolder, indices: Sequence[int], *, processes: int
) -> Iterator[tuple[int, Failure | None]]:
    context = multiprocessing.get_context("spawn")  # a forked process inherits locked threads and open decoders
    threads = max(torch.get_num_threads() // processes, 1)
    plain = OmegaConf.to_container(config, resolve=True)
    workers, left = {}, {}
    try:
        for number in range(processes):
            share = list(indices[number::processes])
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(sender, plain, folder.path, share, threads), daemon=True)
            process.start()
            sender.close()  # so that the end of the process is the end of the messages
            workers[receiver], left[receiver] = process, share
        while workers:
            ready = wait(list(workers))
            for receiver in [connection for connection in workers if connection in ready]:
                try:
                    index, news = receiver.recv()
                except EOFError:
                    process, unfinished = workers.pop(receiver), left.pop(receiver)
                    process.join()
                    for index in unfinished:
                        yield index, Failure(f"its process ended early (exit code {process.exitcode})")
                    continue
                if isinstance(news, str):
                    warnings.warn(news, stacklevel=2)
                elif index is None:
                    raise UserError(news.message) if news.trace is None else RuntimeError(news.trace)
                else:
                    left[receiver].remove(index)
                    yield index, news
    finally:
        for process in workers.values():
            process.terminate()
        for process in workers.values():
            process.join()


def _work(sender: Connection, plain: dict[str, Any], path: Path, indices: list[int], threads: int) -> None:
    """What a process does: measure its share and tell of each clip; ``(None, failure)`` if it cannot even begin."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this process
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    parent = multiprocessing.parent_process()
    # Warnings are shown where the others are, in the manner of the command.
    warnings.showwarning = lambda message, *where, **more: sender.send((None, str(message)))
    try:
        for news in _measure_here(OmegaConf.create(plain), EvaluationFolder(path), indices):
            sender.send(news)
            if parent is not None and not parent.is_alive():
                return
    except Exception as error:
        sender.send((None, Failure.of(error)))
