"""Checkpoints that are replaced whole."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from vinpaint.errors import UserError


class CheckpointFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its name and moves it there when it is whole.

    Whatever happens meanwhile (a killed process, a full disk), the checkpoint before stays readable. Lightning's own
    writer goes through the machine's folder for temporary files, and what is moved from there to another file system
    is copied over the checkpoint before.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Args:
            checkpoint: what ``torch.save`` can write.
            path: a file of this machine.
            storage_options: none are known.

        Raises:
            UserError: if there is no room, or it cannot be written for another reason.
        """
        if storage_options is not None:
            raise TypeError(f"storage_options={storage_options}: {type(self).__name__} knows none")
        file = Path(path)
        partial = file.with_name(f".{file.name}.partial")
        content = io.BytesIO()  # torch.save itself tells a full disk as a fault of its own
        torch.save(checkpoint, content)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(content.getbuffer())
            os.replace(partial, file)
        except OSError as error:
            raise UserError(
                f"{file}: cannot be written ({error.strerror}); make room; an earlier one is kept"
            ) from error
        finally:
            partial.unlink(missing_ok=True)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any = lambda storage, _: storage,
        weights_only: bool | None = True,
    ) -> dict[str, Any]:
        """Read a checkpoint to go on from.

        Args:
            path: a file that :meth:`save_checkpoint` wrote.
            map_location: as in ``torch.load``.
            weights_only: what else a file holds is code, and is not run.

        Raises:
            UserError: if it is no checkpoint of a run, or holds pickled code.
        """
        try:
            checkpoint = super().load_checkpoint(path, map_location, weights_only)
        except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
            raise UserError(
                f"{path}: holds pickled code or is no checkpoint; give a .ckpt of an earlier run"
            ) from error
        if not isinstance(checkpoint, dict) or not {"state_dict", "optimizer_states"} <= checkpoint.keys():
            raise UserError(f"{path}: no run can go on from it; give a .ckpt of an earlier run, or use init_from")
        return checkpoint
