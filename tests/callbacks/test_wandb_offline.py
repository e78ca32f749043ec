from __future__ import annotations

import socket
from pathlib import Path

import pytest

from vinpaint.callbacks import wandb_logger


@pytest.fixture(autouse=True)
def _no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_HOST"):
        monkeypatch.delenv(variable, raising=False)


def test_without_a_key_the_run_stays_on_disk(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    assert wandb_logger(save_dir=tmp_path / "run")._offline
    assert (tmp_path / "run").is_dir()


def test_without_a_network_the_run_stays_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nobody listens there
    with pytest.warns(UserWarning, match=r"127\.0\.0\.1 is not reached: the run stays on disk"):
        assert wandb_logger(save_dir=tmp_path)._offline


@pytest.mark.parametrize("where", ["environment", "netrc", "mode"])
def test_with_a_key_or_a_stated_mode_it_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    pytest.importorskip("wandb")
    server = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
    if where == "environment":
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    elif where == "mode":
        monkeypatch.setenv("WANDB_MODE", "disabled")
    else:
        (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password 0\n")
        (tmp_path / ".netrc").chmod(0o600)
    assert not wandb_logger(save_dir=tmp_path)._offline
    assert wandb_logger(save_dir=tmp_path, offline=True)._offline
    server.close()
