"""Tensors in a mapping of their own: the same values, apart from where they came from."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from vinpaint.inference.own_memory import in_own_memory


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.float32])
@pytest.mark.parametrize("shape", [(3, 5, 7), (4,), (0, 6)])
def test_a_copy_has_the_values_and_shares_nothing(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    values = (torch.rand(shape) * 2).to(dtype).mT if len(shape) > 1 else torch.ones(shape, dtype=dtype)
    before = values.clone()
    kept = in_own_memory(values)
    assert kept.dtype == dtype
    assert torch.equal(kept, before)
    kept.fill_(1 - int(before.flatten()[0]) if before.numel() else 0)
    assert torch.equal(values, before)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells its mappings like this")
def test_memory_goes_back_when_the_copy_is_freed() -> None:
    def resident() -> int:  # bytes
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * int(status.split("RssAnon:")[1].split()[0])

    values = torch.ones(4 << 20, dtype=torch.uint8)
    in_own_memory(values)
    before = resident()
    kept = [in_own_memory(values) for _ in range(16)]
    assert resident() - before > 60 << 20
    del kept[:8]
    assert resident() - before < 36 << 20
