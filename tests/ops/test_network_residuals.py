"""What a network leaves out, carried into holes."""

from __future__ import annotations

import torch
from torch import Tensor

from vinpaint.ops.network_residuals import restore_detail

T, H, W = 3, 24, 32


def scene() -> tuple[Tensor, Tensor]:
    """Three frames that show the same, and a hole in another place of each."""
    picture = torch.rand(1, 3, H, W, generator=torch.Generator().manual_seed(0))
    holes = torch.zeros(T, 1, H, W)
    for index in range(T):
        holes[index, :, 8:16, 3 + 9 * index : 12 + 9 * index] = 1
    return picture.expand(T, -1, -1, -1).clone(), holes


def grey(frames: Tensor) -> Tensor:
    """A network that makes one grey of everything."""
    return torch.full_like(frames, 0.5)


def test_what_other_frames_show_comes_back_whole() -> None:
    frames, holes = scene()
    restored = restore_detail(1, grey(frames), frames, holes)
    torch.testing.assert_close(restored, frames[1])


def test_what_lies_under_holes_has_no_influence() -> None:
    frames, holes = scene()
    expected = restore_detail(1, grey(frames), frames, holes)
    torch.testing.assert_close(restore_detail(1, grey(frames), torch.where(holes > 0, 0.9, frames), holes), expected)


def test_a_frame_that_is_completed_otherwise_lends_nothing() -> None:
    """Two others show the place; of one of them the network makes something else there than of the target."""
    frames, holes = scene()
    frames[2] = 1.0
    completed = grey(frames)
    completed[2] = 0.7
    torch.testing.assert_close(restore_detail(1, completed, frames, holes), frames[1])


def test_the_nearer_of_two_counts_more() -> None:
    frames, holes = scene()
    frames[0], frames[2] = 0.5, 0.6
    completed = grey(frames)
    completed[2] = 0.54  # two temperatures away
    inside = restore_detail(1, completed, frames, holes, temperature=0.02)[:, 10:14, 15:18]
    weight = torch.exp(torch.tensor(-2.0))
    torch.testing.assert_close(inside, torch.full_like(inside, 0.5) + 0.06 * weight / (1 + weight))


def test_what_no_frame_shows_is_shifted_by_what_its_surroundings_lack() -> None:
    frames = torch.full((T, 3, H, W), 0.6)
    holes = torch.zeros(T, 1, H, W)
    holes[:, :, 8:16, 8:20] = 1
    restored = restore_detail(0, grey(frames), frames, holes)
    torch.testing.assert_close(restored, frames[0], atol=1e-3, rtol=0)


def test_a_frame_alone_is_restored_from_itself() -> None:
    frames, holes = scene()
    restored = restore_detail(0, grey(frames)[:1], frames[:1], holes[:1])
    known = (holes[0] == 0).expand(3, -1, -1)
    torch.testing.assert_close(restored[known], frames[0][known])
    assert torch.isfinite(restored).all()


def test_values_stay_in_their_range() -> None:
    frames, holes = scene()
    completed = grey(frames)
    completed[1] = 0.55
    frames[:] = 1.0
    assert restore_detail(1, completed, frames, holes).max() == 1


def test_a_frame_that_is_all_hole_stays_as_completed() -> None:
    frames = scene()[0][:1]
    completed = grey(frames)
    torch.testing.assert_close(restore_detail(0, completed, frames, torch.ones(1, 1, H, W)), completed[0])
