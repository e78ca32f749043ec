"""Weights & Biases where there may be no account."""

from __future__ import annotations

import netrc
import os
import socket
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lightning.pytorch.loggers import WandbLogger

HOST = "api.wandb.ai"
_PATIENCE = 5  # seconds


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
        offline: keep the run on disk, for ``wandb sync`` later; if ``None``, when no key is found or the server is not
            reached, and ``WANDB_MODE`` is not set.

    Returns:
        The logger; the run itself starts when something is logged.
    """
    folder = Path(save_dir)
    folder.mkdir(parents=True, exist_ok=True)  # wandb writes elsewhere, with a warning, if it is not there
    if offline is None:
        offline = "WANDB_MODE" not in os.environ and not (_has_key() and _reached())
    return WandbLogger(save_dir=folder, project=project, name=name, group=group, tags=list(tags), offline=offline)


def finish_wandb() -> None:
    """End the run that is open, if one is: another one of this process would be written into it."""
    wandb: Any = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish()


def _reached() -> bool:
    """Whether something answers at the address of the server; wandb itself would wait for minutes and then fail."""
    address = urlsplit(os.environ.get("WANDB_BASE_URL", f"https://{HOST}"))
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((address.hostname or HOST, port), timeout=_PATIENCE).close()
    except OSError:
        warnings.warn(f"{address.hostname} is not reached: the run stays on disk, for wandb sync later", stacklevel=3)
        return False
    return True


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators(os.environ.get("WANDB_HOST", HOST)) is not None
    except (OSError, netrc.NetrcParseError):
        return False
