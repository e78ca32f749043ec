"""Sampling along affine maps, and what was seen there."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from vinpaint.ops.affine import affine_warp, pixel_theta
from vinpaint.ops.visibility import coarse_visibility, visible_pixels

IDENTITY = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])


@pytest.mark.parametrize("align_corners", [True, False])
def test_the_identity_changes_nothing(align_corners: bool) -> None:
    images = torch.rand(1, 3, 6, 9)
    torch.testing.assert_close(affine_warp(images, IDENTITY, align_corners=align_corners), images, atol=1e-6, rtol=0)


@pytest.mark.parametrize("align_corners", [True, False])
def test_a_map_samples_where_scipy_does(align_corners: bool) -> None:
    images = torch.rand(1, 1, 11, 15)
    theta = torch.tensor([[[0.9, 0.1, 0.05], [-0.08, 0.85, -0.1]]])
    # normalised = scale * pixel + shift, per axis (x, y)
    sides = np.array([15, 11])
    scale, shift = (2 / (sides - 1), -1) if align_corners else (2 / sides, 1 / sides - 1)
    matrix, offset = theta[0, :, :2].double().numpy(), theta[0, :, 2].double().numpy()
    in_pixels = matrix * scale / scale[:, None]
    origin = (matrix @ np.broadcast_to(shift, 2) + offset - shift) / scale
    expected = ndimage.affine_transform(
        images[0, 0].double().numpy(), in_pixels[::-1, ::-1], origin[::-1], order=1, mode="grid-constant"
    )
    warped = affine_warp(images, theta, align_corners=align_corners)[0, 0].numpy()
    np.testing.assert_allclose(warped, expected, atol=1e-5)


@pytest.mark.parametrize(("mode", "flag"), [("bilinear", cv2.INTER_LINEAR), ("bicubic", cv2.INTER_CUBIC)])
def test_a_map_of_pixels_samples_where_opencv_does(mode: str, flag: int) -> None:
    image = cv2.GaussianBlur(np.random.default_rng(0).random((22, 31), np.float32), (0, 0), 2)
    pixels = np.array([[0.95, 0.1, 1.3], [-0.08, 1.04, 0.6], [0, 0, 1]])
    flags = flag | cv2.WARP_INVERSE_MAP
    expected = cv2.warpAffine(image, pixels[:2], (31, 22), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    warped = affine_warp(
        torch.from_numpy(image)[None, None],
        pixel_theta(pixels, (22, 31)),
        align_corners=True,
        mode=mode,  # type: ignore[arg-type]
        padding="border",
    )[0, 0]
    # OpenCV rounds positions to a thirty-second of a pixel
    np.testing.assert_allclose(warped.numpy()[2:-2, 2:-2], expected[2:-2, 2:-2], atol=4e-3)


def test_positions_are_float32_under_autocast_and_in_half_precision() -> None:
    images = torch.linspace(0, 1, 601).view(1, 1, 1, 601).expand(1, 1, 3, 601)
    theta = IDENTITY + torch.tensor([[[0.0, 0.0, 0.0123], [0.0, 0.0, 0.0]]])
    exact = affine_warp(images, theta, align_corners=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(affine_warp(images, theta, align_corners=True), exact)
    assert affine_warp(images.bfloat16(), theta, align_corners=True).dtype == torch.float32


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"theta \(2, 2, 3\): expected"):
        affine_warp(torch.zeros(1, 3, 4, 4), torch.zeros(2, 2, 3), align_corners=True)


def test_a_pixel_is_visible_when_more_than_half_of_it_is_known() -> None:
    assert visible_pixels(torch.tensor([0.0, 0.5, 0.5001, 1.0])).tolist() == [0.0, 0.0, 1.0, 1.0]


def test_a_cell_is_visible_when_three_of_its_middle_pixels_are() -> None:
    visible = torch.ones(1, 1, 4, 8)
    visible[..., 1, 1] = 0  # one of the four middle pixels of the first cell
    visible[..., 1:3, 5] = 0  # two of the second
    assert coarse_visibility(visible, (1, 2)).tolist() == [[[[1.0, 0.0]]]]
