"""Layers that move over each other, and how a random scene is put together from them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vinpaint.data.textures import Picture, cloud, random_texture, sky
from vinpaint.masks.contours import smooth_contour

Affine = NDArray[np.float64]  # (3, 3), from layer to frame, on (x, y, 1)


@dataclass(frozen=True)
class Wave:
    """A smooth bounded path: a sum of sines.

    Attributes:
        amplitude: of each sine.
        period: of each sine in frames.
        phase: of each sine in radians.
    """

    amplitude: NDArray[np.float64]
    period: NDArray[np.float64]
    phase: NDArray[np.float64]

    def at(self, time: float) -> float:
        """Value at a time in frames."""
        return float((self.amplitude * np.sin(2 * np.pi * time / self.period + self.phase)).sum())


def _wave(rng: np.random.Generator, speed: float, periods: tuple[float, float], *, count: int = 2) -> Wave:
    """A path whose speed (units per frame) is at most about ``speed``."""
    period = rng.uniform(*periods, count)
    share = rng.dirichlet(np.full(count, 2.0))
    return Wave(speed * share * period / (2 * np.pi), period, rng.uniform(0, 2 * np.pi, count))


@dataclass(frozen=True)
class Motion:
    """How a layer lies in the frame at any time: shifted, turned about its middle, and scaled."""

    x: Wave
    y: Wave
    turn: Wave  # radians
    zoom: Wave  # logarithm of the scale


_STILL = Wave(np.zeros(1), np.ones(1), np.zeros(1))
STILL = Motion(_STILL, _STILL, _STILL, _STILL)


@dataclass(frozen=True)
class Layer:
    """A picture that moves rigidly.

    Attributes:
        picture: ``(h, w, 4)`` uint8, RGB and coverage; ``(h, w, 3)`` for a backdrop that covers everything.
        place: where its middle lies in the frame at rest, ``(x, y)`` in pixels.
        motion: its own.
        nearness: how much of the camera's motion it takes: 1 for the middle distance, more when nearer.
        endless: whether it goes on, mirrored, beyond its border.
    """

    picture: NDArray[np.uint8]
    place: tuple[float, float]
    motion: Motion
    nearness: float
    endless: bool = False

    def to_frame(self, time: float, camera: Motion, middle: tuple[float, float]) -> Affine:
        """Map from the layer's pixels to the frame's, ``(3, 3)``."""
        height, width = self.picture.shape[:2]
        own = _affine(
            time, self.motion, ((width - 1) / 2, (height - 1) / 2), (self.place[0], self.place[1]), nearness=1.0
        )
        return _affine(time, camera, middle, middle, nearness=self.nearness) @ own

    @property
    def covers_all(self) -> bool:
        """Whether it is a backdrop."""
        return bool(self.picture.shape[2] == 3)


def _affine(
    time: float, motion: Motion, source: tuple[float, float], target: tuple[float, float], *, nearness: float
) -> Affine:
    """Turn and scale about ``source``, which goes to ``target`` plus the motion's shift."""
    turn, scale = motion.turn.at(time), np.exp(motion.zoom.at(time) * nearness)
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    x = target[0] + nearness * motion.x.at(time)
    y = target[1] + nearness * motion.y.at(time)
    return np.array(
        [
            [cos, -sin, x - cos * source[0] + sin * source[1]],
            [sin, cos, y - sin * source[0] - cos * source[1]],
            [0, 0, 1],
        ]
    )


@dataclass(frozen=True)
class Scene:
    """Layers from back to front, and a camera."""

    layers: tuple[Layer, ...]
    camera: Motion


def random_scene(height: int, width: int, rng: np.random.Generator) -> Scene:
    """Put a scene together: a backdrop, often a ground, objects of their own motion, sometimes something in front.

    Args:
        height: rows of the frame; every size and speed follows it.
        width: columns of the frame.
        rng: source of chance.

    Returns:
        The scene.
    """
    unit = height / 240  # sizes and speeds below are pixels of a 240-row frame
    pace = rng.uniform(0.1, 1.0)
    camera = Motion(
        x=_wave(rng, 6.0 * pace * unit, (60, 200)),
        y=_wave(rng, 2.0 * pace * unit, (40, 160)),
        turn=_wave(rng, 0.002 * pace, (50, 200)),
        zoom=_wave(rng, 0.004 * pace, (80, 240)),
    )
    layers = [_backdrop(height, width, rng)]
    if rng.random() < 0.65:
        layers.append(_ground(height, width, rng))
    for nearness in np.sort(rng.uniform(0.9, 1.7, int(rng.integers(2, 6)))):
        layers.append(_object(height, width, float(nearness), rng))
    if rng.random() < 0.35:
        layers.append(_screen(height, width, rng))
    return Scene(tuple(layers), camera)


def _backdrop(height: int, width: int, rng: np.random.Generator) -> Layer:
    size = int(height * 1.4), int(width * 1.3)
    if rng.random() < 0.3:
        picture = sky(*size, rng)
    else:
        picture = random_texture(*size, rng, scale=height * rng.uniform(0.3, 0.7))
    return Layer(picture, (width / 2, height / 2), STILL, nearness=float(rng.uniform(0.4, 0.8)), endless=True)


def _ground(height: int, width: int, rng: np.random.Generator) -> Layer:
    """Everything below a wavy horizon."""
    rows, columns = int(height * 1.2), int(width * 1.8)
    picture = random_texture(rows, columns, rng, scale=height * rng.uniform(0.2, 0.5))
    line = cloud(2, columns, rng, coarsest=width * 0.4, finest=4, roughness=rng.uniform(0.5, 1.0))[0]
    horizon = rows * 0.06 * line + rows * 0.2
    coverage = np.clip(np.arange(rows)[:, None] - horizon + 0.5, 0, 1)
    air = np.zeros((height, columns, 4), np.uint8)  # keeps the mirrored ground out of sight
    top = height * rng.uniform(0.35, 0.75)
    middle = (width / 2, top + (rows - height) / 2 - rows * 0.2)
    nearness = float(rng.uniform(0.8, 1.0))
    return Layer(np.concatenate((air, _cut(picture, coverage))), middle, STILL, nearness, endless=True)


def _object(height: int, width: int, nearness: float, rng: np.random.Generator) -> Layer:
    """A body of one to four lobes, lit from one side, at rest in the scene or going its own way."""
    unit = height / 240
    size = int(height * rng.uniform(0.3, 0.8))
    coverage = _body(size, rng)
    picture = random_texture(size, size, rng, scale=size * rng.uniform(0.3, 0.8))
    direction = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    light = 0.85 + 0.35 * (x * np.cos(direction) + y * np.sin(direction))
    picture = np.clip(picture * light[..., None], 0, 255).astype(np.uint8)
    motion = STILL
    if rng.random() < 0.75:
        speed = rng.uniform(1.0, 7.0) * unit
        motion = Motion(
            x=_wave(rng, speed, (60, 200)),
            y=_wave(rng, speed * rng.uniform(0.1, 0.8), (14, 120)),
            turn=_wave(rng, rng.choice([0.0, 0.003, 0.02]), (40, 160)),
            zoom=_wave(rng, rng.choice([0.0, 0.006]), (50, 150)),
        )
    place = (width * rng.uniform(0.1, 0.9), height * rng.uniform(0.25, 0.85))
    return Layer(_cut(picture, coverage), place, motion, nearness=nearness)


def _screen(height: int, width: int, rng: np.random.Generator) -> Layer:
    """Something close to the camera that is seen through: posts or twigs."""
    rows, columns = int(height * 1.6), int(width * 1.8)
    if rng.random() < 0.5:
        thickness, pitch = height * rng.uniform(0.03, 0.09), width * rng.uniform(0.25, 0.6)
        distance = np.abs((np.arange(columns) + pitch / 2) % pitch - pitch / 2)
        coverage = np.repeat(np.clip(thickness / 2 - distance + 0.5, 0, 1)[None], rows, axis=0)
    else:
        field = cloud(rows, columns, rng, coarsest=height * 0.5, finest=6, roughness=1.2)
        coverage = np.clip((field - 1.6) * 6, 0, 1)
    picture = random_texture(rows, columns, rng, scale=height * 0.2)
    place = (width / 2, height / 2)
    return Layer(
        _cut((picture * 0.6).astype(np.uint8), coverage),
        place,
        STILL,
        nearness=float(rng.uniform(1.8, 2.4)),
        endless=True,
    )


def _body(size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Coverage of a random body that leaves a margin, ``(size, size)`` in 0 to 1."""
    canvas = np.zeros((size, size), np.uint8)
    centre = np.full(2, size / 2)
    for _ in range(int(rng.integers(1, 5))):
        count = int(rng.integers(4, 9))
        angles = np.arange(count) * (2 * np.pi / count) + rng.uniform(0, 2 * np.pi)
        stretch = rng.uniform(0.5, 1.0, 2)
        radius = size * rng.uniform(0.12, 0.34, count)[:, None]
        points = centre + np.stack((np.cos(angles), np.sin(angles)), axis=1) * radius * stretch
        contour = smooth_contour(points).clip(3, size - 4)
        cv2.fillPoly(canvas, [(contour * 16).astype(np.int32)], (255,), cv2.LINE_AA, 4)
        centre = points[int(rng.integers(count))]  # the next lobe grows from the rim of this one
    return np.asarray(canvas / 255)


def _cut(picture: Picture, coverage: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.dstack((picture, np.round(coverage * 255).astype(np.uint8)))
