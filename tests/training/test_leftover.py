from __future__ import annotations

import torch

from vinpaint.training.leftover import draw_blobs


def holes(count: int = 6) -> torch.Tensor:
    masks = torch.zeros(count, 1, 40, 48)
    for index in range(count):
        masks[index, :, 5:30, 6 : 20 + 4 * index] = 1
    return masks


def test_a_blob_lies_in_its_hole_and_covers_the_share_that_is_asked_for() -> None:
    masks = holes()
    blobs = draw_blobs(masks, probability=1.0, smallest=0.3, largest=0.4)
    assert set(blobs.unique().tolist()) == {0.0, 1.0}
    assert (blobs * (1 - masks)).sum() == 0
    shares = blobs.sum(dim=(1, 2, 3)) / masks.sum(dim=(1, 2, 3))
    assert ((shares > 0.295) & (shares < 0.405)).all()
    assert shares.unique().numel() == len(masks)


def test_a_blob_hangs_together() -> None:
    blob = draw_blobs(torch.ones(1, 1, 64, 64), probability=1.0, smallest=0.3, largest=0.3)
    inner = (blob[..., 1:, :] == blob[..., :-1, :]).float().mean()
    assert inner > 0.95


def test_as_many_holes_get_one_as_is_asked_for() -> None:
    masks = torch.ones(400, 1, 8, 8)
    count = (draw_blobs(masks, probability=0.5).sum(dim=(1, 2, 3)) > 0).sum().item()
    assert 160 < count < 240
    assert draw_blobs(masks, probability=0.0).sum() == 0


def test_the_draws_of_one_hole_do_not_depend_on_the_others() -> None:
    masks = holes()
    torch.manual_seed(3)
    first = draw_blobs(masks, probability=1.0)
    masks[0] = 0
    torch.manual_seed(3)
    second = draw_blobs(masks, probability=1.0)
    assert second[0].sum() == 0
    assert torch.equal(first[1:], second[1:])
