"""Regions of maps."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from vinpaint.ops.region import Region, doubled, region_of


def test_a_region_grows_as_far_as_the_map_goes() -> None:
    assert Region(1, 3, 5, 6).grown(2, (4, 9)) == (0, 4, 3, 8)


def test_a_region_of_whole_cells_holds_the_region() -> None:
    assert Region(4, 9, 3, 6).aligned(5, 3) == (0, 10, 3, 6)


def test_a_region_is_cut_out_of_a_larger_one() -> None:
    maps = torch.arange(48).reshape(6, 8)
    covered, wanted = Region(1, 5, 2, 8), Region(2, 4, 3, 6)
    assert torch.equal(wanted.of(covered.of(maps), covered), maps[2:4, 3:6])


def test_the_region_of_masks_holds_every_hole() -> None:
    masks = torch.zeros(1, 2, 1, 7, 9, dtype=torch.bool)
    masks[0, 0, 0, 2, 3] = masks[0, 1, 0, 4, 8] = True
    assert region_of(masks) == (2, 5, 3, 9)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (60, 108)])
def test_doubling_a_region_is_bilinear_interpolation(size: tuple[int, int]) -> None:
    maps = torch.rand(2, 3, *size)
    whole = F.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=True)
    height, width = 2 * size[0], 2 * size[1]
    regions = [(0, height, 0, width), (0, 1, 0, 1), (height - 1, height, width - 1, width), (height // 3, height, 1, 2)]
    for region in map(Region._make, regions):
        read = region.halved(size)
        assert read.grown(0, size) == read, "inside the map"
        found = doubled(read.of(maps), region, size)
        torch.testing.assert_close(found, region.of(whole), atol=1e-5, rtol=0)


def test_doubling_reads_no_more_than_it_says() -> None:
    region, size = Region(10, 20, 30, 31), (30, 40)
    read = region.halved(size)
    assert read.bottom - read.top <= 7
    assert read.right - read.left <= 2
