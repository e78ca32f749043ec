"""What a configuration may set of a network whose weights were saved with another setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from vinpaint.api import inpainter_from_config, load_inpainter
from vinpaint.config import build, compose
from vinpaint.errors import UserError

TINY = ("model=stra_net_small", "model.network.channels=4", "model.network.alignment_channels=4")


def test_a_switch_of_the_configuration_holds_beside_saved_weights(tmp_path: Path) -> None:
    build(compose("evaluate", TINY).model.network).save_pretrained(tmp_path)
    plain = inpainter_from_config(compose("evaluate", ["model=stra_net_small"]).model, tmp_path).model
    switched = ("model=stra_net_small", "model.network.alignment=affine")
    affine = inpainter_from_config(compose("evaluate", switched).model, tmp_path).model
    assert (plain.alignment, affine.alignment) == ("joint", "affine")
    assert all((a == b).all() for a, b in zip(plain.parameters(), affine.parameters(), strict=True))


def test_other_arguments_are_those_the_weights_were_trained_with(tmp_path: Path) -> None:
    saved = build(compose("evaluate", [*TINY, "model.network.temporal=vanilla"]).model.network)
    saved.save_pretrained(tmp_path)
    loaded = inpainter_from_config(compose("evaluate", ["model=stra_net_small"]).model, tmp_path).model
    assert loaded.state_dict().keys() == saved.state_dict().keys()


def test_an_argument_that_the_weights_decide_is_not_ignored(tmp_path: Path) -> None:
    build(compose("evaluate", [*TINY, "model.network.temporal=vanilla"]).model.network).save_pretrained(tmp_path)

    def load(*overrides: str) -> None:
        inpainter_from_config(compose("evaluate", ["model=stra_net_small", *overrides]).model, tmp_path)

    load("model.network.temporal=vanilla", "model.network.channels=4")  # what they were trained with
    message = rf"network\.temporal=cpnet: the weights in {tmp_path} were trained with vanilla; leave it out"
    with pytest.raises(UserError, match=message):
        load("model.network.temporal=cpnet")


@pytest.mark.parametrize(
    ("model", "argument", "value"), [("stra_net", "spatial", '"off"'), ("sttn", "num_blocks", "4")]
)
def test_the_weights_of_the_library_decide_too(model: str, argument: str, value: str) -> None:
    overrides = [f"model.network.{argument}={value}"]
    with pytest.raises(UserError, match=rf"network\.{argument}=.*: the weights in .* were trained with .*=random"):
        load_inpainter(model, overrides=overrides)
    load_inpainter(model, weights="random", overrides=overrides)
