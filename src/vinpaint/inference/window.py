"""Completes clips of any length with a network that completes a few frames at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vinpaint.errors import UserError
from vinpaint.inference.aligned_inputs import AlignedInputs
from vinpaint.inference.inpainter import MaskedClip, no_earlier_frame
from vinpaint.inference.placement import Precision, place, resolve_device, resolve_precision
from vinpaint.inference.resizing import resize_completed
from vinpaint.inference.schedule import Window, window_schedule
from vinpaint.inference.shots import Shots, check_cut_threshold
from vinpaint.inference.transfer import ReadAhead, arriving, upload
from vinpaint.inference.window_inputs import Blend, PendingFrame, WindowInputs
from vinpaint.ops.compositing import composite
from vinpaint.ops.conversion import from_levels, to_tensor
from vinpaint.ops.seams import meet_border

Alignment = Literal["none", "affine"]
Compositing = Literal["paste", "poisson"]
Quantize = Literal["round", "truncate"]
WindowResidual = Literal["none", "temporal"]


class WindowInpainter:
    """Slides a window over a clip, completes its frames together with references from elsewhere, and blends windows.

    Frames are read, completed and yielded as they finish. A network with ``encode``, ``transform`` and ``decode``
    (:class:`WindowModel`) encodes each frame once; features are dropped when the coming windows do not need them. Any
    other network is called as ``forward(frames, masks)`` per window, frames in temporal order, references last. Windows
    without a hole are skipped.

    Args:
        model: the network. It is copied if its device or precision has to change, and used as it is otherwise.
        neighbor_radius: frames on each side of a window's centre.
        neighbor_stride: frames from one centre to the next, at most ``neighbor_radius + 1``.
        reference_stride: frames from one reference to the next.
        max_references: references per window, the nearest to its centre; memory and time per frame are then the same
            for any length. None takes all, as the public code does.
        blend: what a frame completed by several windows becomes: ``mean`` of all, or ``ema_half``, each window
            averaged with what was there before (the public code, which so weighs the last window most).
        quantize: ``round`` leaves frames unrounded until they are written, to the nearest level; ``truncate`` cuts
            every window and the result down to whole levels, as the public code does.
        alignment: ``affine`` lays the frames of a window over its centre by the motion that most of each frame shares
            (:class:`vinpaint.inference.camera_motion.CameraMotion`), and what was completed back: patches of
            other frames then fit where they are. ``none`` leaves frames as they are, as the paper does.
        residual: ``temporal`` carries what the network leaves out even of the pixels that it is shown, their blur and
            shade, into holes from the frames of the window that show the place
            (:func:`vinpaint.ops.network_residuals.restore_detail`); it needs ``alignment="affine"``. ``none`` leaves it
            out, as the paper does.
        compositing: ``poisson`` shifts what was completed so that it meets the known pixels around the hole without a
            seam (:func:`vinpaint.ops.seams.meet_border`); ``paste`` takes it as it is, as the paper does.
        size: (height, width) in pixels at which the network works, whatever the clip's size; ``native`` is the clip's.
            Clips of another size are resized for the network, and only the hole is taken from the result.
        device: ``auto`` is a GPU if there is one; ``keep`` is where the network is; or a device's name.
        precision: ``fp32``, ``bf16`` or ``fp16``, of weights and features.
        chunk_size: frames that are read, encoded or decoded at a time.
        cut_threshold: score from which neighbouring frames count as a cut (see
            :func:`vinpaint.inference.shots.scene_change`); every shot is then completed as if it were a clip. Frames
            are read a second time for it, ahead of what is completed. None: frames are mixed across cuts.

    Raises:
        UserError: if an argument is none of these or the device is absent.

    Source: STTN (arXiv:2007.10247), equation 1, and the public code's test script, which ``blend="ema_half"`` and
    ``quantize="truncate"`` follow to the level.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        neighbor_radius: int = 5,
        neighbor_stride: int = 5,
        reference_stride: int = 10,
        max_references: int | None = None,
        blend: Blend = "mean",
        quantize: Quantize = "round",
        alignment: Alignment = "none",
        residual: WindowResidual = "none",
        compositing: Compositing = "paste",
        size: tuple[int, int] | Literal["native"] = (240, 432),
        device: str = "auto",
        precision: Precision = "fp32",
        chunk_size: int = 4,
        cut_threshold: float | None = None,
    ) -> None:
        _check_choice("blend", blend, ("mean", "ema_half"))
        _check_choice("quantize", quantize, ("round", "truncate"))
        _check_choice("alignment", alignment, ("none", "affine"))
        _check_choice("residual", residual, ("none", "temporal"))
        _check_choice("compositing", compositing, ("paste", "poisson"))
        if alignment != "none" and blend != "mean":
            raise UserError(
                f"blend={blend} with alignment={alignment}: frames laid over others are averaged; "
                "use blend=mean or alignment=none"
            )
        if residual != "none" and alignment == "none":
            raise UserError(
                f"residual={residual} with alignment=none: detail is taken from frames that lie over each other; "
                "use alignment=affine or residual=none"
            )
        resolve_precision(precision)
        if chunk_size < 1:
            raise UserError(f"chunk_size={chunk_size}: expected at least 1")
        if size != "native" and (isinstance(size, str) or len(size) != 2 or min(size) < 1):
            raise UserError(f"size={size}: expected native or [height, width] in pixels")
        self.model = model
        self.neighbor_radius = neighbor_radius
        self.neighbor_stride = neighbor_stride
        self.reference_stride = reference_stride
        self.max_references = max_references
        self.blend = blend
        self.quantize = quantize
        self.alignment = alignment
        self.residual = residual
        self.compositing = compositing
        self.size: tuple[int, int] | None = None if isinstance(size, str) else (size[0], size[1])
        self.device = device
        self.precision = precision
        self.chunk_size = chunk_size
        self.cut_threshold = cut_threshold
        if cut_threshold is not None:
            check_cut_threshold(cut_threshold)
        next(self._schedule(1))  # a schedule that cannot be is refused here, not in the middle of a clip
        resolve_device(device, model)

    def stream(self, clip: MaskedClip) -> Iterator[Tensor]:
        """Complete ``clip``; see :class:`vinpaint.inference.inpainter.Inpainter`."""
        yield from self.stream_from(clip, 0, no_earlier_frame)

    def stream_from(
        self, clip: MaskedClip, start: int, earlier: Callable[[int], NDArray[np.uint8]]
    ) -> Iterator[Tensor]:
        """Go on with ``clip``; see :class:`vinpaint.inference.inpainter.ResumableInpainter`.

        Every window that a frame to come takes part in is completed, again where an earlier start had done so.
        """
        network = self._place()
        was_training = network.training
        network.eval()
        try:
            device = resolve_device(self.device, network)
            what = (clip, network, self.size, device, self.chunk_size)
            if self.alignment == "none":
                inputs = WindowInputs(*what)
            else:
                inputs = AlignedInputs(*what, restores_detail=self.residual == "temporal")
            with ReadAhead(clip, active=device.type == "cuda") as reader:
                yield from arriving(self._finished(inputs, reader, start), device)
        finally:
            network.train(was_training)

    def _finished(self, inputs: WindowInputs, reader: ReadAhead, start: int) -> Iterator[Iterator[Tensor]]:
        """The frames that are final after each window, made as they are taken, on the device of the network."""
        clip = inputs.clip
        pending: dict[int, PendingFrame] = {}
        # features needed within the stretch that a reference spends as a neighbour are kept over it
        ahead = -(-max(self.reference_stride, 2 * self.neighbor_radius + 1) // self.neighbor_stride) + 1
        for window, coming in _look_ahead(self._windows(clip), ahead):
            needed = {index for later in coming for index in (*later.neighbors, *later.references)}
            if window.neighbors.stop <= start:
                if clip.masks.read(window.neighbors).any():
                    inputs.pass_over(window)
                inputs.keep(needed)
                continue
            new = [index for index in window.neighbors if index not in pending]
            if new:
                after = coming[0].neighbors if coming else ()
                then = [index for index in after if index not in window.neighbors]
                for index, frame, hole in zip(new, *reader.read(new, then), strict=True):
                    pending[index] = PendingFrame(frame, hole)
            wanted = [index for index in window.neighbors if pending[index].has_hole]
            if wanted:
                for index, (completed, weight) in zip(wanted, inputs.complete(window, wanted, pending), strict=True):
                    pending[index].add(self._cut_levels(completed), self.blend, weight)
            final = coming[0].neighbors.start if coming else clip.num_frames
            done = [(index, pending.pop(index)) for index in sorted(pending) if index < final]
            yield (self._finish(frame, inputs) for index, frame in done if index >= start)
            inputs.keep(needed)

    @torch.no_grad()
    def _finish(self, frame: PendingFrame, inputs: WindowInputs) -> Tensor:
        """Put the completed hole into the native frame."""
        if frame.completed is None:
            return to_tensor(frame.frame)
        known = from_levels(upload(frame.frame, inputs.device))
        completed, holes = frame.completed.unsqueeze(0), upload(frame.hole, inputs.device).unsqueeze(0)
        if self.compositing == "poisson" or inputs.size != inputs.native_size:
            around, covered = inputs.prepare([frame])
            meet = meet_border if self.compositing == "poisson" else composite
            # the border of the hole is enlarged together with the known pixels beside it, or it would not meet them
            completed = resize_completed(meet(around, completed, covered), inputs.native_size)
        return composite(known, self._cut_levels(completed)[0], holes)

    def _cut_levels(self, frames: Tensor) -> Tensor:
        return frames if self.quantize == "round" else frames.mul(255).floor_().div_(255)

    def _windows(self, clip: MaskedClip) -> Iterator[Window]:
        end_of_shot = None if self.cut_threshold is None else Shots(clip, threshold=self.cut_threshold).end_of
        return self._schedule(clip.num_frames, end_of_shot)

    def _schedule(self, num_frames: int, end_of_shot: Callable[[int, int], int] | None = None) -> Iterator[Window]:
        return window_schedule(
            num_frames,
            neighbor_radius=self.neighbor_radius,
            neighbor_stride=self.neighbor_stride,
            reference_stride=self.reference_stride,
            max_references=self.max_references,
            end_of_shot=end_of_shot,
        )

    def _place(self) -> nn.Module:
        """The network on its device and in its precision; a copy, laid out for convolutions, unless it already is."""
        placed = place(self.model, resolve_device(self.device, self.model), self.precision)
        if placed is self.model:
            return placed
        return cast(nn.Module, placed.to(memory_format=torch.channels_last))  # type: ignore[call-overload]


def _look_ahead(windows: Iterator[Window], count: int) -> Iterator[tuple[Window, list[Window]]]:
    """Each window together with the ``count`` that follow it."""
    queue = deque(islice(windows, count + 1))
    while queue:
        window = queue.popleft()
        yield window, list(queue)
        queue.extend(islice(windows, 1))


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise UserError(f"{name}={value}: expected {' or '.join(choices)}")
