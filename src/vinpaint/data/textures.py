"""Pictures made by program: what the layers of a procedural clip are painted with."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # (H, W, 3) RGB
Field = NDArray[np.float32]  # (H, W)


def random_palette(rng: np.random.Generator, count: int = 7) -> NDArray[np.float32]:
    """Draw colours that go together: mostly muted neighbours of one hue, some of the opposite one.

    Args:
        rng: source of chance.
        count: number of colours.

    Returns:
        ``(count, 3)`` float32 RGB in 0 to 255.
    """
    hue = rng.uniform(0, 180) + rng.normal(0, 12, count) + np.where(rng.random(count) < 0.25, 90, 0)
    saturation = 255 * rng.uniform(0.4, 1.0) * rng.beta(1.6, 3.6, count)
    value = rng.uniform(30, 235, count)
    hsv = np.stack((hue % 180, saturation, value), axis=1).astype(np.uint8)
    return np.asarray(cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0], dtype=np.float32)


def cloud(
    height: int, width: int, rng: np.random.Generator, *, coarsest: float, finest: float = 2.0, roughness: float = 1.0
) -> Field:
    """Noise with detail at every size between two, as most things in nature have it.

    Args:
        height: rows.
        width: columns.
        rng: source of chance.
        coarsest: size of the largest blotch in pixels.
        finest: size of the smallest in pixels; not below 2, so that motion by parts of a pixel does not flicker.
        roughness: contrast of an octave relative to that of the next coarser one is ``roughness / 2``.

    Returns:
        ``(height, width)`` float32 of mean 0 and standard deviation 1.
    """
    field = np.zeros((height, width), np.float32)
    size, contrast = float(coarsest), 1.0
    while size >= finest:
        rows, columns = int(height / size) + 3, int(width / size) + 3
        grid = rng.standard_normal((rows, columns), dtype=np.float32)
        octave = cv2.resize(grid, (int(columns * size), int(rows * size)), interpolation=cv2.INTER_CUBIC)
        top, left = (size * (0.5 + rng.random(2))).astype(int)  # no octave begins its cells where another does
        field += contrast * octave[top : top + height, left : left + width]
        size, contrast = size / 2, contrast * roughness / 2
    field -= field.mean()
    field /= max(float(field.std()), 1e-6)
    return field


def _terrain(height: int, width: int, scale: float, rng: np.random.Generator) -> Picture:
    """Colours that run along noise: rock, foliage, water."""
    palette = random_palette(rng, 6)
    field = cloud(height, width, rng, coarsest=scale, roughness=rng.uniform(0.9, 1.5))
    ramp = cv2.resize(palette[None], (256, 1), interpolation=cv2.INTER_LINEAR)[0].astype(np.uint8)
    levels = np.clip(field * 50 + 128, 0, 255).astype(np.uint8)
    return np.asarray(ramp[levels])


def _dead_leaves(height: int, width: int, scale: float, rng: np.random.Generator) -> Picture:
    """Opaque shapes that lie over each other, many small ones and few large: the statistics of natural pictures."""
    palette = random_palette(rng)
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = palette[0].astype(np.uint8)
    smallest, largest = max(3.0, 0.06 * scale), 0.6 * scale
    count = int(min(500, 6.0 * height * width / (smallest * largest * np.pi)))
    # radii with density r^-3: equal area of the picture for every octave of size
    u = rng.random(count)
    radii = (smallest**-2 - u * (smallest**-2 - largest**-2)) ** -0.5
    places = rng.uniform((0, 0), (width, height), (count, 2))
    angles, aspects = rng.uniform(0, 180, count), rng.uniform(0.35, 1.0, count)
    colours = palette[rng.integers(len(palette), size=count)] * rng.uniform(0.75, 1.2, (count, 1))
    colours = np.clip(colours + rng.normal(0, 8, colours.shape), 0, 255)
    round_ones = rng.random(count) < 0.5
    # large ones first, with some disorder, so that small ones are not all covered
    for index in np.argsort(-radii * rng.uniform(0.4, 1.6, count)):
        x, y = places[index]
        box = ((x, y), (2 * radii[index], 2 * radii[index] * aspects[index]), angles[index])
        colour = colours[index].tolist()
        if round_ones[index]:
            cv2.ellipse(canvas, box, colour, thickness=-1, lineType=cv2.LINE_AA)
        else:
            cv2.fillConvexPoly(canvas, (cv2.boxPoints(box) * 16).astype(np.int32), colour, cv2.LINE_AA, 4)
    return canvas


def _facade(height: int, width: int, scale: float, rng: np.random.Generator) -> Picture:
    """Rows of windows in a wall."""
    palette = random_palette(rng)
    wall, frame, *panes = palette
    pitch = np.maximum((scale * rng.uniform(0.12, 0.35, 2)).astype(int), 8)
    gap = np.maximum((pitch * rng.uniform(0.2, 0.45, 2)).astype(int), 2)
    rows, columns = height // pitch[0] + 1, width // pitch[1] + 1
    lit = np.stack(panes)[rng.integers(len(panes), size=(rows, columns))] * rng.uniform(0.6, 1.15, (rows, columns, 1))
    tile = np.full((*pitch, 1), 0, np.uint8)  # 0 wall, 1 frame, 2 pane
    tile[gap[0] :, gap[1] :] = 2
    tile[gap[0] : gap[0] + 2, gap[1] :] = 1
    tile[gap[0] :, gap[1] : gap[1] + 2] = 1
    kinds = np.tile(tile, (rows, columns, 1))
    panes_full = np.repeat(np.repeat(lit, pitch[0], axis=0), pitch[1], axis=1)
    picture = np.where(kinds == 0, wall, np.where(kinds == 1, frame, panes_full))[:height, :width]
    return np.clip(picture, 0, 255).astype(np.uint8)


def _stripes(height: int, width: int, scale: float, rng: np.random.Generator) -> Picture:
    """Bands of a few colours, slightly bent: cloth, planks, crossings."""
    palette = random_palette(rng, 5)
    angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    period = max(scale * rng.uniform(0.06, 0.25), 6.0)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    bend = cloud(height, width, rng, coarsest=scale, finest=scale / 2) * period * rng.uniform(0, 0.25)
    phase = (x * np.cos(angle) + y * np.sin(angle) + bend) / period
    order = palette[rng.integers(len(palette), size=8)]
    band = np.floor(phase).astype(int)
    edge = np.clip((phase - band) * period / 1.5, 0, 1)[..., None]  # 1.5 px of transition instead of stairs
    return np.asarray(order[(band - 1) % 8] * (1 - edge) + order[band % 8] * edge, dtype=np.float32).astype(np.uint8)


def sky(height: int, width: int, rng: np.random.Generator) -> Picture:
    """A vertical gradient with soft clouds.

    Args:
        height: rows.
        width: columns.
        rng: source of chance.

    Returns:
        ``(height, width, 3)`` uint8 RGB.
    """
    top, bottom, puff = random_palette(rng, 3) * 0.5 + np.array([[60, 90, 130], [120, 125, 130], [125, 125, 125]])
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    field = cloud(height, width, rng, coarsest=height * 0.6, finest=3, roughness=1.1)[..., None]
    cover = np.clip(field * 0.35 + rng.uniform(0.1, 0.5), 0, 0.9)
    picture = (top * (1 - ramp) + bottom * ramp) * (1 - cover) + puff * cover
    return np.asarray(np.clip(picture, 0, 255), dtype=np.uint8)


_KINDS: tuple[Callable[[int, int, float, np.random.Generator], Picture], ...] = (
    _terrain,
    _dead_leaves,
    _facade,
    _stripes,
)
_SHARES = (0.33, 0.42, 0.15, 0.10)


def random_texture(height: int, width: int, rng: np.random.Generator, *, scale: float) -> Picture:
    """Draw a texture of a random kind, with fine grain.

    Args:
        height: rows.
        width: columns.
        rng: source of chance.
        scale: size of its large structures in pixels.

    Returns:
        ``(height, width, 3)`` uint8 RGB.
    """
    paint = _KINDS[int(rng.choice(len(_KINDS), p=_SHARES))]
    return _with_grain(paint(height, width, scale, rng), rng, scale)


def _with_grain(picture: Picture, rng: np.random.Generator, scale: float) -> Picture:
    """Light that varies slowly and matter that varies finely, both as factors."""
    height, width = picture.shape[:2]
    light = cloud(height, width, rng, coarsest=max(scale, 8), finest=max(scale / 2, 4)) * rng.uniform(0.03, 0.12)
    grain = cloud(height, width, rng, coarsest=8, finest=2, roughness=1.6) * rng.uniform(0.02, 0.10)
    shaded = picture * (1 + light + grain)[..., None]
    # Edges one pixel wide would twinkle when they move by parts of a pixel; a lens blurs them too.
    return np.asarray(cv2.GaussianBlur(np.clip(shaded, 0, 255).astype(np.uint8), (0, 0), 0.6), dtype=np.uint8)
