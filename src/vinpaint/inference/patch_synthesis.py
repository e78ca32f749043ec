"""Makes up a part of a picture out of patches of the rest of it."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from vinpaint.inference.flow_guided_fields import Bools, Floats, Levels, to_levels

_Indices = NDArray[np.intp]

_RADIUS = 3
"""Patches are 7x7 pixels."""

_TEXTURE_SIDE = 13
"""Pixels of the square over which the change of the colours is averaged."""

_TEXTURE_WEIGHT = 5.0
"""What a level of that mean counts beside a level of a colour."""

_CONTEXT = 96
"""Pixels around what is missing that patches are taken from, at least; as many as it is long if that is more."""

_COARSEST = 40
"""Pixels: a picture whose shorter side is below this is not reduced any further."""

_CHUNK = 4096
"""Patches compared at once; and known patches that each one is compared with at the coarsest level, at most."""


def synthesise(picture: Levels, missing: Bools) -> Levels | None:
    """Complete a picture so that each patch of the new part looks like one of the old.

    From coarse to fine: each 7x7 patch that touches the missing part is matched with the most similar known one, by
    spreading good matches to neighbours and by trying random places, nearer and nearer; then each missing pixel becomes
    a mean of what the matches of all patches around it say, and so on in turns. The coarsest level begins with an
    onion peel: layer after layer, each pixel from the best match of what is known around it. Deterministic.

    Args:
        picture: ``(H, W, 3)`` uint8; what stands under ``missing`` has no influence.
        missing: ``(H, W)`` bool.

    Returns:
        ``(H, W, 3)`` uint8, equal to ``picture`` where nothing is missing; None if no whole patch is known.

    Source: Wexler, Shechtman and Irani, "Space-time completion of video" (2007), equations 1 to 3, for the turns;
    Barnes et al., "PatchMatch" (2009) for the search; Newson et al. (arXiv:1503.05528) for the onion peel and for
    texture as a further channel, here one for both directions. Matches spread to all patches at once, not from scan
    line to scan line, as suits NumPy.
    """
    if not missing.any():
        return picture
    part = _surroundings(missing)
    random = np.random.default_rng(0)
    level: _Level | None = None
    pyramid = _pyramid(_with_texture(picture[part], missing[part]), missing[part])
    for depth, (image, hidden) in reversed(list(enumerate(pyramid))):
        coarser, finer = level, _Level(image, hidden)
        if not len(finer.known):  # too small for a whole patch of known pixels
            continue
        level = finer
        if coarser is None:
            level.peel()
            turns, reach = 8, max(hidden.shape)
        else:
            level.enlarge(coarser, random)
            # the finest level only sharpens what the others have decided
            turns, reach = (2, 8) if depth == 0 else (4, max(hidden.shape))
        for _ in range(turns):
            level.search(random, reach=reach)
            level.vote(sharpness=1)
    if level is None:
        return None
    level.search(random, reach=4)
    level.vote(sharpness=8)
    completed: Levels = picture.copy()
    completed[part][missing[part]] = to_levels(level.image[missing[part]][:, :3])
    return completed


def _with_texture(picture: Levels, missing: Bools) -> Floats:
    """The colours, and how much they change nearby: ``(H, W, 4)``. Without it, smooth patches match best."""
    known = (~missing).astype(np.float32)
    grey = picture.astype(np.float32).mean(axis=2)
    beside = cv2.erode(known, np.ones((3, 3), np.uint8))  # differences of known pixels
    change = np.abs(cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=1)) + np.abs(cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=1))
    size = (_TEXTURE_SIDE, _TEXTURE_SIDE)
    mean = cv2.blur(change * beside, size) / np.maximum(cv2.blur(beside, size), 1e-3)
    return np.dstack((picture, _TEXTURE_WEIGHT * mean)).astype(np.float32)


def _surroundings(missing: Bools) -> tuple[slice, slice]:
    """Rows and columns of what is missing and of as much around it."""
    slices = []
    for axis in (1, 0):
        places = np.flatnonzero(missing.any(axis=axis))
        first, stop = int(places[0]), int(places[-1]) + 1
        context = max(_CONTEXT, stop - first)
        slices.append(slice(max(first - context, 0), stop + context))
    return slices[0], slices[1]


def _pyramid(image: Floats, missing: Bools) -> list[tuple[Floats, Bools]]:
    """The picture, halved until a patch spans what is missing; means are of known pixels alone."""
    pyramid = [(image, missing)]
    while _depth_inside(missing).max() > _RADIUS + 1 and min(missing.shape) >= _COARSEST:
        size = ((missing.shape[1] + 1) // 2, (missing.shape[0] + 1) // 2)
        known = (~missing).astype(np.float32)
        share = np.asarray(cv2.resize(known, size, interpolation=cv2.INTER_AREA), np.float32)
        total = np.asarray(cv2.resize(image * known[..., None], size, interpolation=cv2.INTER_AREA), np.float32)
        image = np.asarray(total / np.maximum(share, 1e-6)[..., None], np.float32)
        missing = np.asarray(share < 0.5)
        pyramid.append((image, missing))
    return pyramid


def _depth_inside(missing: Bools) -> Floats:
    """Distance to the nearest known pixel, ``(H, W)``."""
    depth = cv2.distanceTransform(missing.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.asarray(depth, np.float32)


class _Level:
    """One size of the picture. Patches are named by the index of their centre in the flattened picture.

    Attributes:
        image: completed so far, ``(H, W, 4)`` float32, the last channel texture.
        missing: ``(H, W)`` bool.
        known: patches of known pixels alone, ``(K,)``.
        wanted: patches that touch what is missing, ``(P,)``.
        matches: the known patch that looks most like each wanted one, ``(P,)``.
        costs: sum of the squares in which the two differ, ``(P,)``.
    """

    def __init__(self, image: Floats, missing: Bools) -> None:
        self.image = image.copy()
        self.missing = missing
        self.height, self.width = missing.shape
        across = np.arange(-_RADIUS, _RADIUS + 1)
        self._offsets: _Indices = np.add.outer(across * self.width, across).ravel()
        whole = np.zeros_like(missing)
        whole[_RADIUS : self.height - _RADIUS, _RADIUS : self.width - _RADIUS] = True
        touching = cv2.dilate(missing.astype(np.uint8), np.ones((len(across), len(across)), np.uint8)) > 0
        self._is_known: Bools = (whole & ~touching).ravel()
        self.known: _Indices = np.flatnonzero(self._is_known)
        self.wanted: _Indices = np.flatnonzero(whole & touching)
        self._number: _Indices = np.full(missing.size, -1)
        self._number[self.wanted] = np.arange(len(self.wanted))
        self.matches: _Indices = np.full(len(self.wanted), -1)
        self.costs: Floats = np.full(len(self.wanted), np.inf, np.float32)

    def peel(self) -> None:
        """Complete the image layer by layer, and match every patch, by comparing with known patches all over it."""
        known = (~self.missing).astype(np.uint8)
        candidates = self.known[np.linspace(0, len(self.known) - 1, min(len(self.known), _CHUNK)).astype(np.intp)]
        content = self._content(candidates).reshape(len(candidates), -1).T  # (196, K)
        while not known.all():
            layer = np.flatnonzero((known == 0) & (cv2.dilate(known, np.ones((3, 3), np.uint8)) > 0))
            centres = self._nearest_whole(layer)
            for some in _chunks(len(layer)):
                weight = np.repeat(known.ravel()[centres[some, None] + self._offsets], 4, axis=1).astype(np.float32)
                have = self._content(centres[some]).reshape(weight.shape)
                costs = weight @ np.square(content) - 2 * (weight * have) @ content
                found = candidates[costs.argmin(axis=1)] + layer[some] - centres[some]
                self.image.reshape(-1, 4)[layer[some]] = self.image.reshape(-1, 4)[found]
            known.ravel()[layer] = 1
        norms = np.square(content).sum(axis=0)
        for some in _chunks(len(self.wanted)):
            wanted = self._content(self.wanted[some]).reshape(-1, len(content))
            self.matches[some] = candidates[(norms - 2 * wanted @ content).argmin(axis=1)]

    def enlarge(self, coarser: _Level, random: np.random.Generator) -> None:
        """Begin with the image and the matches of half the size."""
        whole = cv2.resize(coarser.image, (self.width, self.height), interpolation=cv2.INTER_LINEAR)
        self.image[self.missing] = whole[self.missing]
        y, x = self._places(self.wanted)
        half = coarser._nearest_whole(y // 2 * coarser.width + x // 2)
        number = coarser._number[half]
        half_y, half_x = coarser._places(half)
        match_y, match_x = coarser._places(coarser.matches[number])
        found, inside = self._centres(y + 2 * (match_y - half_y), x + 2 * (match_x - half_x))
        fitting = (number >= 0) & inside & self._is_known[found]
        self.matches = np.where(fitting, found, random.choice(self.known, len(self.wanted)))

    def search(self, random: np.random.Generator, *, reach: int) -> None:
        """Improve the matches: by those of patches 4, 2 and 1 pixels away, and by places at random.

        Args:
            random: where to look.
            reach: pixels from the present match, at first; then half as far, and so on.
        """
        for some in _chunks(len(self.wanted)):
            content = self._content(self.wanted[some])
            self.costs[some] = self._costs(content, self.matches[some])
            y, x = self._places(self.wanted[some])
            for step in (4, 2, 1):
                for down, right in ((0, step), (0, -step), (step, 0), (-step, 0)):
                    beside, inside = self._centres(y + down, x + right)
                    number = self._number[beside]
                    there_y, there_x = self._places(self.matches[number])
                    self._try(some, content, there_y - down, there_x - right, inside & (number >= 0))
            distance = reach
            while distance >= 1:
                there_y, there_x = self._places(self.matches[some])
                down, right = random.integers(-distance, distance + 1, (2, len(y)))
                self._try(some, content, there_y + down, there_x + right, np.ones(len(y), np.bool_))
                distance //= 2

    def vote(self, *, sharpness: float) -> None:
        """Make each missing pixel a mean of what the matches of the patches around it say.

        Args:
            sharpness: how much more the better matches count.
        """
        spread = max(float(np.percentile(self.costs, 75)), 1e-3)
        # Wexler et al.: a patch is trusted less the deeper it lies inside
        weight = 1.3 ** -_depth_inside(self.missing).ravel()[self.wanted].astype(np.float64)
        weight *= np.exp(-np.minimum(sharpness * self.costs / (2 * spread), 80.0))
        image = self.image.reshape(-1, 4)
        total = np.zeros((len(image), 5))
        for offset in self._offsets:  # no index occurs twice within one offset
            seen = np.take(image, self.matches + offset, axis=0)
            total[self.wanted + offset, :4] += weight[:, None] * seen
            total[self.wanted + offset, 4] += weight
        hidden = self.missing.ravel()
        image[hidden] = total[hidden, :4] / total[hidden, 4:]

    def _try(self, some: slice, content: Floats, y: _Indices, x: _Indices, worth: Bools) -> None:
        """Take over those of the proposed matches that are better than the present ones."""
        proposed, inside = self._centres(y, x)
        chosen = np.flatnonzero(worth & inside & self._is_known[proposed] & (proposed != self.matches[some]))
        costs = self._costs(content[chosen], proposed[chosen])
        better = costs < self.costs[some][chosen]
        self.matches[some][chosen[better]] = proposed[chosen[better]]
        self.costs[some][chosen[better]] = costs[better]

    def _costs(self, content: Floats, patches: _Indices) -> Floats:
        difference = self._content(patches) - content
        return np.asarray(np.einsum("pnc,pnc->p", difference, difference), np.float32)

    def _content(self, patches: _Indices) -> Floats:
        """Pixels ``(P, 49, 4)`` of patches ``(P,)``."""
        # take copies rows of one pixel ten times as fast as an index does
        return np.take(self.image.reshape(-1, 4), patches[:, None] + self._offsets, axis=0)

    def _places(self, patches: _Indices) -> tuple[_Indices, _Indices]:
        y, x = np.divmod(patches, self.width)
        return y, x

    def _centres(self, y: _Indices, x: _Indices) -> tuple[_Indices, Bools]:
        """Patches centred at rows and columns, and which of them lie in the picture; the rest is patch 0."""
        inside = (y >= 0) & (x >= 0) & (y < self.height) & (x < self.width)
        return np.where(inside, y * self.width + x, 0), inside

    def _nearest_whole(self, pixels: _Indices) -> _Indices:
        """The patch nearest to being centred at each pixel that lies wholly in the picture."""
        y, x = self._places(pixels)
        y = np.clip(y, _RADIUS, self.height - _RADIUS - 1)
        x = np.clip(x, _RADIUS, self.width - _RADIUS - 1)
        return np.asarray(y * self.width + x)


def _chunks(total: int) -> Iterator[slice]:
    for start in range(0, total, _CHUNK):
        yield slice(start, min(start + _CHUNK, total))
