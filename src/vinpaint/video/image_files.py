"""Where the images of a clip lie, and how one becomes RGB."""

from __future__ import annotations

import os
import re
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vinpaint.video.clip import ClipError, one_line

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})
_LARGEST_MEMBER = 1 << 30  # bytes of one image in a zip; a member that claims more is no frame


def natural_order(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key under which ``frame2`` comes before ``frame10``."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name.casefold())], name


class ImageStore(Protocol):
    """A set of image files in the order of their frames."""

    names: list[str]

    def label(self, name: str) -> str:
        """Tell a user where an image lies."""
        ...

    def open(self, name: str) -> IO[bytes]:
        """Open an image for reading."""
        ...

    def close(self) -> None:
        """Release what is open; safe to call twice."""
        ...


class FolderStore:
    """The images that lie directly in a folder, or one image file; hidden files are not frames."""

    def __init__(self, path: Path) -> None:
        self.folder = path if path.is_dir() else path.parent
        names = [entry.name for entry in os.scandir(path)] if path.is_dir() else [path.name]
        self.names = sorted(filter(_is_frame, names), key=natural_order)

    def label(self, name: str) -> str:
        """Tell the path of an image."""
        return str(self.folder / name)

    def open(self, name: str) -> IO[bytes]:
        """Open an image for reading."""
        return (self.folder / name).open("rb")

    def close(self) -> None:
        """Do nothing: no file stays open."""


class ZipStore:
    """The images of a zip; members are read where they lie, never unpacked.

    Several threads may read; a copy that reaches another process (fork or pickle) opens the zip for itself, because
    a file handle that crossed a fork shares its offset with the parent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive: zipfile.ZipFile | None = None
        self._owner = 0
        self._lock = threading.Lock()
        self.names = sorted(filter(_is_frame, self._opened().namelist()), key=natural_order)
        folders = sorted({str(PurePosixPath(name).parent) for name in self.names})
        if len(folders) > 1:
            raise ClipError(f"{path}: images in several folders ({', '.join(folders[:3])}); give a zip of one clip")

    def label(self, name: str) -> str:
        """Tell the zip and the member."""
        return f"{self.path}/{name}"

    def open(self, name: str) -> IO[bytes]:
        """Open a member for reading."""
        archive = self._opened()
        if archive.getinfo(name).file_size > _LARGEST_MEMBER:
            raise OSError(f"{archive.getinfo(name).file_size} bytes once unpacked")
        return archive.open(name)

    def close(self) -> None:
        """Close the zip; a later read opens it again."""
        with self._lock:
            if self._archive is not None and self._owner == os.getpid():
                self._archive.close()
            self._archive = None

    def _opened(self) -> zipfile.ZipFile:
        if self._owner != os.getpid():
            self._lock = threading.Lock()  # the old one may have been held by a thread that did not cross the fork
            self._archive = None
            self._owner = os.getpid()
        with self._lock:
            if self._archive is None:
                self._archive = zipfile.ZipFile(self.path)
            return self._archive

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "names": self.names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _archive=None, _owner=0, _lock=threading.Lock())


def open_store(path: Path) -> ImageStore:
    """List the images of a folder, a zip or a single file.

    Raises:
        ClipError: if it cannot be read or holds no image.
    """
    try:
        store = ZipStore(path) if path.suffix.lower() == ".zip" and path.is_file() else FolderStore(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise ClipError(f"{path}: cannot be listed ({one_line(error)}); give a folder or zip that opens") from error
    if not store.names:
        kinds = ", ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
        raise ClipError(f"{path}: no images in it; give a video, or a folder or zip of frames ({kinds})")
    return store


def image_size(store: ImageStore, name: str) -> tuple[int, int]:
    """Read the ``(width, height)`` of an upright image from its header."""
    with _one_line_errors(store, name), store.open(name) as file, Image.open(file) as image:
        width, height = image.size
        turned = image.format == "JPEG" and image.getexif().get(_ORIENTATION, 1) >= 5
        return (height, width) if turned else (width, height)


def decode_image(store: ImageStore, name: str) -> NDArray[np.uint8]:
    """Decode an image to ``(H, W, 3)`` uint8 RGB."""
    with _one_line_errors(store, name), store.open(name) as file, Image.open(file) as image:
        if image.format == "JPEG":
            image = ImageOps.exif_transpose(image)  # noqa: PLW2901
        return _to_rgb(image)


_ORIENTATION = 0x0112  # EXIF tag; 5 to 8 exchange rows and columns


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode == "RGB":
        return np.asarray(image)
    if image.mode.startswith("I"):
        # Pillow's own conversion of 16-bit grey clips at 255 instead of scaling.
        grey = np.asarray(image)
        if grey.min() < 0 or grey.max() > 0xFFFF:
            raise ValueError("samples beyond 16 bits")
        return np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("floating-point samples have no agreed range")
    return np.asarray(image.convert("RGB"))


def _is_frame(name: str) -> bool:
    parts = PurePosixPath(name).parts
    hidden = any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in parts)
    return not hidden and not name.endswith("/") and PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


@contextmanager
def _one_line_errors(store: ImageStore, name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, RuntimeError, ValueError, SyntaxError, KeyError, zipfile.BadZipFile) as error:
        raise ClipError(f"{store.label(name)}: cannot be read ({_reason(error)}); replace or remove it") from error
    except Image.DecompressionBombError as error:
        raise ClipError(f"{store.label(name)}: too large for a frame ({one_line(error)})") from error


def _reason(error: BaseException) -> str:
    from PIL import UnidentifiedImageError

    return "not an image" if isinstance(error, UnidentifiedImageError) else one_line(error)
