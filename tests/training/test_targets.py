from __future__ import annotations

import pytest
import torch

from tiny_training import tiny_batch
from vinpaint.batch import VideoBatch
from vinpaint.errors import UserError
from vinpaint.training.targets import check_targets, draw_targets, others, take


def five_frames(num_clips: int = 4) -> VideoBatch:
    frames = torch.rand(num_clips, 5, 3, 4, 4)
    return VideoBatch(frames=frames, masks=torch.zeros(num_clips, 5, 1, 4, 4), name=[""] * num_clips)


def test_targets_are_distinct_frames_and_every_frame_has_its_turn() -> None:
    drawn = [draw_targets(five_frames(), 2)["targets"] for _ in range(50)]
    assert all(targets.shape == (4, 2) and (targets[:, 0] != targets[:, 1]).all() for targets in drawn)
    counts = torch.cat(drawn).flatten().bincount(minlength=5)
    assert counts.sum() == 400
    assert (counts > 40).all()
    assert sorted(draw_targets(five_frames(1), "all")["targets"][0].tolist()) == [0, 1, 2, 3, 4]


def test_targets_may_be_the_same_for_all_clips_of_a_batch() -> None:
    drawn = torch.stack([draw_targets(five_frames(), 2, same_targets=True)["targets"] for _ in range(50)])
    assert (drawn == drawn[:, :1]).all()
    assert (drawn[:, 0].flatten().bincount(minlength=5) > 8).all()


def test_references_given_whole_are_no_targets_and_as_frequent_as_asked() -> None:
    batch = draw_targets(five_frames(2000), 1, completed_reference_probability=0.3)
    assert (batch["given"].gather(1, batch["targets"]) == 0).all()
    assert batch["given"].sum().item() / (2000 * 4) == pytest.approx(0.3, abs=0.03)
    assert draw_targets(five_frames(), 1)["given"].sum() == 0


def test_hand_worked_others_and_taking() -> None:
    targets = torch.tensor([[0, 2], [3, 1]])
    assert others(targets, 4).tolist() == [[[1, 2, 3], [0, 1, 3]], [[0, 1, 2], [0, 2, 3]]]
    values = torch.arange(8).view(2, 4, 1)
    assert take(values, targets)[..., 0].tolist() == [[0, 2], [7, 5]]
    assert take(values, others(targets, 4))[1, 0, :, 0].tolist() == [4, 5, 6]


def test_what_has_no_sense_is_named() -> None:
    with pytest.raises(UserError, match="targets_per_clip=0: expected a number of at least 1, or all"):
        check_targets(0, 0.0)
    with pytest.raises(UserError, match="targets_per_clip='some'"):
        check_targets("some", 0.0)
    with pytest.raises(UserError, match=r"completed_reference_probability=1\.5"):
        check_targets(1, 1.5)
    batch = tiny_batch(1)
    single = VideoBatch(frames=batch["frames"][:, :1], masks=batch["masks"][:, :1], name=batch["name"])
    with pytest.raises(UserError, match=r"set data\.num_frames to 2 or more"):
        draw_targets(single, 1)
