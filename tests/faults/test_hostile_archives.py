"""Zips made to do harm: names that lead elsewhere, links, and pictures that fill the memory when unpacked."""

from __future__ import annotations

import io
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import Runner, run
from vinpaint.inpaint import main
from vinpaint.video import ClipError, open_clip

__all__ = ["run"]

HEIGHT, WIDTH = 16, 24


def png(level: int = 0) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), (level, level, level)).save(content, format="png")
    return content.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def enormous_png(side: int) -> bytes:
    """A valid black square of ``side`` pixels in a few kilobytes per hundred million pixels."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1 + (side + 7) // 8) * side, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _link(name: str, target: str) -> Callable[[zipfile.ZipFile], None]:
    def write(archive: zipfile.ZipFile) -> None:
        entry = zipfile.ZipInfo(name)
        entry.create_system = 3  # Unix
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, target)

    return write


@pytest.mark.parametrize("folder", ["..", "../..", "/tmp/climbed", "a/../../b", "C:\\\\evil", "//host/share"])
def test_members_are_read_where_they_lie_whatever_their_names(tmp_path: Path, folder: str) -> None:
    home = tmp_path / "deep" / "er"
    home.mkdir(parents=True)
    (tmp_path / "deep" / "0.png").write_bytes(png(200))  # what a name that climbs would lead to
    with zipfile.ZipFile(home / "clip.zip", "w") as archive:
        for index in range(2):
            archive.writestr(f"{folder}/{index}.png", png(100 + index))
    before = set(tmp_path.rglob("*"))
    with open_clip(home / "clip.zip") as clip:
        assert np.array_equal(clip.read(range(2))[:, 0, 0, 0], [100, 101])
    assert set(tmp_path.rglob("*")) == before
    assert not Path("/tmp/climbed").exists()


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret.png", "0.png"])
def test_links_inside_are_not_followed(tmp_path: Path, target: str) -> None:
    (tmp_path / "secret.png").write_bytes(png(250))
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in" / "clip.zip", "w") as archive:
        archive.writestr("0.png", png(1))
        _link("1.png", target)(archive)
    with (
        pytest.raises(ClipError, match=r"1\.png: cannot be read \(not an image\)"),
        open_clip(tmp_path / "in" / "clip.zip") as clip,
    ):
        clip.read([0, 1])


def test_an_output_is_not_written_through_the_names_of_a_zip(run: Runner) -> None:
    with zipfile.ZipFile(run.folder / "clip.zip", "w") as archive:
        for index in range(2):
            archive.writestr(f"../../{index}.png", png(index))
    before = set(run.folder.parent.rglob("*"))
    arguments = ("model=telea", "progress=false", "preview=false", "masks=[2,2,6,6]", "output=out")
    assert run(main, "input=clip.zip", *arguments).status == 0
    made = {path.relative_to(run.folder.parent) for path in set(run.folder.parent.rglob("*")) - before}
    assert {path.parts[:2] for path in made} == {(run.folder.name, "out")}


def _zeros(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.png", bytes(256 << 20))


def _enormous_picture(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.png", enormous_png(40_000))


def _more_than_it_says(path: Path) -> None:
    """A member that unpacks to far more than its size in the directory."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.png", enormous_png(40_000))
    data = bytearray(path.read_bytes())
    place = data.rindex(b"PK\x01\x02")
    data[place + 24 : place + 28] = struct.pack("<I", 1000)
    path.write_bytes(data)


def _claims_everything(path: Path) -> None:
    """A member whose size in the directory is four gigabytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.png", png())
    data = bytearray(path.read_bytes())
    place = data.rindex(b"PK\x01\x02")
    data[place + 24 : place + 28] = struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(data)


BOMBS = [_zeros, _enormous_picture, _more_than_it_says, _claims_everything]
MEASURE = """
import resource, sys
from vinpaint.video import ClipError, open_clip
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    with open_clip(sys.argv[1]) as clip:
        clip.read([0])
except ClipError as error:
    assert "\\n" not in str(error)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux to tell memory in KiB")
@pytest.mark.parametrize("make", BOMBS, ids=lambda make: make.__name__[1:])
def test_a_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "clip.zip")
    assert (tmp_path / "clip.zip").stat().st_size < 2 << 20
    program = [sys.executable, "-c", MEASURE, str(tmp_path / "clip.zip")]
    grown = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert grown, "it was read"
    assert int(grown) < 100 << 10, "KiB"
