"""Weights come back as they were saved, and what does not fit is refused in one line."""

from __future__ import annotations

import errno
import json
import pickle
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vinpaint.errors import UserError
from vinpaint.models.pretrained import CheckpointError, load_pretrained, load_weights, read_state
from vinpaint.models.sttn import STTN
from vinpaint.models.t_patch_gan import TPatchGAN

WHOLE = {"README.md", "config.json", "model.safetensors"}


def small(**options: Any) -> STTN:
    return STTN(**{"channels": 8, "num_blocks": 1, "init_gain": 1.0, **options})


def same(one: nn.Module, other: nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return list(ours) == list(theirs) and all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


# ---------------------------------------------------------------- released folders


@pytest.mark.usefixtures("no_network")
def test_a_saved_model_comes_back_bit_for_bit(tmp_path: Path) -> None:
    model = small(attn_mask="none", patch_frames=2, patch_sizes=[(20, 36), (10, 18)])
    model.save_pretrained(tmp_path / "released")
    for loaded in (STTN.from_pretrained(tmp_path / "released"), load_pretrained(str(tmp_path / "released"))):
        assert isinstance(loaded, STTN)
        assert same(loaded, model)
        assert (loaded.attn_mask, loaded.patch_frames, loaded.grids) == ("none", 2, [(3, 3), (6, 6)])
        assert not loaded.training
    frames, masks = torch.rand(1, 2, 3, 24, 24), torch.ones(1, 2, 1, 24, 24)
    assert torch.equal(loaded(frames, masks), model.eval()(frames, masks))


def test_a_folder_holds_plain_files(tmp_path: Path) -> None:
    small().to(memory_format=torch.channels_last).save_pretrained(tmp_path)  # type: ignore[call-overload]
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architecture"] == "STTN"
    assert config["channels"] == 8
    assert config["patch_sizes"] == [[60, 108], [20, 36], [10, 18], [5, 9]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "config.json", "model.safetensors"]


def test_a_model_that_cannot_be_written_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = small(), small(num_blocks=2)
    first.save_pretrained(tmp_path / "out")
    (tmp_path / "out" / "README.md").write_text("mine")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CheckpointError, match=r"cannot be written .*No space left on device\); make room"):
        second.save_pretrained(tmp_path / "out")
    monkeypatch.undo()
    assert {path.name for path in (tmp_path / "out").iterdir()} == WHOLE
    assert same(load_pretrained(tmp_path / "out"), first)
    (tmp_path / "out" / ".abcdef.partial").mkdir()  # of a process that was killed
    second.save_pretrained(tmp_path / "out")
    assert same(load_pretrained(tmp_path / "out"), second)
    assert {path.name for path in (tmp_path / "out").iterdir()} == WHOLE
    assert (tmp_path / "out" / "README.md").read_text() == "mine"


def test_constructor_arguments_can_be_overruled(tmp_path: Path) -> None:
    small().save_pretrained(tmp_path)
    assert STTN.from_pretrained(tmp_path, attn_mask="none").attn_mask == "none"


@pytest.mark.usefixtures("no_network")
def test_a_path_that_does_not_exist_is_not_looked_up(tmp_path: Path) -> None:
    for load in (STTN.from_pretrained, load_pretrained):
        with pytest.raises(CheckpointError, match="no such folder"):
            load(str(tmp_path / "absent"))


def test_folders_of_something_else_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        STTN.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"architecture": "os.system"}')
    with pytest.raises(CheckpointError, match=r"holds a os\.system, not a STTN"):
        STTN.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"holds a os\.system: expected one of .*STTN"):
        load_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="is not JSON"):
        load_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"architecture": "STTN", "channels": 8, "num_blocks": 1}')
    with pytest.raises(CheckpointError, match=r"model\.safetensors: no such file"):
        load_pretrained(tmp_path)


# ---------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("layout", ["netG", "bare", "module", "netG+module", "safetensors", "folder"])
def test_public_layouts_load(tmp_path: Path, layout: str) -> None:
    model = small()
    state = dict(model.state_dict())
    if "module" in layout:
        state = {f"module.{key}": value for key, value in state.items()}
    path = tmp_path / ("sttn.safetensors" if layout == "safetensors" else "sttn.pth")
    if layout == "safetensors":
        save_file(state, path)
    elif layout == "folder":
        path = tmp_path / "released"
        model.save_pretrained(path)
    else:
        torch.save({"netG": state} if "netG" in layout else state, path)
    assert same(load_weights(small(), path, source="sttn"), model)


def test_public_discriminators_load(tmp_path: Path) -> None:
    model = TPatchGAN(channels=2)
    torch.save({"netD": model.state_dict()}, tmp_path / "dis_00001.pth")
    assert same(load_weights(TPatchGAN(channels=2), tmp_path / "dis_00001.pth", part="discriminator"), model)
    with pytest.raises(CheckpointError, match=r"dis_00001\.pth hold no generator"):
        load_weights(small(), tmp_path / "dis_00001.pth")


def test_averaged_weights_of_a_training_checkpoint_are_preferred(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning")
    from lightning.pytorch.callbacks import EMAWeightAveraging

    class Training(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.generator = nn.Linear(2, 2)
            self.discriminator = nn.Linear(2, 1)

        def training_step(self, batch: torch.Tensor, _: int) -> torch.Tensor:
            return self.discriminator(self.generator(batch)).mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.5)

    training = Training()
    average = EMAWeightAveraging(decay=0.5)
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[average],
    )  # fmt: skip
    saved: dict[str, torch.Tensor] = {}

    class Save(lightning.Callback):  # type: ignore[misc, name-defined]
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            trainer.save_checkpoint(tmp_path / "last.ckpt")
            saved.update({key: value.clone() for key, value in pl_module.generator.state_dict().items()})

    trainer.callbacks.append(Save())  # type: ignore[attr-defined]
    trainer.fit(training, torch.utils.data.DataLoader(torch.rand(4, 2)))
    loaded = load_weights(nn.Linear(2, 2), tmp_path / "last.ckpt")
    assert not torch.equal(loaded.weight, saved["weight"])
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert torch.equal(content["current_model_state"]["generator.weight"], saved["weight"])
    assert torch.equal(content["state_dict"]["generator.weight"], loaded.weight)
    judge = load_weights(nn.Linear(2, 1), tmp_path / "last.ckpt", part="discriminator")
    assert torch.equal(content["state_dict"]["discriminator.bias"], judge.bias)


def test_missing_counters_of_batch_norm_are_tolerated(tmp_path: Path) -> None:
    norm = nn.BatchNorm2d(3)
    norm.running_mean += 1  # type: ignore[operator]
    state = {key: value for key, value in norm.state_dict().items() if key != "num_batches_tracked"}
    torch.save(state, tmp_path / "old.pth")
    assert same(load_weights(nn.BatchNorm2d(3), tmp_path / "old.pth"), norm)


class Explosive:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("exploded"),)


def test_pickled_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"netG": Explosive()}, tmp_path / "zip.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Explosive()))
    torch.save(small(), tmp_path / "whole_model.pth")
    for name in ("zip.pth", "plain.pth", "whole_model.pth"):
        with pytest.raises(CheckpointError, match=f"{name} hold pickled code"):
            load_weights(small(), tmp_path / name)
    assert not (tmp_path / "exploded").exists()


def test_what_is_no_checkpoint_is_refused_in_one_line(tmp_path: Path) -> None:
    torch.save(small().state_dict(), tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    contents: dict[str, bytes] = {
        "half.pth": whole[: len(whole) // 2],
        "empty.pth": b"",
        "text.pth": b"<html>not found</html>",
        "text.safetensors": b"<html>not found</html>",
        "empty.safetensors": b"",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"iteration": 3}, tmp_path / "numbers.pth")
    for name in (*contents, "list.pth", "numbers.pth", "absent.pth"):
        with pytest.raises(CheckpointError, match=name) as caught:
            load_weights(small(), tmp_path / name)
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, UserError)


def test_wrong_shapes_are_named(tmp_path: Path) -> None:
    torch.save(small().state_dict(), tmp_path / "narrow.pth")
    with pytest.raises(
        CheckpointError, match=r"query_embedding\.weight is \(8, 8, 1, 1\), expected \(16, 16, 1, 1\); build the model"
    ):
        load_weights(small(channels=16), tmp_path / "narrow.pth")


def test_weights_of_another_model_are_named_and_change_nothing(tmp_path: Path) -> None:
    torch.save(small(num_blocks=2).state_dict(), tmp_path / "deep.pth")
    model = small()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"not those of this STTN: they have transformer\.1\..* 12\s+unknown"):
        load_weights(model, tmp_path / "deep.pth")
    with pytest.raises(CheckpointError, match=r"they lack transformer\.2\..*\(12 keys missing, 0\s+unknown\)"):
        load_weights(small(num_blocks=3), tmp_path / "deep.pth")
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_unknown_sources_are_named(tmp_path: Path) -> None:
    torch.save(small().state_dict(), tmp_path / "sttn.pth")
    with pytest.raises(CheckpointError, match=r"source='stn': expected one of .*sttn"):
        load_weights(small(), tmp_path / "sttn.pth", source="stn")


def test_state_is_read_without_a_model(tmp_path: Path) -> None:
    torch.save({"netG": small().state_dict()}, tmp_path / "sttn.pth")
    assert list(read_state(tmp_path / "sttn.pth")) == list(small().state_dict())
