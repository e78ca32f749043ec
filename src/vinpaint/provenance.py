"""What a number depends on besides the configuration: versions, the state of the code, weights, the machine."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from vinpaint._version import __version__
from vinpaint.models.released import released_folder

_LIBRARIES = ("torch", "torchmetrics", "numpy", "opencv-python-headless", "scipy", "av", "decord", "kornia")
_WEIGHT_KEYS = ("weights", "linear")  # keys of a configuration that name files of weights


def versions() -> dict[str, str | None]:
    """Versions of the library, of Python and of what numbers pass through; null for what is not installed."""
    found: dict[str, str | None] = {"vinpaint": __version__, "python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = None
    return found


def git_hash() -> str | None:
    """The commit of the repository that the library is imported from, ``-dirty`` if files differ from it.

    Returns:
        None where the library is installed from a wheel or git is not there.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None


def weight_digests(config: Mapping[str, Any]) -> dict[str, dict[str, str] | str]:
    """Find every file of weights that a configuration names, and its SHA-256.

    Args:
        config: plain nested values; a ``model`` or a ``completion`` with a name and no weights has those that come with
            the library.

    Returns:
        By dotted key: a digest per file, model cards left out, or the value itself where it names no file here and
        nothing that comes with the library (``random``, a hub name).
    """
    found: dict[str, dict[str, str] | str] = {}
    named = dict(_named_weights(config))
    for node, key in (("model", "weights"), ("completion", "completion.weights")):
        model = config.get(node)
        name = model.get("name") if isinstance(model, Mapping) else None
        if key not in named and name and (released := released_folder(str(name))) is not None:
            named[key] = str(released)  # what a model takes that is given none
    for key, value in named.items():
        path = Path(value).expanduser()
        if not path.exists():
            path = released_folder(value) or path
        files = sorted(p for p in path.rglob("*") if p.suffix != ".md") if path.is_dir() else [path]
        digests = {str(p.relative_to(path)) if p != path else p.name: _sha256(p) for p in files if p.is_file()}
        found[key] = digests or str(value)
    return found


def flows(config: Mapping[str, Any]) -> dict[str, str]:
    """Name what estimates optical flow for the engine and for each metric, by dotted key."""
    found = {}
    for key, value in _walk(config):
        if key.rpartition(".")[2] == "flow":
            target = value.get("_target_", "") if isinstance(value, Mapping) else ""
            found[key] = str(target).rpartition(".")[2] or "the default of its engine"
    return found


def machine(*, processes: int) -> dict[str, Any]:
    """Where the numbers were made, as far as speed depends on it.

    Args:
        processes: that shared the clips.
    """
    return {
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": processes,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _named_weights(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (key, value)
        for key, value in _walk(config)
        if key.rpartition(".")[2] in _WEIGHT_KEYS and isinstance(value, str)
    ]


def _walk(node: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Every key with its value, dotted; mappings are listed and entered."""
    if not isinstance(node, Mapping):
        return []
    found = []
    for name, value in node.items():
        key = f"{prefix}.{name}" if prefix else str(name)
        found += [(key, value), *_walk(value, key)]
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
