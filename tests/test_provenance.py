"""What a record of a run says of the weights that made it."""

from __future__ import annotations

from pathlib import Path

from vinpaint.config import compose
from vinpaint.provenance import weight_digests


def test_weights_that_come_with_the_library_are_digested_for_every_network() -> None:
    config = compose("inpaint", ["model=flow_guided", "completion=sttn_small"])
    found = weight_digests({"model": config.model, "completion": config.completion, "weights": None})
    assert set(found) == {"completion.weights"}
    completion = found["completion.weights"]
    assert isinstance(completion, dict)
    assert len(completion["model.safetensors"]) == 64
    assert completion == weight_digests({"model": {"name": "sttn_small"}, "weights": None})["weights"]


def test_what_is_named_is_told_as_it_is() -> None:
    named = {"model": {"name": "sttn_small"}, "completion": {"name": "sttn", "weights": "random"}, "weights": "random"}
    assert weight_digests(named) == {"weights": "random", "completion.weights": "random"}


def test_the_words_of_a_model_card_do_not_make_other_weights(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "README.md"):
        (tmp_path / name).write_text(name)
    before = weight_digests({"weights": str(tmp_path)})
    (tmp_path / "README.md").write_text("other words")
    assert weight_digests({"weights": str(tmp_path)}) == before
    (tmp_path / "config.json").write_text("another network")
    assert weight_digests({"weights": str(tmp_path)}) != before
