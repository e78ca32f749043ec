"""One engine borrows, another makes up what nothing showed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from vinpaint.api import inpaint_frames, load_inpainter
from vinpaint.config import ConfigError
from vinpaint.errors import UserError
from vinpaint.inference.baselines import DiffusionInpainter
from vinpaint.inference.flow_guided import FlowGuidedInpainter
from vinpaint.inference.gap_completion import GapCompletion
from vinpaint.inference.inpainter import GapTellingInpainter, MaskedClip
from vinpaint.inference.residual_aggregation import ResidualAggregation
from vinpaint.masks import ArrayMasks
from vinpaint.ops.compositing import composite
from vinpaint.ops.conversion import mask_to_tensor, to_tensor, to_uint8
from vinpaint.video import ArrayClip

T, H, W = 7, 40, 56


class Painter:
    """Paints holes in one colour and remembers what it was given."""

    def __init__(self, level: int) -> None:
        self.level = level
        self.frames: NDArray[np.uint8] | None = None
        self.holes: NDArray[np.bool_] | None = None

    def stream(self, clip: MaskedClip) -> Iterator[Tensor]:
        order = list(range(clip.num_frames))[::-1]  # in an order of its own
        frames, holes = clip.read(order)
        self.frames, self.holes = frames[::-1], holes[::-1]
        colour = torch.full((3, 1, 1), self.level / 255)
        for frame, hole in zip(self.frames, self.holes, strict=True):
            image = to_tensor(frame)
            yield composite(image, colour.expand_as(image), mask_to_tensor(hole))


def still_scene() -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]:
    """A picture that stands still under a hole whose right half moves away: the left half is never shown."""
    rng = np.random.default_rng(0)
    picture = np.kron(rng.integers(0, 256, (H // 8, W // 8, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    frames = np.repeat(picture[None], T, axis=0)
    masks = np.zeros((T, H, W), bool)
    masks[:, 12:28, 16:28] = True
    masks[0, 12:28, 28:40] = True
    never = np.zeros((H, W), bool)
    never[12:28, 16:28] = True
    return frames, masks, never


def clip_of(frames: NDArray[np.uint8], masks: NDArray[np.bool_]) -> MaskedClip:
    return MaskedClip(ArrayClip(frames), ArrayMasks(masks))


@pytest.mark.parametrize("name", ["flow_guided", "flow_guided_fusion"])
def test_engines_tell_what_nothing_showed_them(name: str) -> None:
    frames, masks, never = still_scene()
    engine = load_inpainter(name)
    assert isinstance(engine, GapTellingInpainter)
    told = list(engine.stream_with_gaps(clip_of(frames, masks)))
    gaps = torch.stack([gap for _, gap in told]).numpy()
    assert not gaps[~masks].any()
    assert gaps[:, never].mean() > 0.9
    assert gaps[0][masks[0] & ~never].mean() < 0.2
    for (frame, _), completed in zip(told, engine.stream(clip_of(frames, masks)), strict=True):
        assert torch.equal(frame, completed)


def test_what_was_shown_long_ago_is_no_gap() -> None:
    frames, masks, never = still_scene()
    masks[0] = False  # the first frame shows all of it, out of reach of the later ones but for what is handed on
    engine = FlowGuidedInpainter(window=2, context=1, distances=[1])
    gaps = torch.stack([gap for _, gap in engine.stream_with_gaps(clip_of(frames, masks))]).numpy()
    assert gaps[:, never].mean() < 0.1


def test_each_engine_fills_what_is_its_own() -> None:
    frames, masks, never = still_scene()
    painter = Painter(77)
    engine = FlowGuidedInpainter()
    both = GapCompletion(engine, painter)
    completed = np.stack([to_uint8(frame) for frame in both.stream(clip_of(frames, masks))])
    told = list(engine.stream_with_gaps(clip_of(frames, masks)))
    gaps = torch.stack([gap for _, gap in told]).numpy()
    borrowed = np.stack([to_uint8(frame) for frame, _ in told])
    assert painter.holes is not None
    assert painter.frames is not None
    np.testing.assert_array_equal(painter.holes, gaps)
    np.testing.assert_array_equal(painter.frames, borrowed)
    assert (completed[gaps] == 77).all()
    np.testing.assert_array_equal(completed[~gaps], borrowed[~gaps])
    np.testing.assert_array_equal(completed[~masks], frames[~masks])
    assert np.abs(completed[0][masks[0] & ~never].astype(int) - frames[0][masks[0] & ~never]).mean() < 8


def test_a_clip_without_holes_passes() -> None:
    frames, masks, _ = still_scene()
    completed = inpaint_frames(frames, np.zeros_like(masks), model=GapCompletion(FlowGuidedInpainter(), Painter(0)))
    np.testing.assert_array_equal(completed, frames)


def test_it_is_asked_for_by_name() -> None:
    both = load_inpainter("flow_guided", completion="sttn_small", overrides=["completion.engine.precision=bf16"])
    assert isinstance(both, GapCompletion)
    assert isinstance(both.engine, FlowGuidedInpainter)
    assert both.completion.precision == "bf16"  # type: ignore[attr-defined]
    frames, masks, _ = still_scene()
    completed = inpaint_frames(frames, masks, model=both)
    np.testing.assert_array_equal(completed[~masks], frames[~masks])
    refined = load_inpainter("flow_guided", completion="sttn_small", refine="stra")
    assert isinstance(refined, ResidualAggregation)
    assert isinstance(refined.engine, GapCompletion)


def test_wrong_choices_are_told() -> None:
    with pytest.raises(UserError, match="DiffusionInpainter does not tell what no frame showed it: leave out"):
        load_inpainter("telea", completion="sttn_small")
    with pytest.raises(UserError, match="DiffusionInpainter does not tell"):
        load_inpainter(DiffusionInpainter(), completion="sttn_small")
    with pytest.raises(ConfigError, match="completion=stn: no such option; did you mean sttn"):
        load_inpainter("flow_guided", completion="stn")
    with pytest.raises(UserError, match="nowhere"):
        load_inpainter("flow_guided", completion="sttn_small", overrides=["completion.weights=nowhere"])
