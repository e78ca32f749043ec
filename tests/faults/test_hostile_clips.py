"""What every engine promises, on drawn clips and holes: some in every run, many in ``nox -s faults``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine_promises import assert_kept, complete, noise
from vinpaint.errors import UserError
from vinpaint.inference.baselines import DiffusionInpainter, IdentityInpainter, TemporalMedianInpainter
from vinpaint.inference.flow_guided import FlowGuidedInpainter
from vinpaint.inference.inpainter import Inpainter, MaskedClip
from vinpaint.inference.recurrent import RecurrentInpainter
from vinpaint.inference.residual_aggregation import ResidualAggregation
from vinpaint.inference.two_pass import TwoPassInpainter
from vinpaint.inference.window import WindowInpainter
from vinpaint.masks import ArrayMasks
from vinpaint.models.cpnet import CPNet
from vinpaint.models.stra_net import STRANet
from vinpaint.models.sttn import STTN
from vinpaint.video import ArrayClip

Drawn = tuple[np.ndarray, np.ndarray]


def _network(make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    torch.manual_seed(0)
    return make().eval()


def _sttn(**options: object) -> Inpainter:
    network = _network(lambda: STTN(channels=8, num_blocks=1, init_gain=1.0))
    return WindowInpainter(network, device="cpu", neighbor_radius=2, neighbor_stride=2, **options)  # type: ignore[arg-type]


ENGINES: dict[str, Callable[[], Inpainter]] = {
    "identity": IdentityInpainter,
    "telea": DiffusionInpainter,
    "navier_stokes": lambda: DiffusionInpainter(method="navier_stokes"),
    "temporal_median": lambda: TemporalMedianInpainter(radius=2),
    "flow_guided": lambda: FlowGuidedInpainter(window=4, context=2, distances=[1, 3]),
    "window_native": lambda: _sttn(size="native", cut_threshold=0.3),
    "window_resized": lambda: _sttn(size=(24, 32), max_references=1),
    "window_aligned": lambda: _sttn(
        size="native", max_references=1, alignment="affine", residual="temporal", compositing="poisson"
    ),
    "window_public": lambda: _sttn(size=(24, 32), blend="ema_half", quantize="truncate"),
    "two_pass": lambda: TwoPassInpainter(
        _network(lambda: CPNet(channels=4, alignment_size=32)),  # type: ignore[arg-type]
        size=(32, 32), reference_radius=3, device="cpu",
    ),
    "recurrent": lambda: RecurrentInpainter(
        _network(lambda: STRANet(channels=4, alignment_channels=4, alignment_size=32)),  # type: ignore[arg-type]
        near_references=1, distant_references=2, reference_window=3, device="cpu",
    ),
    "residual_aggregation": lambda: ResidualAggregation(DiffusionInpainter(), lr_scale=2),
}  # fmt: skip
SLOW = {"two_pass", "recurrent"}

_BUILT: dict[str, Inpainter] = {}


def engine_named(name: str) -> Inpainter:
    if name not in _BUILT:
        _BUILT[name] = ENGINES[name]()
    return _BUILT[name]


@st.composite
def clips(draw: st.DrawFn) -> Drawn:
    """Frames and holes of any small size and length, the kinds of holes that files really hold."""
    num_frames, height, width = (draw(st.integers(1, most)) for most in (9, 40, 40))
    frames = noise(num_frames, height, width, seed=draw(st.integers(0, 99)))
    if draw(st.booleans()):
        frames[:] = frames[:1]  # a still clip
    if draw(st.booleans()):
        frames[:] = draw(st.sampled_from([0, 128, 255]))  # one without any texture
    holes = np.zeros(frames.shape[:3], bool)
    kind = draw(st.sampled_from(["empty", "full", "pixel", "frame", "flicker", "box", "noise", "border"]))
    if kind == "full":
        holes[:] = True
    elif kind == "pixel":
        holes[:, draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = True
    elif kind == "frame":
        holes[draw(st.integers(0, num_frames - 1))] = True
    elif kind == "flicker":
        holes[::2, height // 3 :, : width // 2 + 1] = True
    elif kind == "box":
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        holes[:, top : top + 1 + height // 2, left : left + 1 + width // 2] = True
    elif kind == "noise":
        holes[:] = noise(num_frames, height, width, seed=7)[..., 0] > 128
    elif kind == "border":
        holes[:, 0] = holes[:, -1] = holes[:, :, 0] = holes[:, :, -1] = True
    return frames, holes


def check(engine: Inpainter, drawn: Drawn) -> None:
    frames, holes = drawn
    completed = complete(engine, frames, holes)
    assert_kept(completed, frames, holes)
    other = np.where(holes[..., None], 255 - frames, frames)
    assert torch.equal(complete(engine, other, holes), completed), "what lies under a hole has an influence"


FEW = settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", [name for name in ENGINES if name not in SLOW])
@FEW
@given(drawn=clips())
def test_promises_hold_on_any_clip(name: str, drawn: Drawn) -> None:
    check(engine_named(name), drawn)


@pytest.mark.faults
@pytest.mark.parametrize("name", ENGINES)
@MANY
@given(drawn=clips())
def test_promises_hold_on_many_clips(name: str, drawn: Drawn) -> None:
    check(engine_named(name), drawn)


@pytest.mark.parametrize("kind", ["nan", "probability", "levels", "rank", "count", "size", "frames"])
def test_arrays_that_are_no_clip_or_no_masks_are_refused(kind: str) -> None:
    frames, holes = noise(3, 8, 10), np.zeros((3, 8, 10), bool)
    masks: np.ndarray = {
        "nan": np.full(holes.shape, np.nan),
        "probability": np.full(holes.shape, 0.5, np.float32),
        "levels": np.full(holes.shape, 255, np.int64),
        "rank": holes[..., None],
        "count": holes[:2],
        "size": holes[:, :7],
    }.get(kind, holes)
    pixels: np.ndarray = frames.astype(np.float32) / 255 if kind == "frames" else frames
    with pytest.raises(UserError) as error:
        MaskedClip(ArrayClip(pixels), ArrayMasks(masks))
    assert "\n" not in str(error.value)
