"""Memory that a process frees is there for its next tensor."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import torch
from vinpaint.allocator import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

kept = keep_freed_memory()
torch.ones(12_000_000)
rounds = []
for _ in range(20):
    before = faults()
    torch.ones(12_000_000)
    rounds.append(faults() - before)
print(kept, min(rounds))  # the least: a system short of memory may take pages back at any time
"""


def measure(**environment: str) -> tuple[bool, int]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", PROGRAM]
    printed = subprocess.run(command, env=plain | environment, capture_output=True, text=True, check=True, timeout=120)
    kept, faults = printed.stdout.split()
    return kept == "True", int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_freed_memory_is_used_again() -> None:
    kept, faults = measure()
    assert kept
    assert faults < 100  # a tensor has 11,719 pages


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_what_the_environment_says_is_left_alone() -> None:
    kept, _ = measure(MALLOC_ARENA_MAX="2")
    assert not kept


THREADS = """
import ctypes
from threading import Barrier, Thread
import torch
from vinpaint.allocator import keep_freed_memory

keep_freed_memory()
libc = ctypes.CDLL(None)

def print_heaps():
    libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
    libc.fflush(None)

together = Barrier(8)

def work():
    together.wait()
    kept = torch.ones(1000)
    together.wait()

print_heaps()
threads = [Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print_heaps()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_threads_share_one_heap() -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    printed = subprocess.run(
        [sys.executable, "-c", THREADS], env=plain, capture_output=True, text=True, check=True, timeout=120
    )
    before, after = (part.count("<heap nr=") for part in printed.stdout.split("</malloc>")[:2])
    assert before == after


GAPS = """
import os
import torch
from vinpaint.allocator import keep_freed_memory
from vinpaint.inference.own_memory import return_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

keep_freed_memory()
return_freed_memory()
before = resident()
tensors = [torch.ones(2 << 20) for _ in range(16)]  # 8 MiB each
del tensors[::2]
kept = resident() - before
returned = return_freed_memory()
print(returned, kept, resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_gaps_between_what_stays_go_back() -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    printed = subprocess.run(
        [sys.executable, "-c", GAPS], env=plain, capture_output=True, text=True, check=True, timeout=120
    )
    returned, kept, left = printed.stdout.split()
    assert returned == "True"
    assert int(kept) >= 120
    assert int(left) <= int(kept) - 56
