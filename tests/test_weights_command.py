"""The command vinpaint-weights: it lists, converts and, when told to, fetches; what it makes loads without pickle."""

from __future__ import annotations

import hashlib
import http.server
import json
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from commands import Outcome, Runner, run
from vinpaint.api import load_model
from vinpaint.models import released
from vinpaint.models.cpnet import CPNet
from vinpaint.models.flow.irr_pwc import IRRPWC, IRRPWCNetwork
from vinpaint.models.i3d import I3D
from vinpaint.models.public import PUBLIC_CHECKPOINTS
from vinpaint.models.released import RELEASED_DIR, released_names
from vinpaint.models.sttn import STTN
from vinpaint.models.vgg import VGG16Features
from vinpaint.weights_command import main

__all__ = ["run"]


def _cpnet() -> dict[str, Any]:
    return {f"module.{key}": value for key, value in CPNet().state_dict().items()}


def _irr_pwc() -> dict[str, Any]:
    return {"state_dict": {f"_model.{key}": v for key, v in IRRPWC(weights="random").state_dict().items()}}


PUBLISHED: dict[str, tuple[type[nn.Module], Callable[[], dict[str, Any]]]] = {
    "sttn": (STTN, lambda: {"netG": STTN().state_dict()}),
    "cpnet": (CPNet, _cpnet),
    "irr_pwc": (IRRPWCNetwork, _irr_pwc),
    "i3d": (I3D, lambda: dict(I3D().state_dict())),
    "vgg16": (VGG16Features, lambda: VGG16Features(5).state_dict() | {"classifier.0.bias": torch.zeros(2)}),
}
"""What each public file holds: the class it is loaded into, and its layout."""


def tensors(content: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors of a layout under our names."""
    content = content.get("netG", content.get("state_dict", content))
    plain = {key.removeprefix("module.").removeprefix("_model."): value for key, value in content.items()}
    return {key: value for key, value in plain.items() if not key.startswith("classifier")}


def narrow(path: Path) -> dict[str, Tensor]:
    """A checkpoint of the right kind of network, of other sizes."""
    state = STTN(channels=8, num_blocks=1).state_dict()
    torch.save({"netG": state}, path)
    return state


def assert_refused(outcome: Outcome, message: str) -> None:
    assert outcome.status == 2, outcome.out
    assert outcome.err.startswith("vinpaint-weights: ")
    assert outcome.err.count("\n") == 1, outcome.err
    assert message in outcome.err


# ---------------------------------------------------------------- what there is


def test_alone_it_lists_what_there_is(run: Runner) -> None:
    outcome = run(main)
    assert outcome.status == 0, outcome.err
    ours, public = outcome.out.split("Public checkpoints")
    for name in released_names():
        digest = json.loads((RELEASED_DIR / name / "config.json").read_text())["sha256"]
        (line,) = [line for line in ours.splitlines() if line.startswith(f"  {name}: ")]
        assert f"sha256 {digest} ok" in line
        assert f"{sum(p.numel() for p in load_model(name).parameters()):,} parameters" in line
    for name, known in PUBLIC_CHECKPOINTS.items():
        assert f"  {name}: {known.parameters:,} parameters" in public
        assert known.fetch in public


def test_damaged_weights_are_listed_as_such(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run.folder / "weights" / "broken"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"architecture": "STTN", "sha256": "0"}')
    save_file({"weight": torch.zeros(1)}, folder / "model.safetensors")
    monkeypatch.setattr(released, "RELEASED_DIR", folder.parent)
    monkeypatch.setattr("vinpaint.weights_command.RELEASED_DIR", folder.parent)
    outcome = run(main)
    assert outcome.status == 0
    assert "WRONG: not the released weights" in outcome.out


def test_it_explains_itself(run: Runner) -> None:
    outcome = run(main, "--help")
    assert "convert: null" in outcome.out
    assert "nothing else uses a network" in outcome.out


# ---------------------------------------------------------------- converting


@pytest.mark.parametrize("source", PUBLISHED)
def test_a_public_checkpoint_becomes_a_folder_that_loads(
    run: Runner, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    cls, layout = PUBLISHED[source]
    published = layout()
    torch.save(published, "public.pth")
    outcome = run(main, "convert=public.pth", f"source={source}", "output=made/here")
    assert outcome.status == 0, outcome.err
    made = run.folder / "made" / "here"
    assert sorted(path.name for path in made.iterdir()) == ["config.json", "model.safetensors"]
    assert sorted(path.name for path in made.parent.iterdir()) == ["here"]
    config = json.loads((made / "config.json").read_text())
    assert config["architecture"] == cls.__name__
    assert config["sha256"] == hashlib.sha256((made / "model.safetensors").read_bytes()).hexdigest()
    assert config["converted_from"]["sha256"] == hashlib.sha256(Path("public.pth").read_bytes()).hexdigest()
    loaded = PUBLIC_CHECKPOINTS[source].load(made)
    assert isinstance(loaded, cls)
    assert not loaded.training
    assert sum(p.numel() for p in loaded.parameters()) == PUBLIC_CHECKPOINTS[source].parameters
    expected = tensors(published)
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in loaded.state_dict().items())


def test_the_folder_runs_as_the_public_code_does(run: Runner) -> None:
    torch.save({"netG": STTN().state_dict()}, "sttn.pth")
    outcome = run(main, "convert=sttn.pth", "source=sttn")
    assert outcome.status == 0, outcome.err
    assert "use it: model=sttn_official weights=sttn" in outcome.out
    network = load_model("sttn_official", weights="sttn")
    assert isinstance(network, STTN)
    assert network.attn_mask == "none"


def test_flow_of_the_folder_is_that_of_the_file(run: Runner) -> None:
    torch.save(_irr_pwc(), "irr.ckpt")
    assert run(main, "convert=irr.ckpt", "source=irr_pwc", "output=made").status == 0
    frames = torch.rand(2, 3, 64, 64)
    flows = [IRRPWC(weights=weights)(frames[:1], frames[1:]) for weights in ("irr.ckpt", "made")]
    assert torch.equal(*flows)


def test_half_precision_halves_the_bytes_and_loads_as_float(run: Runner) -> None:
    state = VGG16Features(5).state_dict()
    torch.save(state, "vgg16.pth")
    assert run(main, "convert=vgg16.pth", "source=vgg16", "output=full").status == 0
    assert run(main, "convert=vgg16.pth", "source=vgg16", "output=half", "half=true").status == 0
    full, half = (Path(name, "model.safetensors").stat().st_size for name in ("full", "half"))
    assert half == pytest.approx(full / 2, rel=0.01)
    loaded = VGG16Features.from_file("half").state_dict()
    for key, value in loaded.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, state[key].half().float())


@pytest.mark.parametrize(("value", "half", "message"), [(1e6, "true", "half=false"), (torch.nan, "false", "NaN")])
def test_weights_that_cannot_be_kept_are_named(run: Runner, value: float, half: str, message: str) -> None:
    state = VGG16Features(5).state_dict()
    state["features.2.bias"][3] = value
    torch.save(state, "vgg16.pth")
    outcome = run(main, "convert=vgg16.pth", "source=vgg16", "output=made", f"half={half}")
    assert_refused(outcome, message)
    assert "features.2.bias" in outcome.err
    assert {path.name for path in run.folder.iterdir()} == {"vgg16.pth"}


class Explosive:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("exploded"),)


@pytest.mark.parametrize("source", PUBLISHED)
def test_what_is_no_checkpoint_of_the_source_is_refused_in_one_line(run: Runner, source: str) -> None:
    torch.save({"netG": Explosive()}, "code.pth")
    Path("plain.pth").write_bytes(pickle.dumps(Explosive()))
    Path("text.pth").write_text("<html>not found</html>")
    torch.save({"netG": {"weight": torch.zeros(2)}}, "other.pth")
    before = {path.name for path in run.folder.iterdir()}
    for file, message in {
        "code.pth": "pickled code",
        "plain.pth": "pickled code",
        "text.pth": "text.pth",
        "other.pth": "other.pth",
        "absent.pth": PUBLIC_CHECKPOINTS[source].fetch,
    }.items():
        assert_refused(run(main, f"convert={file}", f"source={source}", "output=made"), message)
    assert {path.name for path in run.folder.iterdir()} == before, "code ran, or something is left behind"


def test_other_sizes_are_named(run: Runner) -> None:
    narrow(run.folder / "narrow.pth")
    assert_refused(run(main, "convert=narrow.pth", "source=sttn"), "narrow.pth are not those of this STTN")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("convert=a.pth", "source=stn"), "source=stn: no public checkpoint of that name; did you mean sttn?"),
        (("convert=a.pth",), "add source=sttn|cpnet|irr_pwc|i3d|vgg16"),
        (("fetch=i33d",), "did you mean i3d?"),
        (("fetch=sttn", "convert=a.pth"), "give one of them"),
        (("conver=a.pth",), "did you mean convert?"),
        (("fetch=sttn", "url=ftp://somewhere/sttn.pth"), "expected one that begins with https://"),
    ],
)
def test_a_mistake_is_answered_with_what_was_meant(run: Runner, arguments: tuple[str, ...], message: str) -> None:
    assert_refused(run(main, *arguments), message)


def test_what_is_there_is_not_replaced(run: Runner) -> None:
    torch.save(VGG16Features(5).state_dict(), "vgg16.pth")
    (run.folder / "vgg16").mkdir()
    (run.folder / "vgg16" / "mine.txt").write_text("mine")
    assert_refused(run(main, "convert=vgg16.pth", "source=vgg16"), "vgg16: exists already")
    assert (run.folder / "vgg16" / "mine.txt").read_text() == "mine"


def test_converted_weights_that_change_later_are_refused(run: Runner) -> None:
    torch.save(VGG16Features(5).state_dict(), "vgg16.pth")
    assert run(main, "convert=vgg16.pth", "source=vgg16").status == 0
    state = load_file("vgg16/model.safetensors")
    save_file({key: value + 1 for key, value in state.items()}, "vgg16/model.safetensors")
    with pytest.raises(ValueError, match="are not the released ones") as caught:
        VGG16Features.from_file("vgg16")
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- fetching


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a server of this machine that serves the folder ``web``."""
    (tmp_path / "web").mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path / "web"))

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_fetching_tells_what_came_from_where(run: Runner, server: str) -> None:
    narrow(run.folder / "web" / "sttn.pth")
    content = (run.folder / "web" / "sttn.pth").read_bytes()
    for url in (f"{server}/sttn.pth", (run.folder / "web" / "sttn.pth").as_uri()):
        outcome = run(main, "fetch=sttn", f"url={url}", "output=got/it.pth")
        assert outcome.status == 0, outcome.err
        assert url in outcome.out
        assert hashlib.sha256(content).hexdigest() in outcome.out
        assert "next: vinpaint-weights convert=got/it.pth source=sttn" in outcome.out
        assert (run.folder / "got" / "it.pth").read_bytes() == content
        (run.folder / "got" / "it.pth").unlink()


@pytest.mark.parametrize("page", ["absent.pth", "page.pth", "empty.pth"])
def test_what_is_no_checkpoint_is_not_kept(run: Runner, server: str, page: str) -> None:
    (run.folder / "web" / "page.pth").write_text("\n <!DOCTYPE html><title>confirm the download</title>")
    (run.folder / "web" / "empty.pth").touch()
    outcome = run(main, "fetch=sttn", f"url={server}/{page}", "output=it.pth")
    assert_refused(outcome, PUBLIC_CHECKPOINTS["sttn"].fetch)
    assert {path.name for path in run.folder.iterdir()} == {"web"}


def test_another_file_than_the_published_one_is_not_kept(
    run: Runner, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run.folder / "web" / "vgg16.pth").write_bytes(b"other weights")
    known = PUBLIC_CHECKPOINTS["vgg16"]
    served = type(known)(**{**vars(known), "url": f"{server}/vgg16.pth"})
    monkeypatch.setitem(PUBLIC_CHECKPOINTS, "vgg16", served)
    assert_refused(run(main, "fetch=vgg16"), "published as 397923af")
    assert {path.name for path in run.folder.iterdir()} == {"web"}


def test_a_name_that_is_taken_is_not_fetched(run: Runner, server: str) -> None:
    (run.folder / "sttn.pth").write_text("mine")
    assert_refused(run(main, "fetch=sttn", f"url={server}/absent.pth"), "sttn.pth: exists already")
    assert (run.folder / "sttn.pth").read_text() == "mine"
