"""Video Fréchet inception distance: how far the completed videos are from the true ones as a set."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torchmetrics.utilities.data import dim_zero_cat

from vinpaint.errors import UserError
from vinpaint.metrics.base import UndefinedError, VideoMetric
from vinpaint.metrics.levels import Levels, check_levels, stored
from vinpaint.models.i3d import FEATURES, FETCH, I3D, BatchNormMode
from vinpaint.models.untrained import RANDOM_WEIGHTS, seeded


def frechet_distance(real: Tensor, fake: Tensor) -> Tensor:
    """Measure the distance of two sets of features as if each were Gaussian.

    Args:
        real: ``(N, D)``, N of at least 2.
        fake: ``(M, D)``, M of at least 2.

    Returns:
        ``|mean - mean'|^2 + tr(S + S' - 2 (S S')^(1/2))`` with sample covariances, a float64 scalar.

    Raises:
        UndefinedError: if a set has fewer than two features.
        UserError: if the features differ in length.

    Source: Heusel et al., arXiv:1706.08500, equation 6. With fewer videos than dimensions the covariances are singular
    and a matrix square root loses digits or turns complex. The trace of the root is the sum of the singular values of
    ``A B^T / sqrt((N-1)(M-1))`` with centred features A and B: exact for any rank, and N x M instead of D x D.
    """
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise UserError(f"features {tuple(real.shape)} and {tuple(fake.shape)}: expected (N, D) and (M, D)")
    if len(real) < 2 or len(fake) < 2:
        raise UndefinedError(f"sets of {len(real)} and {len(fake)} videos have no covariance; give two or more")
    real, fake = real.double(), fake.double()
    mean_real, mean_fake = real.mean(dim=0), fake.mean(dim=0)
    centred_real = (real - mean_real) / (len(real) - 1) ** 0.5
    centred_fake = (fake - mean_fake) / (len(fake) - 1) ** 0.5
    root_trace = torch.linalg.matrix_norm(centred_real @ centred_fake.T, ord="nuc")
    distance = (mean_real - mean_fake).square().sum() + centred_real.square().sum() + centred_fake.square().sum()
    trace: Tensor = (distance - 2 * root_trace).clamp(min=0)  # rounding can leave identical sets just below zero
    return trace


class VFID(VideoMetric):
    """Fréchet distance between I3D features of the completed and of the true videos.

    One feature per video, of the whole video at its own size, so the number depends on how many videos there are and
    is comparable only over the same set. A single clip has no value.

    Args:
        weights: path of the I3D weights (``rgb_imagenet.pt``), or ``random`` to try a run without them: results are
            then called ``<name>_random_weights`` and mean nothing.
        bn_mode: ``batch`` normalises with each video's own statistics, as published numbers did; ``eval`` with the
            trained ones, as the network was meant (results are called ``<name>_bn_eval``).
        levels: whether completed frames are rounded or truncated to 8 bits first, or left as they are.

    Raises:
        UserError: if weights are not given, are not there or are not I3D's; the message says where to fetch them.

    Source: the evaluators of FuseFormer and E2FGVI, features of frames in [0, 1] without resizing.
    """

    higher_is_better = False
    real_features: list[Tensor] | Tensor
    fake_features: list[Tensor] | Tensor

    def __init__(
        self, *, weights: str | Path | None = None, bn_mode: BatchNormMode = "batch", levels: Levels = "round"
    ) -> None:
        super().__init__()
        if weights is None:
            raise UserError(
                f"VFID needs I3D weights: {FETCH}, then set metrics.vfid.weights=/path/to/rgb_imagenet.pt, "
                "or leave VFID out with ~metrics.vfid"
            )
        if bn_mode not in ("batch", "eval"):
            raise UserError(f"bn_mode={bn_mode}: choose batch or eval")
        check_levels(levels)
        self.bn_mode: BatchNormMode = bn_mode
        self.levels = levels
        self.random_weights = str(weights) == RANDOM_WEIGHTS
        self.network = seeded(I3D) if self.random_weights else I3D.from_file(weights)
        # Flat, because a process without clips joins the exchange with an empty vector.
        self.add_state("real_features", [], dist_reduce_fx="cat")
        self.add_state("fake_features", [], dist_reduce_fx="cat")

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Say what makes the number incomparable with published ones."""
        return (("_bn_eval" if self.bn_mode == "eval" else "") + ("_random_weights" if self.random_weights else ""),)

    def _add(self, completed: Tensor, truth: Tensor, masks: Tensor) -> Tensor:
        num_frames, _, height, width = truth.shape
        if self.bn_mode == "batch" and num_frames <= 8 and max(height, width) <= 32:
            raise UndefinedError(
                f"{num_frames} frames of {width}x{height} leave one position, which has no statistics of its own; give "
                "9 frames, 33 pixels, or bn_mode=eval"
            )
        fake, real = self._feature(stored(completed, self.levels)), self._feature(truth.float())
        cast(list[Tensor], self.fake_features).append(fake)
        cast(list[Tensor], self.real_features).append(real)
        return torch.full((1,), torch.nan, dtype=torch.float64)

    def _feature(self, frames: Tensor) -> Tensor:
        with torch.no_grad():
            return self.network.features(frames.transpose(0, 1).unsqueeze(0), bn_mode=self.bn_mode)[0]

    def compute(self) -> Tensor:
        """Measure the distance of the two sets.

        Raises:
            UserError: if there were no clips.
        """
        if len(self.real_features) == 0:
            raise UserError("VFID: no clips to measure; give at least two")
        real, fake = (dim_zero_cat(part).reshape(-1, FEATURES) for part in (self.real_features, self.fake_features))
        try:
            return frechet_distance(real, fake)
        except UndefinedError as error:
            warnings.warn(f"VFID is undefined: {error}", stacklevel=2)
            return torch.tensor(torch.nan, dtype=torch.float64)
