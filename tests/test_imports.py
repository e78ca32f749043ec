"""Who may import whom: the table of the house, read against the syntax tree of every file."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vinpaint

PACKAGE = Path(vinpaint.__file__).parent

# Rooms in data order; each may import the rooms named beside it, itself, and ``errors``.
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "_version": set(),
    "batch": set(),
    "ops": set(),
    "video": {"ops"},
    "masks": {"ops", "video"},  # a mask can be a video
    "data": {"batch", "ops", "masks", "video"},
    "models": {"ops"},
    "losses": {"ops", "models"},
    "metrics": {"ops", "models"},
    "inference": {"batch", "ops", "masks", "video", "models"},
    "training": {"batch", "ops", "models", "losses", "inference"},
    "callbacks": {"batch", "ops", "metrics", "video"},
}
FRONT = {  # these may import anything
    *("allocator", "benchmark", "benchmark_case", "benchmark_roofline", "benchmark_tables"),
    *("config", "command", "api", "inpaint", "inpaint_jobs", "train", "evaluate"),
    *("evaluation_job", "evaluation_pictures", "evaluation_records", "evaluation_tables", "evaluation_workers"),
    *("job_record", "published_rows", "sweeps", "protocols", "provenance", "report", "reporting", "weights_command"),
}

# Libraries that only the named rooms may import, at any depth of a file.
ONLY_IN: dict[str, set[str]] = {
    "hydra": FRONT,
    "omegaconf": FRONT,
    "lightning": {"training", "callbacks", "data.datamodule", *FRONT},
    "torchmetrics": {"metrics", "callbacks", *FRONT},
    "av": {"video"},
    "decord": {"video"},
    "torchvision": set(),
}
# Libraries that a machine may lack: never imported when a module loads.
LAZY = {"av", "decord", "wandb"}


def modules() -> list[tuple[str, Path]]:
    return [
        (".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"), path)
        for path in sorted(PACKAGE.rglob("*.py"))
    ]


def imported(tree: ast.AST) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            names += [node.module] if node.module != "vinpaint" else [f"vinpaint.{a.name}" for a in node.names]
    return names


def room_of(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_a_room_imports_only_what_stands_before_it(module: str, path: Path) -> None:
    room = room_of(module)
    if module == "__init__" or room in FRONT:
        return
    allowed = ROOMS[room] | {room, "errors"}
    for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
        if name.startswith("vinpaint."):
            other = room_of(name.removeprefix("vinpaint."))
            assert other in allowed | {"_version"}, f"{module} imports {name}: {room} may import {sorted(allowed)}"


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_a_library_stays_in_its_rooms(module: str, path: Path) -> None:
    for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
        library = name.split(".")[0]
        if library in ONLY_IN:
            homes = ONLY_IN[library]
            assert room_of(module) in homes or module in homes, f"{module} imports {name}: only {sorted(homes)} may"


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_libraries_a_machine_may_lack_load_when_used(module: str, path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:  # the top level: what runs when the module is imported
        for name in imported(ast.Module(body=[node], type_ignores=[])) if _is_import(node) else []:
            assert name.split(".")[0] not in LAZY, f"{module} imports {name} when it loads"


def _is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def test_every_folder_is_in_the_table() -> None:
    folders = {p.name for p in PACKAGE.iterdir() if p.is_dir() and (p / "__init__.py").is_file()}
    assert folders <= set(ROOMS) | FRONT


def test_importing_the_library_loads_neither_lightning_nor_hydra() -> None:
    code = (
        "import sys, vinpaint; print([m for m in ('lightning', 'hydra', 'av', 'decord', 'wandb') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
