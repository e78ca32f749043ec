from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vinpaint.errors import UserError
from vinpaint.models.vgg import VGG16Features


def test_layers_carry_the_numbers_of_imagenet_checkpoints() -> None:
    keys = set(VGG16Features(5).state_dict())
    numbers = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    assert keys == {f"features.{n}.{leaf}" for n in numbers for leaf in ("weight", "bias")}
    assert sum(p.numel() for p in VGG16Features(5).parameters()) == 14_714_688


def test_one_pooled_map_per_stage() -> None:
    maps = VGG16Features(3)(torch.rand(2, 3, 32, 24))
    assert [tuple(m.shape) for m in maps] == [(2, 64, 16, 12), (2, 128, 8, 6), (2, 256, 4, 3)]


def test_input_is_normalised_as_imagenet_was() -> None:
    vgg = VGG16Features(1)
    grey = vgg.mean.expand(1, 3, 4, 4)
    first = vgg.features[0]
    expected = torch.relu(first(torch.zeros(1, 3, 4, 4)))
    expected = torch.max_pool2d(torch.relu(vgg.features[2](expected)), 2)
    torch.testing.assert_close(vgg(grey)[0], expected)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_load_from_a_whole_classifier_and_stay_frozen(tmp_path: Path, suffix: str) -> None:
    source = VGG16Features(5).state_dict() | {"classifier.0.weight": torch.zeros(2, 2)}
    path = tmp_path / f"vgg16{suffix}"
    if suffix == ".pth":
        torch.save(source, path)
    else:
        save_file(source, path)
    vgg = VGG16Features.from_file(path, num_stages=2).train()
    assert torch.equal(vgg.features[7].weight, source["features.7.weight"])
    assert not vgg.training
    assert not any(p.requires_grad for p in vgg.parameters())


def test_an_absent_or_foreign_file_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        VGG16Features.from_file(tmp_path / "vgg16.pth")
    torch.save({"features.0.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"14 of 14 tensors .*features\.0\.weight"):
        VGG16Features.from_file(tmp_path / "other.pth")


@pytest.mark.parametrize("num_stages", [0, 6])
def test_stages_that_do_not_exist_are_refused(num_stages: int) -> None:
    with pytest.raises(ValueError, match="stages 1 to 5"):
        VGG16Features(num_stages)
