"""Completes clips with STRA-Net: frame by frame at a reduced size, detail carried over from the full-size frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from torch import Tensor

from vinpaint.errors import UserError
from vinpaint.inference.inpainter import MaskedClip
from vinpaint.inference.placement import Precision, place, resolve_device, resolve_precision
from vinpaint.inference.recurrent_plan import aggregation_plan
from vinpaint.inference.recurrent_references import RecurrentReferences, ReferenceStrategy
from vinpaint.inference.recurrent_run import AffineMaps, Borrowed, RecurrentRun
from vinpaint.inference.residual_aggregation import Base, Residual, ResidualAggregation
from vinpaint.inference.residual_candidates import AggregationPlan
from vinpaint.models.stra_net import STRANet
from vinpaint.ops.residual_selection import Selection


class RecurrentInpainter:
    """Completes each frame from references around it; once completed, it is a reference without a hole itself.

    The network completes means over squares of ``lr_scale`` pixels, and residual aggregation lifts its result to the
    clip's own size along the alignment and with the attention of the network. Frames are read in order,
    ``reference_window`` frames ahead of the one that is completed (twice as far where the network works at a reduced
    size), and leave as they are finished. Memory does not depend on the length of the clip: what is kept are the frames
    within the window that may still be references, as 8-bit pixels, the completed hole and 0.8 MB of features each,
    and the motion between the near ones, which is estimated once for each pair of neighbours, from the frames as they
    were read.

    Args:
        model: the network. It is copied if its device or precision has to change, and used as it is otherwise.
        recurrent: False leaves completed frames out: every frame is completed from the clip as it was read.
        near_references: frames on each side of a target that are always references, aligned by flow too.
        distant_references: further references at most. The paper takes up to 20 references in all.
        reference_window: frames on each side that references are taken from; how far the engine looks ahead.
        reference_strategy: ``strided`` | ``cpnet`` | ``coverage``, see :class:`RecurrentReferences`.
        affine: where the maps that lay references over a target as a whole come from. ``learned``, the network's affine
            branch, as in the paper; ``camera``, the motion that most of each frame shares, followed from frame to frame
            (:class:`vinpaint.inference.camera_motion.CameraMotion`), which needs no training.
        lr_scale: pixels of a frame per pixel of the network's, each way: 1, 2, 4, 8, or ``auto``, which brings the
            shorter side nearest to 270 pixels.
        residual: ``full`` | ``temporal`` | ``none``, see :class:`ResidualAggregation`; of no account at scale 1 with
            ``base="reduced"``.
        base: ``reduced`` | ``network``, see :class:`ResidualAggregation`; the paper's is ``reduced``.
        select: see :class:`ResidualAggregation`; ``soft`` without a gate is the paper's.
        topk: see :class:`ResidualAggregation`.
        temperature: see :class:`ResidualAggregation`.
        gate: see :class:`ResidualAggregation`.
        device: ``auto`` is a GPU if there is one; ``keep`` is where the network is; or a device's name.
        precision: ``fp32``, ``bf16`` or ``fp16``, of weights and features; positions are always float32.
        chunk_size: references that are read or aligned at a time; bounds memory and changes values by rounding only.

    Raises:
        UserError: if the network is no STRANet, an argument is none of these, or the device is absent.

    Source: STRA-Net (BMVC 2021), section 3.1.
    """

    def __init__(
        self,
        model: STRANet,
        *,
        recurrent: bool = True,
        near_references: int = 3,
        distant_references: int = 13,
        reference_window: int = 24,
        reference_strategy: ReferenceStrategy = "strided",
        affine: AffineMaps = "learned",
        lr_scale: int | str = "auto",
        residual: Residual = "full",
        base: Base = "reduced",
        select: Selection = "topk",
        topk: int = 3,
        temperature: float = 0.01,
        gate: float | None = 0.08,
        device: str = "auto",
        precision: Precision = "fp32",
        chunk_size: int = 4,
    ) -> None:
        if not isinstance(model, STRANet):
            raise UserError(f"model is a {type(model).__name__}: this engine runs a STRANet; use WindowInpainter")
        if affine not in get_args(AffineMaps):
            raise UserError(f"affine={affine}: expected {' or '.join(get_args(AffineMaps))}")
        if chunk_size < 1:
            raise UserError(f"chunk_size={chunk_size}: expected at least 1")
        self.model = model
        self.recurrent = recurrent
        self.near_references = near_references
        self.distant_references = distant_references
        self.reference_window = reference_window
        self.reference_strategy: ReferenceStrategy = reference_strategy
        self.affine: AffineMaps = affine
        self.device = device
        self.precision: Precision = precision
        self.chunk_size = chunk_size
        # what cannot be is refused here, not in the middle of a clip
        self.reach = self._references(1).reach
        self.aggregation = ResidualAggregation(
            _Reduced(self), lr_scale=lr_scale, residual=residual, base=base, select=select, topk=topk,
            temperature=temperature, gate=gate,
        )  # fmt: skip
        resolve_device(device, model)
        resolve_precision(precision)

    def stream(self, clip: MaskedClip) -> Iterator[Tensor]:
        """Complete ``clip``; see :class:`vinpaint.inference.inpainter.Inpainter`."""
        return self.aggregation.stream(clip)

    def stream_planned(self, clip: MaskedClip, *, known: bool = False) -> Iterator[tuple[Tensor, AggregationPlan]]:
        """Complete ``clip`` at its own size by the network alone, and tell what each frame was completed from.

        Args:
            clip: the clip.
            known: whether known pixels are wanted as the network makes them, too, where another frame may borrow from
                them; otherwise they are as they were read.
        """
        for completed, borrowed in self._stream(clip, keep_aligned=True, makes_known=known):
            frame, plan = completed, AggregationPlan(())
            if borrowed is not None:
                plan = aggregation_plan(*borrowed, recurrent=self.recurrent)
                if known:
                    frame = borrowed.completion.made[0].clamp(0, 1).cpu()
                del borrowed  # tens of megabytes of aligned frames, while the next frame is completed
            yield frame, plan

    def _stream(
        self, clip: MaskedClip, *, keep_aligned: bool, makes_known: bool = False
    ) -> Iterator[tuple[Tensor, Borrowed | None]]:
        network = place(self.model, resolve_device(self.device, self.model), self.precision)
        was_training = network.training
        network.eval()
        try:
            run = RecurrentRun(
                clip, network, references=self._references(clip.num_frames), affine=self.affine,
                recurrent=self.recurrent, chunk_size=self.chunk_size, keep_aligned=keep_aligned,
                makes_known=makes_known,
            )  # fmt: skip
            for target in range(clip.num_frames):
                yield run.complete(target)
        finally:
            network.train(was_training)

    def _references(self, num_frames: int) -> RecurrentReferences:
        return RecurrentReferences(
            num_frames,
            near=self.near_references,
            distant=self.distant_references,
            window=self.reference_window,
            strategy=self.reference_strategy,
        )


class _Reduced:
    """The engine as residual aggregation runs it: the network alone, at the size of the clip it is given."""

    def __init__(self, engine: RecurrentInpainter) -> None:
        self.engine = engine
        self.reach = engine.reach

    def stream(self, clip: MaskedClip) -> Iterator[Tensor]:
        return (completed for completed, _ in self.engine._stream(clip, keep_aligned=False))

    def stream_planned(self, clip: MaskedClip, *, known: bool = False) -> Iterator[tuple[Tensor, AggregationPlan]]:
        return self.engine.stream_planned(clip, known=known)
