"""Runs a console command inside the test process, as a user would type it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from vinpaint.config import ALLOW_TARGETS

TINY_TRAINING = (
    "experiment=smoke",
    "progress=false",
    "model.network.channels=16",
    "model.network.num_blocks=1",
    "model.discriminator.channels=4",
    "data.height=48",
    "data.width=48",
    "metrics.ssim.window=gaussian",
)
"""Options of vinpaint-train that train an STTN of a few thousand weights on a few pixels, in seconds."""


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str


class Runner:
    """Runs commands in a folder of their own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.chdir(folder)
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        monkeypatch.setenv(ALLOW_TARGETS, "")  # what one command is allowed is nothing to the next test

    def __call__(self, main: Callable[[], None], *arguments: str) -> Outcome:
        self._monkeypatch.setattr(sys, "argv", ["vinpaint", *arguments])
        self._capsys.readouterr()
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        OmegaConf.clear_resolver("hydra")
        printed = self._capsys.readouterr()
        return Outcome(status, printed.out, printed.err)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runner:
    """A runner in an empty working folder."""
    return Runner(tmp_path, monkeypatch, capsys)
