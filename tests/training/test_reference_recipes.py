"""What the configuration trains CPNet and STRA-Net with."""

from __future__ import annotations

import inspect

import lightning as L
import pytest
import torch
from torch import nn

from vinpaint.config import build, compose
from vinpaint.train import build_module
from vinpaint.training import CPNetModule, STRANetModule
from vinpaint.training.recipe import plain


def test_the_weights_of_stra_net_are_those_of_equation_1() -> None:
    recipe = compose("train", ["model=stra_net"]).model.module
    names = ("alignment", "hole_visible", "hole_leftover", "non_hole", "perceptual", "style", "refinement")
    assert [recipe[f"{name}_weight"] for name in names] == [5, 10, 20, 6, 0.01, 24, 1.2]
    assert recipe.game.adversarial_weight == 0.001
    assert (recipe.game.gan_loss, recipe.game.gradient_penalty_weight, recipe.game.critic_steps) == ("wgan_gp", 10, 3)
    assert recipe.spatial_start_epoch == 2


def test_the_weights_of_cpnet_are_those_that_are_known() -> None:
    recipe = compose("train", ["model=cpnet"]).model.module
    names = ("alignment", "hole_visible", "hole_leftover", "non_hole", "perceptual", "style", "tv")
    assert [recipe[f"{name}_weight"] for name in names] == [2, 10, 20, 6, 0.01, 24, 0.1]


def test_the_published_recipe_of_stra_net_counts_ten_epochs() -> None:
    recipe = compose("train", ["experiment=stra_net"])
    updates = recipe.data.samples_per_epoch // recipe.data.batch_size
    assert (recipe.data.batch_size, recipe.data.num_frames, recipe.data.height, recipe.data.width) == (40, 5, 512, 512)
    assert recipe.trainer.max_steps == 10 * updates
    assert recipe.model.module.optimization.milestones == [8 * updates]
    with torch.device("meta"):
        discriminator: nn.Module = build(recipe.model.discriminator)
    assert sum(p.numel() for p in discriminator.parameters()) == 5_961_601


@pytest.mark.parametrize("model", ["cpnet", "cpnet_small", "stra_net", "stra_net_small"])
def test_every_model_is_built_with_what_its_file_says(model: str) -> None:
    config = compose("train", [f"model={model}"])
    module = build_module(config)
    assert isinstance(module, CPNetModule if model.startswith("cpnet") else STRANetModule)
    assert module.optimization.betas == config.model.module.optimization.betas
    assert module.targets_per_clip == config.model.module.targets_per_clip


@pytest.mark.parametrize(("model", "module"), [("cpnet", CPNetModule), ("stra_net", STRANetModule)])
def test_the_files_show_the_defaults_of_the_code(model: str, module: type[L.LightningModule]) -> None:
    node = compose("train", [f"model={model}"]).model.module
    for name, parameter in inspect.signature(module).parameters.items():
        if name in node and name not in ("game", "optimization"):
            default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
            assert node[name] == default, name
    made = module(nn.Module(), perceptual_weight=0.0, style_weight=0.0)
    for name in ("game", "optimization"):
        assert plain(getattr(made, name)) == plain(build(node[name])), name
