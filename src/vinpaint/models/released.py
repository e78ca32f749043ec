"""The weights that come with the library; ``python -m vinpaint.models.released FOLDER DESTINATION`` adds to them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from vinpaint.errors import UserError
from vinpaint.models.pretrained import (
    CONFIG_FILE,
    DIGEST_KEY,
    WEIGHTS_FILE,
    PretrainedModel,
    file_digest,
    load_pretrained,
    read_config,
)

RELEASED_DIR = Path(__file__).resolve().parents[1] / "weights"
"""Holds a folder per released model, of the model's name: ``config.json``, ``model.safetensors`` and a card."""


def released_names() -> list[str]:
    """List the models that come with weights."""
    return sorted(path.parent.name for path in RELEASED_DIR.glob(f"*/{WEIGHTS_FILE}"))


def released_folder(name: str) -> Path | None:
    """Find the weights that come with a model, or None if it has none."""
    return RELEASED_DIR / name if name in released_names() else None


def release(model: PretrainedModel, folder: Path) -> None:
    """Save a model in half precision, with the digest of its weights beside it; a card that is there stays.

    Args:
        model: what is released; not changed.
        folder: where to.
    """
    card = folder / "README.md"
    kept = card.read_text(encoding="utf-8") if card.is_file() else None
    state = {key: value.clone() for key, value in model.state_dict().items()}
    try:
        model.half().save_pretrained(folder)
    finally:
        model.float().load_state_dict(state)
    if kept is not None:
        card.write_text(kept, encoding="utf-8")
    config = {**read_config(folder), DIGEST_KEY: file_digest(folder / WEIGHTS_FILE)}
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Release what a training saved."""
    parser = argparse.ArgumentParser(prog="python -m vinpaint.models.released", description="Release trained weights.")
    parser.add_argument("folder", type=Path, help="a folder that save_pretrained wrote, such as <run>/weights/best")
    parser.add_argument("destination", type=Path, help="the folder to make, such as src/vinpaint/weights/<model>")
    chosen = parser.parse_args(arguments)
    try:
        with torch.inference_mode():
            release(load_pretrained(chosen.folder), chosen.destination)
    except UserError as error:
        print(f"vinpaint.models.released: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    size = (chosen.destination / WEIGHTS_FILE).stat().st_size
    print(f"{chosen.destination}: {size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
