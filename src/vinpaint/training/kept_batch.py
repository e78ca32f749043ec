"""The batch on which a training broke down, kept so that it can be looked at and tried again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from vinpaint.batch import VideoBatch
from vinpaint.errors import UserError


def keep_batch(batch: VideoBatch, path: Path) -> None:
    """Write a batch as safetensors: its tensors by key, the names of its clips as metadata.

    Args:
        batch: the batch, and what chance added to it; values that are no tensors are left out.
        path: the file to write; missing folders are made, an earlier file is replaced.

    Raises:
        OSError: if it cannot be written; nothing is left then.
    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in batch.items() if isinstance(value, Tensor)}
    content = save(tensors, metadata={"name": json.dumps(batch["name"])})
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.write_bytes(content)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def read_kept_batch(path: str | Path) -> VideoBatch:
    """Read what :func:`keep_batch` wrote.

    Raises:
        UserError: if the file holds no batch.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = json.loads((file.metadata() or {})["name"])
            return cast(VideoBatch, {key: file.get_tensor(key) for key in file.keys()} | {"name": names})  # noqa: SIM118
    except Exception as error:
        raise UserError(f"{path}: no kept batch ({' '.join(str(error).split())})") from error
