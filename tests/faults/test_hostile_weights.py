"""Weights made to do harm: code, sizes that fill the memory, names that lead elsewhere."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from commands import TINY_TRAINING, Runner, run
from vinpaint import inpaint, train
from vinpaint.models.flow.irr_pwc import IRRPWC
from vinpaint.models.fusion import FusionNetwork
from vinpaint.models.i3d import I3D
from vinpaint.models.pretrained import CheckpointError, load_pretrained, load_weights, read_state
from vinpaint.models.sttn import STTN
from vinpaint.models.vgg import VGG16Features

__all__ = ["run"]

HUGE = 10**12


class Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


def _pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"weight": Code()}))


def _inside_a_state(path: Path) -> None:
    torch.save({"netG": {"weight": torch.zeros(2), "bias": Code()}}, path)


def _whole_module(path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), path)


def _tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle", "../../escaped"):
            entry = tarfile.TarInfo(name)
            entry.size = 4
            archive.addfile(entry, io.BytesIO(b"code"))


def _zip_that_climbs(path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../escaped", "text")
        archive.writestr("/tmp/escaped-from-weights", "text")


def _header_of_another_size(path: Path) -> None:
    header = json.dumps({"weight": {"dtype": "F32", "shape": [HUGE], "data_offsets": [0, 4 * HUGE]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))


def _header_without_end(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 2**63 - 1) + b"{}")


def _bare(path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, path)


def _expanded(path: Path) -> None:
    torch.save({"weight": torch.zeros(1).expand(HUGE)}, path)


WEIGHTS = [_pickle, _inside_a_state, _whole_module, _tar, _zip_that_climbs, _header_of_another_size,
           _header_without_end, _expanded]  # fmt: skip
LOADERS: dict[str, Callable[[Path], object]] = {
    "sttn": lambda path: load_weights(STTN(channels=8, num_blocks=1), path, source="sttn"),
    "vgg16": lambda path: VGG16Features.from_file(path, num_stages=1),
    "i3d": I3D.from_file,
    "irr_pwc": lambda path: IRRPWC(weights=path),
}


@pytest.mark.parametrize("make", WEIGHTS, ids=lambda make: make.__name__[1:])
@pytest.mark.parametrize("loader", LOADERS)
def test_harmful_weights_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loader: str, make: Callable[[Path], None]
) -> None:
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    path = folder / ("weights.safetensors" if "header" in make.__name__ else "weights.pth")
    make(path)
    with pytest.raises(ValueError, match=path.name) as caught:
        LOADERS[loader](path)
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.rglob("*") if entry.is_file()] == [path.name]
    assert not Path("/tmp/escaped-from-weights").exists()


def test_classes_without_end_are_not_allocated(tmp_path: Path) -> None:
    torch.save({"logits.conv3d.bias": torch.zeros(1).expand(HUGE)}, tmp_path / "i3d.pt")
    with pytest.raises(CheckpointError, match=f"{HUGE} classes"):
        I3D.from_file(tmp_path / "i3d.pt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 10**9}, "are not those of this|do not fit this|describes no"),
        ({"channels": 10**30}, "describes no FusionNetwork"),
        ({"channels": "os.system"}, "describes no FusionNetwork"),
        ({"channels": -1}, "describes no FusionNetwork|channels=-1"),
    ],
)
def test_a_configuration_that_describes_no_model_is_one_line(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    FusionNetwork(channels=8).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | arguments))
    with pytest.raises(ValueError, match=message) as caught:
        load_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_names_no_file_elsewhere(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(1)}, tmp_path / "secret.safetensors")
    folder = tmp_path / "folder"
    folder.mkdir()
    config = {"architecture": "../secret", "weights": "../secret.safetensors"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="holds a"):
        load_pretrained(folder)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: no such file"):
        read_state(folder)


@pytest.mark.parametrize("make", [_pickle, _inside_a_state, _tar, _expanded], ids=lambda make: make.__name__[1:])
def test_commands_refuse_them_in_one_line(run: Runner, make: Callable[[Path], None]) -> None:
    make(run.folder / "weights.ckpt")
    for main, arguments in {
        inpaint.main: ("model=sttn_small", "weights=weights.ckpt", "progress=false"),
        train.main: ("model=sttn_small", "init_from=weights.ckpt", "progress=false", "scale=smoke"),
    }.items():
        outcome = run(main, *arguments)
        assert outcome.status == 2
        assert outcome.err.count("\n") == 1, outcome.err
        assert "weights.ckpt" in outcome.err
    assert not (run.folder / "ran").exists()


@pytest.mark.parametrize("make", [_pickle, _inside_a_state, _tar, _bare], ids=lambda make: make.__name__[1:])
def test_a_run_is_not_resumed_from_them(run: Runner, make: Callable[[Path], None]) -> None:
    make(run.folder / "weights.ckpt")
    arguments = (argument for argument in TINY_TRAINING if not argument.startswith("experiment"))
    outcome = run(train.main, "model=sttn_small", "trainer=smoke", *arguments, "ckpt_path=weights.ckpt")
    assert outcome.status == 2, outcome.err
    assert outcome.err.count("\n") == 1, outcome.err
    assert "weights.ckpt" in outcome.err
    assert not (run.folder / "ran").exists()
