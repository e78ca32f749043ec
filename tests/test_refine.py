"""Residual aggregation as a person asks for it: by name, in the library and in the commands."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vinpaint.api import inpaint_frames, load_inpainter
from vinpaint.config import ConfigError
from vinpaint.inference.baselines import DiffusionInpainter
from vinpaint.inference.flow_guided import FlowGuidedInpainter
from vinpaint.inference.residual_aggregation import ResidualAggregation
from vinpaint.inference.window import WindowInpainter


def test_without_a_word_the_engine_is_alone() -> None:
    assert isinstance(load_inpainter("flow_guided"), FlowGuidedInpainter)
    engine = DiffusionInpainter()
    assert load_inpainter(engine) is engine


@pytest.mark.parametrize("name", ["flow_guided", "telea", "sttn_small"])
def test_any_model_is_refined_by_name(name: str) -> None:
    weights = "random" if name == "sttn_small" else None
    refined = load_inpainter(name, weights=weights, refine="stra", overrides=["refine.lr_scale=4"])
    assert isinstance(refined, ResidualAggregation)
    assert refined.lr_scale == 4
    assert refined.residual == "full"


def test_a_network_and_an_engine_of_ones_own_are_refined() -> None:
    network = load_inpainter(torch.nn.Identity(), refine="bilinear")
    assert isinstance(network, ResidualAggregation)
    assert isinstance(network.engine, WindowInpainter)
    assert network.residual == "none"
    engine = DiffusionInpainter()
    refined = load_inpainter(engine, refine="stra")
    assert isinstance(refined, ResidualAggregation)
    assert refined.engine is engine


def test_scores_are_a_node_of_their_own() -> None:
    overrides = ["refine.scores={_target_: vinpaint.inference.residual_flow_scores.FlowScores, distances: [1, 5]}"]
    refined = load_inpainter("telea", refine="stra", overrides=overrides)
    assert isinstance(refined, ResidualAggregation)
    assert refined.scores is not None
    assert refined.scores.reach == 5


def test_a_misspelt_refinement_is_told() -> None:
    with pytest.raises(ConfigError, match="refine=stara: no such option; did you mean stra"):
        load_inpainter("telea", refine="stara")


def test_frames_in_memory_keep_their_known_pixels() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 20, 24, 3), np.uint8)
    masks = np.zeros((3, 20, 24), bool)
    masks[:, 5:12, 6:15] = True
    refined = load_inpainter("telea", refine="stra", overrides=["refine.lr_scale=2"])
    completed = inpaint_frames(frames, masks, model=refined)
    assert (completed[~masks] == frames[~masks]).all()
    assert (completed[masks] != frames[masks]).any()
