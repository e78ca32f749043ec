"""Layers that move over each other on smooth affine paths: how they are drawn, and the flow between their frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vinpaint.data.motion import Pixels, stays_inside
from vinpaint.masks import AffineRange

_HALF = 128  # coverage from which a layer counts as what is seen


class Drift:
    """A smooth affine path: constant rates of turning, leaning and growing and a constant velocity, changing pace.

    Args:
        steps: range of the rates per frame; its translation is not read.
        shift: pixels per frame ``(2,)`` (x, y).
        strength: factor on the rates, 0 to 1.
        curve: change of the pace per frame, as a share of it.
        rng: source of chance.
    """

    def __init__(
        self, steps: AffineRange, shift: NDArray[np.float64], *, strength: float, curve: float, rng: np.random.Generator
    ) -> None:
        turn, lean, size, width = strength * rng.uniform(-1, 1, 4)
        self.turn, self.lean = np.deg2rad(turn * steps.rotation), np.deg2rad(lean * steps.shear)
        self.size, self.width = size * steps.scale, width * steps.anisotropy
        self.shift = shift
        self.curve = curve

    def matrix(self, time: int, centre: tuple[float, float]) -> Pixels:
        """Map ``(3, 3)`` from where things are at time 0 to where they are at ``time``, in frames; 0 is the identity.

        Args:
            time: frames, either way.
            centre: what things turn about, pixels.
        """
        amount = time * (1 + 0.5 * self.curve * time)
        angle, lean = amount * self.turn, amount * self.lean
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        growth = np.exp(amount * self.size)
        linear = rotation @ np.array([[1, lean], [0, 1]]) @ np.diag([growth * np.exp(amount * self.width), growth])
        moved = np.eye(3)
        moved[:2, :2] = linear
        moved[:2, 2] = np.array(centre) - linear @ np.array(centre) + amount * self.shift
        return moved


class MovingLayer(NamedTuple):
    """A picture on its path.

    Attributes:
        picture: ``(h, w, 4)`` uint8, RGB times coverage and coverage, or ``(h, w, 3)`` for a backdrop, mirrored without
            end.
        maps: per frame the map ``(3, 3)`` from pixels of the picture to those of the frame.
    """

    picture: NDArray[np.uint8]
    maps: Sequence[Pixels]


def draw_layers(
    layers: Sequence[MovingLayer], time: int, height: int, width: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a frame.

    Args:
        layers: from the backdrop to the front, at most 256.
        time: number of the frame.
        height: rows in pixels.
        width: columns in pixels.

    Returns:
        The frame ``(H, W, 3)`` RGB, and the number of the layer seen at every pixel ``(H, W)``, both uint8.
    """
    backdrop = layers[0]
    frame = np.asarray(
        cv2.warpAffine(
            backdrop.picture,
            backdrop.maps[time][:2],
            (width, height),
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT_101,
        ),
        np.uint8,
    )
    labels = np.zeros((height, width), np.uint8)
    for number, layer in enumerate(layers[1:], start=1):
        h, w = layer.picture.shape[:2]
        matrix = layer.maps[time]
        corners = (matrix @ np.array([[0, w - 1, 0, w - 1], [0, 0, h - 1, h - 1], [1, 1, 1, 1]]))[:2]
        left, top = (int(side) for side in np.floor(corners.min(axis=1)).clip(0))
        right, bottom = (int(side) for side in (np.ceil(corners.max(axis=1)) + 1).clip(None, (width, height)))
        if left >= right or top >= bottom:
            continue
        into = matrix[:2] - np.array([[0, 0, left], [0, 0, top]])
        picture = np.asarray(cv2.warpAffine(layer.picture, into, (right - left, bottom - top), flags=cv2.INTER_LINEAR))
        window = slice(top, bottom), slice(left, right)
        cover = picture[..., 3]
        clear = cv2.cvtColor(255 - cover, cv2.COLOR_GRAY2RGB)
        frame[window] = cv2.add(cv2.multiply(frame[window], clear, scale=1 / 255), picture[..., :3])
        labels[window][cover >= _HALF] = number
    return frame, labels


def layered_flow(
    layers: Sequence[MovingLayer], labels: Sequence[NDArray[np.uint8]], source: int, target: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Flow between two frames of moving layers.

    Args:
        layers: from the backdrop to the front.
        labels: per frame the layer seen at every pixel, from :func:`draw_layers`.
        source: number of the frame that the flow starts in.
        target: number of the frame it leads to.

    Returns:
        Flow ``(2, H, W)`` float32 of what is seen in the source, in pixels, channel 0 = x, and where ``(H, W)`` it is
        seen in the target.
    """
    here, there = labels[source], labels[target]
    H, W = here.shape
    moves = np.zeros((256, 2, 3), np.float32)
    for number, layer in enumerate(layers):
        moves[number] = (layer.maps[target] @ np.linalg.inv(layer.maps[source]) - np.eye(3))[:2]
    x, y = np.arange(W, dtype=np.float32), np.arange(H, dtype=np.float32)[:, None]
    flow = np.empty((2, H, W), np.float32)
    for axis in (0, 1):
        by_x, by_y, constant = (cv2.LUT(here, np.ascontiguousarray(moves[:, axis, part])) for part in range(3))
        flow[axis] = by_x * x + by_y * y + constant
    columns = np.rint(x + flow[0]).clip(0, W - 1).astype(np.intp)
    rows = np.rint(y + flow[1]).clip(0, H - 1).astype(np.intp)
    return flow, stays_inside(flow) & (there.ravel()[rows * W + columns] == here)
