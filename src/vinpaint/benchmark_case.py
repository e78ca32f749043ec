"""One measured run in a process of its own: ``python -m vinpaint.benchmark_case``, JSON in, JSON out."""

from __future__ import annotations

import functools
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vinpaint.allocator import keep_freed_memory
from vinpaint.api import inpainter_from_config
from vinpaint.benchmark_roofline import measure_roofline, synchronize
from vinpaint.config import compose
from vinpaint.data import ProceduralClip
from vinpaint.errors import UserError
from vinpaint.inference.inpainter import MaskedClip
from vinpaint.inference.placement import resolve_device
from vinpaint.masks import ArrayMasks, MovingMask
from vinpaint.ops.conversion import to_uint8
from vinpaint.video import open_clip, open_writer

PARTS = {
    "encode": "encode",
    "encode_alignment": "align",
    "encode_copy": "encode",
    "transform": "attend",
    "complete": "attend",
    "transform_region": "attend",
    "decode": "decode",
    "decode_region": "decode",
    "estimate": "flow",
    "both": "flow",
}
"""Methods of networks and flow estimators, and the part of the work that their time counts as."""

COLUMNS = ("read", "flow", "align", "encode", "attend", "decode", "other", "write")
"""All parts in the order of the data; ``other`` is what the engine does itself, compositing among it."""


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        model: a name of ``conf/model``.
        width: of the clip, pixels.
        height: of the clip, pixels.
        frames: of the clip.
        precision: ``fp32``, ``bf16`` or ``fp16``; of engines that can choose.
        threads: of torch and OpenCV.
        weights: of the network; ``random`` times as well as trained ones.
        overrides: of the model's configuration, and of what refines it.
    """

    model: str
    width: int
    height: int
    frames: int
    precision: str = "fp32"
    threads: int = 1
    weights: str | None = None
    overrides: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The case in one word, the same in every run."""
        parts = [self.model, f"{self.width}x{self.height}", f"{self.frames}f", self.precision, *self.overrides]
        return " ".join(parts)


@dataclass
class Measurement:
    """What came out of one run.

    Attributes:
        seconds: from the first frame read to the last written.
        cpu_seconds: of all threads meanwhile.
        peak_mib: resident memory of the process at most, with Python and its libraries.
        gpu_peak_mib: memory taken on a GPU at most; 0 without one.
        parts: seconds of each part, each counted once.
        gflop: floating-point operations in 1e9 of each part (2 per multiply-add of convolutions and products; nothing
            else is counted). Empty unless they were asked for: counting takes time.
    """

    seconds: float
    cpu_seconds: float
    peak_mib: float
    gpu_peak_mib: float
    parts: dict[str, float]
    gflop: dict[str, float] = field(default_factory=dict)


class PartClock:
    """Tells how long each part of a run takes, a part inside another counted once, with the inner one.

    Args:
        device: where the work happens; a GPU is waited for at every change of part.
        flops: what counts operations; None counts none.
    """

    def __init__(self, device: torch.device, flops: FlopCounterMode | None = None) -> None:
        self.seconds = dict.fromkeys(COLUMNS, 0.0)
        self.gflop = dict.fromkeys(COLUMNS, 0.0)
        self._device, self._flops = device, flops
        self._stack = ["other"]
        self._last = (time.perf_counter(), 0.0)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens inside as ``name``."""
        self.settle()
        self._stack.append(name)
        try:
            yield
        finally:
            self.settle()
            self._stack.pop()

    def settle(self) -> None:
        """Book what has passed since the last change of part."""
        synchronize(self._device)
        now = (time.perf_counter(), self._flops.get_total_flops() / 1e9 if self._flops is not None else 0.0)
        self.seconds[self._stack[-1]] += now[0] - self._last[0]
        self.gflop[self._stack[-1]] += now[1] - self._last[1]
        self._last = now

    def watch(self, owner: object) -> None:
        """Count the methods of ``PARTS`` of an object's class, and of all that it holds, as their parts."""
        for held in _held(owner):
            kind = type(held)
            for method, part in PARTS.items():
                plain = kind.__dict__.get(method)
                if callable(plain) and not hasattr(plain, "__wrapped__"):
                    setattr(kind, method, self._timed(plain, part))

    def _timed(self, method: Callable[..., Any], part: str) -> Callable[..., Any]:
        @functools.wraps(method)
        def timed(*arguments: Any, **named: Any) -> Any:
            with self.part(part):
                return method(*arguments, **named)

        return timed


class _TimedClip(MaskedClip):
    """A clip whose reading is timed."""

    clock: PartClock

    def read(self, indices: Sequence[int]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        with self.clock.part("read"):
            return super().read(indices)


def measure(case: Case, *, count_flops: bool = False) -> Measurement:
    """Read, complete and write a clip made by program.

    The process is changed for good: classes are wrapped for timing, threads set. Call it in one of its own.

    Args:
        case: what to run.
        count_flops: also count floating-point operations, which slows the run.
    """
    import cv2

    torch.set_num_threads(case.threads)
    cv2.setNumThreads(case.threads)
    overrides = [f"model={case.model}", *case.overrides]
    config = compose("inpaint", overrides)
    if "precision" in config.model.engine:
        config = compose("inpaint", [*overrides, f"model.engine.precision={case.precision}"])
    node = config.model
    engine = inpainter_from_config(node, case.weights if node.network is not None else None, refine=config.refine)
    network = getattr(getattr(engine, "engine", engine), "model", None)  # of the engine that is refined, if one is
    device = resolve_device(str(node.engine.get("device", "cpu")), network if network is not None else nn.Identity())
    H, W = case.height, case.width
    masks = ArrayMasks(MovingMask()(case.frames, H, W, np.random.default_rng(0)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        with open_writer(path, height=H, width=W, frame_rate=24) as writer:
            scene = ProceduralClip(0, num_frames=case.frames, height=H, width=W)
            for index in range(case.frames):
                writer.write(scene.read([index])[0])
        flops = FlopCounterMode(display=False) if count_flops else None
        with (
            open_clip(path) as clip,
            open_writer(Path(folder) / "completed.mp4", height=H, width=W, frame_rate=24) as output,
        ):
            masked = _TimedClip(clip, masks)
            started, cpu = time.perf_counter(), time.process_time()
            clock = masked.clock = PartClock(device, flops)
            clock.watch(engine)
            with flops or nullcontext():
                for frame in engine.stream(masked):
                    with clock.part("write"):
                        output.write(to_uint8(frame))
            clock.settle()
            seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    gpu = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Measurement(seconds, cpu, peak, gpu, clock.seconds, clock.gflop if count_flops else {})


def _held(owner: object) -> Iterator[object]:
    """An engine and the objects it holds, at any depth."""
    seen: set[int] = set()
    waiting = [owner]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += one.children() if isinstance(one, nn.Module) else ()
        plain = (type, FunctionType, ModuleType, torch.Tensor, np.ndarray)
        waiting += [
            value for value in vars(one).values() if hasattr(value, "__dict__") and not isinstance(value, plain)
        ]


def main() -> None:
    """Do what standard input asks for: measure a case, or the rates of the machine in its precision."""
    order = json.load(sys.stdin)
    keep_freed_memory()
    case = Case(**{**order["case"], "overrides": tuple(order["case"]["overrides"])})
    if order["what"] == "roofline":
        torch.set_num_threads(case.threads)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        json.dump(measure_roofline(device, case.precision), sys.stdout)
        return
    try:
        result = measure(case, count_flops=order["what"] == "operations")
    except UserError as error:
        raise SystemExit(str(error)) from error
    json.dump(asdict(result), sys.stdout)


if __name__ == "__main__":
    main()
