"""What alignment and attention of STRA-Net look like."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vinpaint.models.stra_net import PatchScores, STRANet
from vinpaint.models.stra_net.spatial import CELL
from vinpaint.ops.reference_attention import masked_softmax
from vinpaint.training.pictures import Explained, Rows, evenly, explain_pictures


@torch.no_grad()
def stra_net_pictures(network: STRANet, frames: Tensor, masks: Tensor, *, columns: int) -> dict[str, Rows]:
    """Show how the middle frame of a clip is completed from some of the others.

    Args:
        network: it is in evaluation mode.
        frames: ``(T, 3, H, W)`` in [0, 1].
        masks: ``(T, 1, H, W)`` in {0, 1}, 1 = hole.
        columns: images per row at most, the target among them; each reference takes one for each kind of alignment.

    Returns:
        ``alignment`` and ``attention``, see :func:`vinpaint.training.pictures.explain_pictures`: references laid by
        affine maps stand before those laid by flow. ``borrowing``, where anything is left over: the result, the
        leftover, and where in the frame it is borrowed from.
    """
    middle = frames.shape[0] // 2
    kinds = network.uses_affine + network.uses_flow
    others = [index for index in range(frames.shape[0]) if index != middle]
    chosen = sorted([middle, *evenly(others, max((columns - 1) // kinds, 1))])
    clip = network.prepare_clip(frames[chosen].unsqueeze(0), masks[chosen].unsqueeze(0))
    target = chosen.index(middle)
    done = network.complete_in_clip(clip, target, keep_aligned=True)
    height, width = frames.shape[-2:]
    laid = [a for affine in (True, False) for a in done.aligned if (a.placement.theta is not None) == affine]
    aligned, visible = (
        torch.cat([getattr(a, part) for a in laid], dim=1)[..., :height, :width] for part in ("frames", "visible")
    )
    logits = torch.cat([_map_of(a.logits, a.visible)[..., :height, :width] for a in laid], dim=1)
    prepared = clip.frame(target)
    completed = done.frame.clamp(0, 1)
    explained = Explained(
        prepared.frames[0, :, :height, :width],
        prepared.known[0, :, :height, :width],
        completed[0],
        aligned[0].clamp(0, 1),
        visible[0],
        masked_softmax(logits, visible, dim=1)[0],
    )
    pictures = explain_pictures(explained)
    if done.patch_scores is not None and done.patch_scores.borrows.any():
        sources = _sources(done.patch_scores)[..., :height, :width]
        images = (completed[0], done.leftover[0], sources[0])
        pictures["borrowing"] = [[image.expand(3, height, width) for image in images]]
    return pictures


def _map_of(logits: Tensor, visible: Tensor) -> Tensor:
    """Logits at every pixel, ``(B, R, 1, H, W)``."""
    if logits.ndim == 2:
        return logits[..., None, None, None].expand_as(visible)
    size = (visible.shape[-2], visible.shape[-1])
    resized = F.interpolate(logits.flatten(0, 1), size, mode="bilinear", align_corners=False)
    return torch.unflatten(resized, 0, (logits.shape[0], logits.shape[1]))


def _sources(scores: PatchScores) -> Tensor:
    """How much is borrowed from each place, ``(B, 1, H', W')``, 1 where most is."""
    total = (scores.scores * scores.borrows.unsqueeze(2)).sum(dim=1)  # (B, N)
    total = total / total.amax(dim=1, keepdim=True).clamp_min(1e-12)
    cells = total.view(-1, 1, *scores.grid)
    return F.interpolate(cells, scale_factor=CELL, mode="nearest")
