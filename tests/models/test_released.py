"""Weights that come with the library: found by name, loaded without a network, and only as they were released."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from vinpaint.api import load_inpainter, load_model
from vinpaint.models import released
from vinpaint.models.fusion import FusionNetwork
from vinpaint.models.pretrained import CheckpointError, load_pretrained
from vinpaint.models.released import RELEASED_DIR, main, release, released_folder, released_names
from vinpaint.provenance import weight_digests

LARGEST = 30 * 2**20  # bytes of a file
LARGEST_TOGETHER = 80 * 2**20


def small() -> FusionNetwork:
    torch.manual_seed(0)
    network = FusionNetwork(channels=8)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    release(small(), tmp_path / "weights" / "flow_guided_fusion")
    return tmp_path / "weights" / "flow_guided_fusion"


def test_released_weights_are_half_precision_and_load_as_float(folder: Path) -> None:
    assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {torch.float16}
    loaded = load_pretrained(folder)
    for key, value in small().state_dict().items():
        assert loaded.state_dict()[key].dtype == torch.float32
        assert torch.equal(loaded.state_dict()[key], value.half().float())


def test_releasing_leaves_the_model_as_it_is(tmp_path: Path) -> None:
    model = small()
    release(model, tmp_path / "out")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), small().parameters(), strict=True))


def test_a_card_survives_another_release(folder: Path) -> None:
    (folder / "README.md").write_text("what it learned from")
    release(small(), folder)
    assert (folder / "README.md").read_text() == "what it learned from"


def test_other_weights_are_refused_in_one_line(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    save_file({key: value + 1 for key, value in state.items()}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="are not the released ones") as caught:
        load_pretrained(folder)
    assert "\n" not in str(caught.value)


def test_wrong_shapes_are_refused_in_one_line(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "channels": 16}))
    with pytest.raises(CheckpointError, match="do not fit this FusionNetwork") as caught:
        load_pretrained(folder)
    assert "\n" not in str(caught.value)


def test_pickled_code_is_refused_in_one_line(folder: Path) -> None:
    torch.save({"model": Path("anything")}, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    del config["sha256"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="are no safetensors file") as caught:
        load_pretrained(folder)
    assert "\n" not in str(caught.value)


def test_the_command_releases_what_a_training_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small().save_pretrained(tmp_path / "best")
    main([str(tmp_path / "best"), str(tmp_path / "out")])
    assert "MiB" in capsys.readouterr().out
    assert isinstance(load_pretrained(tmp_path / "out"), FusionNetwork)
    with pytest.raises(SystemExit):
        main([str(tmp_path / "absent"), str(tmp_path / "out")])


def test_a_model_finds_its_weights_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release(FusionNetwork(), folder)
    monkeypatch.setattr(released, "RELEASED_DIR", folder.parent)
    assert released_names() == ["flow_guided_fusion"]
    assert released_folder("flow_guided_fusion") == folder
    assert released_folder("sttn") is None
    assert isinstance(load_model("flow_guided_fusion"), FusionNetwork)
    load_inpainter("flow_guided_fusion")


@pytest.mark.parametrize("name", released_names())
def test_what_is_released_loads_and_has_a_card(name: str) -> None:
    assert not load_pretrained(RELEASED_DIR / name).training
    card = (RELEASED_DIR / name / "README.md").read_text(encoding="utf-8")
    for said in ("## Data", "## Training", "## Results", "## Known failures"):
        assert said in card


@pytest.mark.parametrize("name", released_names())
def test_records_name_released_weights(name: str) -> None:
    found = weight_digests({"weights": None, "model": {"name": name}})["weights"]
    config = json.loads((RELEASED_DIR / name / "config.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    assert found["model.safetensors"] == config["sha256"]
    assert weight_digests({"flow": {"weights": name}}) == {"flow.weights": found}
    assert weight_digests({"weights": "random", "model": {"name": name}}) == {"weights": "random"}
    assert weight_digests({"weights": None, "model": {"name": "telea"}}) == {}


def test_what_is_released_stays_small() -> None:
    sizes = [path.stat().st_size for path in RELEASED_DIR.rglob("*.safetensors")]
    assert max(sizes, default=0) < LARGEST
    assert sum(sizes) < LARGEST_TOGETHER
