from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from PIL import Image
from torch.utils.data import DataLoader

from tiny_training import TinyClips, TinyGenerator, tiny_trainer
from vinpaint.callbacks import ClipLogger
from vinpaint.models.sttn import STTN
from vinpaint.training import STTNModule
from vinpaint.training.sttn_pictures import (
    QUERY_COLOUR,
    SOURCE_COLOUR,
    Patch,
    patch_in_hole,
    strongest,
    sttn_pictures,
)


def _network(**options: int) -> STTN:
    return STTN(channels=8, num_blocks=2, patch_sizes=((6, 8), (3, 4)), frame_size=(48, 64), init_gain=1.0, **options)


def _clip(num_frames: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    masks = torch.zeros(num_frames, 1, height, width)
    masks[..., height // 2 : height // 2 + 14, 2:18] = 1
    return torch.rand(num_frames, 3, height, width) * 0.6, masks


def _has(image: torch.Tensor, colour: tuple[float, float, float]) -> bool:
    return bool((image == torch.tensor(colour)[:, None, None]).all(dim=0).any())


def test_the_patch_most_in_the_hole_is_found() -> None:
    hole = torch.zeros(16, 32)
    hole[8:, 15:24] = 1
    assert patch_in_hole(hole, (2, 4)) == (1, 2)


def test_the_strongest_come_in_order() -> None:
    attention = torch.zeros(3, 2, 4)
    attention[2, 0, 1], attention[1, 1, 3] = 0.7, 0.2
    assert strongest(attention, 2) == [Patch(2, 0, 1), Patch(1, 1, 3)]


def test_the_light_and_the_borders_are_those_of_the_attention_maps() -> None:
    network = _network().eval()
    frames, masks = _clip(3, 48, 64)
    rows = sttn_pictures(network, frames, masks, columns=3, top=1)["attention"]
    maps = network.attention_maps(frames[None], masks[None])
    assert len(rows) == len(maps) == 2
    for row, weights in zip(rows, maps, strict=True):
        grid = (weights.shape[2], weights.shape[3])
        patch = (48 // grid[0], 64 // grid[1])
        query = patch_in_hole(masks[1, 0], grid)
        attention = weights[0, 1, query[0], query[1]]
        time, y, x = (int(i) for i in torch.unravel_index(attention.argmax(), attention.shape))
        assert [_has(image, QUERY_COLOUR) for image in row] == [False, True, False]
        assert _has(row[time][:, y * patch[0] : (y + 1) * patch[0], x * patch[1] : (x + 1) * patch[1]], SOURCE_COLOUR)
        # inside the border the strongest keeps its light
        inner = (slice(y * patch[0] + 2, (y + 1) * patch[0] - 2), slice(x * patch[1] + 2, (x + 1) * patch[1] - 2))
        known = (masks[time, 0][inner] == 0) & (row[time][0][inner] != 1)
        torch.testing.assert_close(
            row[time][(slice(None), *inner)][:, known], frames[time][(slice(None), *inner)][:, known]
        )


@pytest.mark.parametrize("patch_frames", [1, 2])
def test_frames_that_do_not_divide_are_shown_at_their_own_size(patch_frames: int) -> None:
    frames, masks = _clip(7, 30, 50)
    rows = sttn_pictures(_network(patch_frames=patch_frames).eval(), frames, masks, columns=5)["attention"]
    assert [len(row) for row in rows] == [5, 5]
    assert {tuple(image.shape) for row in rows for image in row} == {(3, 30, 50)}
    assert all(image.min() >= 0 and image.max() <= 1 for row in rows for image in row)


def test_what_lies_under_a_hole_is_not_shown() -> None:
    network = _network().eval()
    frames, masks = _clip(3, 48, 64)
    others = torch.where(masks > 0, torch.rand_like(frames), frames)
    pictures = [sttn_pictures(network, clip, masks, columns=3)["attention"] for clip in (frames, others)]
    for one, other in zip(*pictures, strict=True):
        torch.testing.assert_close(torch.stack(one), torch.stack(other))


def test_validation_leaves_them_beside_the_strips(tmp_path: Path) -> None:
    network = STTN(channels=8, num_blocks=1, patch_sizes=((2, 2), (4, 4)), frame_size=(16, 16))
    shower = ClipLogger(folder=tmp_path / "clips", num_clips=1)
    trainer = tiny_trainer(tmp_path, callbacks=[shower], max_steps=2, logger=CSVLogger(tmp_path))
    trainer.fit(STTNModule(network), DataLoader(TinyClips(2)), DataLoader(TinyClips(1)))
    (picture,) = (tmp_path / "attention").iterdir()
    assert Image.open(picture).size == (2 * 16 + 4, 2 * 16 + 4)  # two frames, two heads


def test_a_generator_without_attention_has_no_such_pictures() -> None:
    module = STTNModule(TinyGenerator())
    assert module.pictures(torch.rand(2, 3, 16, 16), torch.zeros(2, 1, 16, 16), columns=2) == {}
