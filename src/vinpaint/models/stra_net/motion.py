"""Motion between frames with holes, along optical flow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from vinpaint.errors import UserError
from vinpaint.models.cpnet.preparation import PreparedFrames
from vinpaint.models.flow.chaining import chain_flows, chain_valid, consistent_flow, flow_beyond_holes
from vinpaint.models.flow.estimator import BothFlows, FlowEstimator, FlowPair
from vinpaint.ops.infill import harmonic_infill

FlowFill = Literal["harmonic", "none"]
FlowMode = Literal["chain", "direct"]


class Motion(NamedTuple):
    """Where pixels of one frame lie in another.

    Attributes:
        flow: ``(..., 2, H', W')`` float32 px, channel 0 = x.
        valid: ``(..., 1, H', W')`` float32 in {0, 1}, 1 where it is believed.
    """

    flow: Tensor
    valid: Tensor

    def then(self, following: Motion) -> Motion:
        """Follow this motion and then another, both ``(N, ...)``."""
        return Motion(chain_flows(self.flow, following.flow), chain_valid(self.flow, self.valid, following.valid))


class Steps(NamedTuple):
    """Motion between the neighbours of clips.

    Attributes:
        onward: from each frame but the last to the next, ``(B, T - 1, ...)``.
        back: from each frame but the first to the one before, ``(B, T - 1, ...)``.
    """

    onward: Motion
    back: Motion

    def walk(self, target: int, reach: int) -> Iterator[tuple[int, Motion]]:
        """Chain motion from a frame, yielding each frame at most ``reach`` away and the motion to it, ``(B, ...)``."""
        last = self.onward.flow.shape[1]
        for step, links, end in ((1, self.onward, min(target + reach, last)), (-1, self.back, max(target - reach, 0))):
            motion: Motion | None = None
            for index in range(target + step, end + step, step):
                link = Motion(*(part[:, min(index, index - step)] for part in links))
                motion = link if motion is None else motion.then(link)
                yield index, motion


def stack_motions(motions: list[Motion]) -> Motion:
    """Put motions ``(B, ...)`` to several references side by side: ``(B, R, ...)``."""
    return Motion(*(torch.stack(parts, dim=1) for parts in zip(*motions, strict=True)))


class FlowBranch:
    """Motion from any estimator of optical flow, which stays as it is.

    The estimator sees frames whose holes are filled with colours continued from around them. Flow that comes from a
    hole or ends in one is continued from around it too, and flow is believed where the flow back agrees.

    Args:
        estimator: optical flow. No part of the network: its weights are neither trained nor saved with it.
        mode: ``chain`` follows flow between neighbours from frame to frame; ``direct`` estimates it for each pair.
        fill: ``harmonic`` continues flow into holes; ``none`` takes it as estimated, the literal reading of the paper,
            which does not say how flow is found inside a hole.
        margin: pixels beside a hole where flow is taken for that of the hole; what is made up in a moving hole moves
            along, and draws flow around it. 12 rather than 2 turns a mean error of 5.9 px in the hole of a clip into
            1.1 px (432x240 to 640x360 frames, dense inverse search).
        check: whether flow that the flow back contradicts is not believed.

    Raises:
        UserError: if an argument is none of these.

    Source: STRA-Net (BMVC 2021), section 3.2.
    """

    def __init__(
        self,
        estimator: FlowEstimator,
        *,
        mode: FlowMode = "chain",
        fill: FlowFill = "harmonic",
        margin: int = 12,
        check: bool = True,
    ) -> None:
        if mode not in ("chain", "direct"):
            raise UserError(f"flow_mode={mode}: expected chain or direct")
        if fill not in ("harmonic", "none"):
            raise UserError(f"flow_fill={fill}: expected harmonic or none")
        if margin < 0:
            raise UserError(f"flow_margin={margin}: expected at least 0")
        self.estimator = estimator
        self.mode = mode
        self.fill = fill
        self.margin = margin
        self.check = check

    @torch.no_grad()
    def between(self, first: PreparedFrames, second: PreparedFrames) -> tuple[Motion, Motion]:
        """Estimate the motion from ``first`` to ``second`` and that back, ``(N, ...)`` each."""
        device = first.frames.device
        if isinstance(self.estimator, nn.Module):
            self.estimator.to(device)  # the network does not move what is no part of it
        with torch.autocast(device.type, enabled=False):
            return self.believed(self._continued(self.estimator.both(_filled(first), _filled(second)), first, second))

    @torch.no_grad()
    def believed(self, flows: BothFlows) -> tuple[Motion, Motion]:
        """Tell where flows ``(N, 2, H', W')`` are believed."""
        ways = (flows.forward, flows.backward), (flows.backward, flows.forward)
        if self.check:
            onward, back = (Motion(flow, consistent_flow(flow, opposite)) for flow, opposite in ways)
        else:
            onward, back = (Motion(flow, torch.ones_like(flow[:, :1])) for flow, _ in ways)
        return onward, back

    def _continued(self, flows: BothFlows, first: PreparedFrames, second: PreparedFrames) -> BothFlows:
        """Flows ``(N, 2, H', W')`` continued into holes, if that is wanted."""
        if self.fill == "none":
            return flows
        return FlowPair(
            flow_beyond_holes(flows.forward, first.holes, second.holes, margin=self.margin),
            flow_beyond_holes(flows.backward, second.holes, first.holes, margin=self.margin),
        )

    def steps(self, clip: PreparedFrames) -> Steps:
        """Estimate the motion between the neighbours of clips ``(B, T, ...)``."""
        return _steps(clip, self.between(*_neighbours(clip)))

    @torch.no_grad()
    def known_steps(self, clip: PreparedFrames, flows: BothFlows) -> Steps:
        """Take the flow between the neighbours of clips ``(B, T, ...)`` instead of an estimate.

        Args:
            clip: the frames.
            flows: ``(B, T - 1, 2, H', W')`` px. In holes it is replaced by its continuation, as that of an estimator
                is: what a network follows in training is then no better there than what it will follow later.
        """
        pair = FlowPair(flows.forward.flatten(0, 1).float(), flows.backward.flatten(0, 1).float())
        return _steps(clip, self.believed(self._continued(pair, *_neighbours(clip))))

    def motions(self, clip: PreparedFrames, steps: Steps | None, target: int, reach: int) -> dict[int, Motion]:
        """Tell the motion ``(B, ...)`` from a frame of a clip ``(B, T, ...)`` to each at most ``reach`` away.

        Args:
            clip: the frames.
            steps: motion between neighbours, which is chained; None estimates each motion directly.
            target: number of the frame.
            reach: frames on each side.
        """
        if steps is not None:
            return dict(steps.walk(target, reach))
        near = range(max(target - reach, 0), min(target + reach + 1, clip.frames.shape[1]))
        return {index: self.between(_frame(clip, target), _frame(clip, index))[0] for index in near if index != target}


def _neighbours(clip: PreparedFrames) -> tuple[PreparedFrames, PreparedFrames]:
    """All frames of clips ``(B, T, ...)`` but the last, and all but the first, ``(B * (T - 1), ...)``."""
    spans = (slice(None, -1), slice(1, None))
    first, second = (PreparedFrames(*(part[:, span].flatten(0, 1) for part in clip)) for span in spans)
    return first, second


def _steps(clip: PreparedFrames, motions: tuple[Motion, Motion]) -> Steps:
    """Motion between the neighbours of clips, onward and back, ``(B * (T - 1), ...)``, by clip."""
    shape = (clip.frames.shape[0], clip.frames.shape[1] - 1)
    onward, back = (Motion(*(torch.unflatten(part, 0, shape) for part in motion)) for motion in motions)
    return Steps(onward, back)


def _frame(clip: PreparedFrames, index: int) -> PreparedFrames:
    return PreparedFrames(*(part[:, index] for part in clip))


def _filled(prepared: PreparedFrames) -> Tensor:
    """Frames ``(N, 3, H, W)`` with colours continued into their holes."""
    return harmonic_infill(prepared.frames, prepared.holes < 0.5).clamp(0, 1)
