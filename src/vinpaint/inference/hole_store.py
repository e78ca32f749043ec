"""What a first run over a clip put into its holes, kept for a second."""

from __future__ import annotations

import tempfile

import torch
from torch import Tensor

_IN_MEMORY = 16 * 2**20  # bytes held in memory before the rest goes to a temporary file


class HoleStore:
    """Values at the pixels of holes, frame by frame, in a file that stays in memory while it is small."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by close
        self._end = 0
        self._where: dict[int, tuple[int, tuple[int, ...]]] = {}

    def put(self, index: int, values: Tensor) -> None:
        """Store values of a frame, ``(channels, pixels)``, as float32."""
        data = values.float().cpu().contiguous().numpy().tobytes()
        self._file.seek(self._end)
        self._file.write(data)
        self._where[index] = (self._end, tuple(values.shape))
        self._end += len(data)

    def get(self, index: int) -> Tensor | None:
        """Read what was stored for a frame, float32 on the CPU; None if nothing was."""
        if index not in self._where:
            return None
        start, shape = self._where[index]
        if not all(shape):
            return torch.empty(shape)
        self._file.seek(start)
        data = bytearray(self._file.read(4 * shape[0] * shape[1]))
        return torch.frombuffer(data, dtype=torch.float32).view(shape)

    def close(self) -> None:
        """Forget everything."""
        self._file.close()
