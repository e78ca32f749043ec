"""The README keeps its word: its snippet runs, and its test command is the one that continuous integration runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_snippet_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (snippet,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(compile(snippet, "README.md", "exec"), {})
    assert (tmp_path / "my_sttn" / "model.safetensors").is_file()


def test_continuous_integration_runs_the_test_command() -> None:
    (command,) = re.findall(r"^pip install -e .*pytest.*$", README, flags=re.MULTILINE)
    install, test = command.split(" && ")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert install.replace("pip install ", "") in script
    assert f"&& {test}" in script


def test_every_path_it_links_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
