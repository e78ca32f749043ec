"""Weights & Biases where there may be no account."""

from __future__ import annotations

import netrc
import os
from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch.loggers import WandbLogger

HOST = "api.wandb.ai"


def wandb_logger(
    *,
    save_dir: str | Path,
    project: str = "vinpaint",
    name: str | None = None,
    group: str | None = None,
    tags: Sequence[str] = (),
    offline: bool | None = None,
) -> WandbLogger:
    """Open a run that never asks for a login.

    Args:
        save_dir: where the run is kept.
        project: it belongs to.
        name: of the run; made up if ``None``.
        group: of the run, such as a sweep's name.
        tags: of the run.
        offline: keep the run on disk, for ``wandb sync`` later; if ``None``, when no key is found and ``WANDB_MODE``
            is not set.

    Returns:
        The logger; the run itself starts when something is logged.
    """
    folder = Path(save_dir)
    folder.mkdir(parents=True, exist_ok=True)  # wandb writes elsewhere, with a warning, if it is not there
    if offline is None:
        offline = "WANDB_MODE" not in os.environ and not _has_key()
    return WandbLogger(save_dir=folder, project=project, name=name, group=group, tags=list(tags), offline=offline)


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators(os.environ.get("WANDB_HOST", HOST)) is not None
    except (OSError, netrc.NetrcParseError):
        return False
