"""Weights and inputs of the stored outputs, made from a seed and the name of each tensor.

A stored output of the public code belongs to weights drawn tensor by tensor (:func:`official_state`) and to clips built
by integer arithmetic (:func:`moving_clip`, :func:`box_masks`), so that nothing but the outputs has to be kept. Every
random tensor has a generator of its own, seeded by the checksum of ``"<seed>:<key>"``: its values depend neither on the
order of the keys nor on the model that holds them.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

POWER_ITERATIONS = 20


def keyed_generator(seed: int, key: str) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(f"{seed}:{key}".encode()))


# ---------------------------------------------------------------- weights


def draw_parameter(seed: int, key: str, shape: Sequence[int], gain: float = 1.0) -> Tensor:
    """One floating tensor of a state dict: weights of unit gain, norms near the identity, small biases."""
    generator = keyed_generator(seed, key)
    kind = key.rpartition(".")[2]
    if kind == "running_var" and len(shape) < 2:
        return torch.rand(tuple(shape), generator=generator) * 0.1 + 1.0
    normal = torch.randn(tuple(shape), generator=generator)
    if len(shape) >= 2:
        fan_in = math.prod(shape) // shape[0]
        return normal * (gain * math.sqrt(1.0 / fan_in))
    return normal * 0.1 + 1.0 if kind == "weight" else normal * 0.1


def power_iterate(weight: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """Left and right singular vectors of the largest singular value, ``(rows,)`` and ``(columns,)`` float32."""
    matrix, left = weight.double().flatten(1), start.double()
    right = left.new_zeros(matrix.shape[1])
    for _ in range(POWER_ITERATIONS):
        right = F.normalize(matrix.T @ left, dim=0)
        left = F.normalize(matrix @ right, dim=0)
    return left.float(), right.float()


def draw_state(template: Mapping[str, Tensor], seed: int, rules: Mapping[str, Any]) -> dict[str, Tensor]:
    """A state dict under the official keys of ``template`` (its shapes and types; values only of kept keys)."""
    kept, gains = rules.get("keep", []), rules.get("gain", [])
    spectral = bool(rules.get("spectral_norm"))
    state: dict[str, Tensor] = {}
    for key, like in template.items():
        if spectral and key.endswith("weight_v"):
            continue  # follows from weight_u below
        if not like.is_floating_point() or any(re.search(pattern, key) for pattern in kept):
            state[key] = like.clone()
            continue
        gain = next((value for pattern, value in gains if re.search(pattern, key)), 1.0)
        state[key] = draw_parameter(seed, key, like.shape, gain)
        if key in rules.get("affine_identity_bias", ()):
            state[key] = state[key] * 0.5 + torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    if spectral:
        for key in [key for key in template if key.endswith("weight_u")]:
            stem = key[: -len("weight_u")]
            weight = state[stem + "weight_orig"]
            start = torch.randn(weight.shape[0], generator=keyed_generator(seed, key))
            state[key], state[stem + "weight_v"] = power_iterate(weight, start)
    return state


def official_state(golden_dir: Path, model: str, *, keep: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The seeded state dict of ``<model>_state.json`` under its official keys.

    Args:
        golden_dir: folder of the stored outputs.
        model: ``sttn_generator``, ``sttn_discriminator``, ``irr_pwc``, ``i3d`` or ``cpnet``.
        keep: values of the keys that the recipe leaves as the model constructs them (zeros otherwise).
    """
    recipe = json.loads((golden_dir / f"{model}_state.json").read_text())
    template = {
        key: torch.zeros(entry["shape"], dtype=getattr(torch, entry["dtype"])) for key, entry in recipe["keys"].items()
    }
    template.update(keep or {})
    return draw_state(template, recipe["seed"], recipe["rules"])


def recorded_summary(golden_dir: Path, model: str) -> dict[str, dict[str, Any]]:
    """Shape, type, mean, population std and first three values that the recipe gave, per official key."""
    keys: dict[str, dict[str, Any]] = json.loads((golden_dir / f"{model}_state.json").read_text())["keys"]
    return keys


# ---------------------------------------------------------------- clips and masks, exact on every machine


def _box_mean(values: Tensor, radius: int) -> Tensor:
    """Integer mean over ``2 radius + 1`` squares, where the whole square fits: (..., H, W) -> (..., H-2r, W-2r)."""
    side = 2 * radius + 1
    sums = values.unfold(-1, side, 1).sum(-1).unfold(-2, side, 1).sum(-1)
    return sums // side**2


def _stretch(values: Tensor) -> Tensor:
    low, high = values.min(), values.max()
    return (values - low) * 255 // (high - low)


def texture(seed: int, key: str, channels: int, height: int, width: int) -> Tensor:
    """``(C, H, W)`` uint8: coarse and fine blurred noise, two to one, stretched over all levels."""
    generator = keyed_generator(seed, key)
    total = torch.zeros(channels, height, width, dtype=torch.int64)
    for radius, weight in ((8, 2), (2, 1)):
        size = (channels, height + 4 * radius, width + 4 * radius)
        noise = torch.randint(0, 256, size, generator=generator)
        total = total + weight * _stretch(_box_mean(_box_mean(noise * 64, radius), radius))
    return _stretch(total).to(torch.uint8)


def moving_clip(
    seed: int, key: str, num_frames: int, height: int, width: int, *, vy: int = 2, vx: int = 3, noise: int = 6
) -> NDArray[np.uint8]:
    """``(T, H, W, 3)`` uint8: a background moving ``(vy, vx)`` px per frame, a square moving against it, noise."""
    background = texture(seed, f"{key}:bg", 3, height + abs(vy) * num_frames, width + abs(vx) * num_frames)
    side = height // 3
    square = texture(seed, f"{key}:fg", 3, side, side).long()
    generator = keyed_generator(seed, f"{key}:noise")
    clip = np.empty((num_frames, height, width, 3), np.uint8)
    for index in range(num_frames):
        top, left = abs(vy) * index, abs(vx) * index
        frame = background[:, top : top + height, left : left + width].long()
        row, column = height // 4 + index, width // 2 - 2 * index
        frame[:, row : row + side, column : column + side] = square
        frame += torch.randint(-noise, noise + 1, frame.shape, generator=generator)
        clip[index] = frame.clamp_(0, 255).permute(1, 2, 0).numpy().astype(np.uint8)
    return clip


def box_masks(
    seed: int, key: str, num_frames: int, height: int, width: int, *, fractions: Sequence[float]
) -> NDArray[np.uint8]:
    """``(T, H, W)`` uint8, 1 = hole: per frame one box of the given fraction of the frame's area, anywhere."""
    generator = keyed_generator(seed, key)
    masks = np.zeros((num_frames, height, width), np.uint8)
    for index in range(num_frames):
        per_mille = math.isqrt(int(fractions[index % len(fractions)] * 1_000_000))
        rows, columns = height * per_mille // 1000, width * per_mille // 1000
        top = int(torch.randint(0, height - rows + 1, (1,), generator=generator))
        left = int(torch.randint(0, width - columns + 1, (1,), generator=generator))
        masks[index, top : top + rows, left : left + columns] = 1
    return masks


# ---------------------------------------------------------------- comparing


def sha256(array: Tensor | NDArray[Any]) -> str:
    """Checksum of the raw bytes in C order."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def statistics(values: Tensor) -> NDArray[np.float64]:
    """Mean, population std, L2 norm, minimum, maximum and mean magnitude, as the stored ``*_stats`` vectors hold."""
    flat = values.detach().double().flatten()
    parts = (flat.mean(), flat.std(correction=0), flat.norm(), flat.min(), flat.max(), flat.abs().mean())
    return np.array([float(part) for part in parts])
