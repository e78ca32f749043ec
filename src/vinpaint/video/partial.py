"""Output that exists under its name only when it is complete."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import weakref
from pathlib import Path

from vinpaint.video.clip import ClipError, one_line


class PartialOutput:
    """A file or folder written under a hidden name beside its own and renamed when it is complete.

    What is never committed is removed: on ``discard``, when the object goes, and when the interpreter ends.

    Args:
        path: the final name; missing parent folders are made.
        folder: write a folder instead of a file.
        overwrite: allow that something of that name is replaced at the end. A folder is replaced only if it holds
            nothing but PNG images.

    Attributes:
        path: the final name.
        partial: where to write meanwhile, in the same folder and with the same suffix.

    Raises:
        ClipError: if the name is taken or nothing can be written there.
    """

    def __init__(self, path: str | os.PathLike[str], *, folder: bool = False, overwrite: bool = False) -> None:
        self.path = Path(path)
        self.overwrite = overwrite
        self.folder = folder
        self._refuse_taken_name()
        self.partial = self.path.with_name(f".{self.path.stem}.{secrets.token_hex(4)}.partial{self.path.suffix}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if folder:
                self.partial.mkdir()
            else:
                self.partial.touch(exist_ok=False)
        except OSError as error:
            raise self.failure(error) from error
        self._cleanup = weakref.finalize(self, _remove, self.partial, os.getpid())

    def failure(self, error: BaseException) -> ClipError:
        """Tell why writing failed in one line."""
        return ClipError(f"{self.path}: cannot be written ({one_line(error)}); choose another place or make room")

    def commit(self) -> None:
        """Give the output its final name.

        Raises:
            ClipError: if the name was taken meanwhile or renaming fails; the output is removed.
        """
        try:
            self._refuse_taken_name()
            if self.folder and self.path.exists():
                _swap_folders(self.partial, self.path)
            else:
                self.partial.replace(self.path)
        except OSError as error:
            raise self.failure(error) from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what was written and not committed; safe to call twice."""
        self._cleanup()

    def _refuse_taken_name(self) -> None:
        path = self.path
        if not os.path.lexists(path):
            return
        if path.is_dir() != self.folder:
            found, wanted = ("folder", "video file") if path.is_dir() else ("file", "folder of frames")
            raise ClipError(f"{path}: is a {found}, the output a {wanted}; choose another name")
        if self.folder:
            content = sorted(entry.name for entry in os.scandir(path))
            if not content:
                return
            foreign = [name for name in content if not name.lower().endswith(".png")]
            if foreign:
                raise ClipError(f"{path}: holds other things ({foreign[0]}); choose an empty or new folder")
        if not self.overwrite:
            raise ClipError(f"{path}: exists already; choose another name, or allow it with overwrite=true")


def remove_abandoned(path: Path) -> None:
    """Remove what killed processes left of an output; only for who knows that nobody else is writing it.

    Args:
        path: the final name.
    """
    name = re.compile(re.escape(f".{path.stem}.") + r"[0-9a-f]{8}\.partial" + re.escape(path.suffix))
    if path.parent.is_dir():
        for entry in [entry for entry in path.parent.iterdir() if name.fullmatch(entry.name)]:
            _remove(entry, os.getpid())


def _swap_folders(new: Path, old: Path) -> None:
    aside = old.with_name(f".{old.name}.{secrets.token_hex(4)}.old")
    old.rename(aside)
    try:
        new.rename(old)
    except OSError:
        aside.rename(old)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _remove(partial: Path, owner: int) -> None:
    if os.getpid() != owner:  # a forked child that ends must not take its parent's work along
        return
    if partial.is_dir():
        shutil.rmtree(partial, ignore_errors=True)
    else:
        partial.unlink(missing_ok=True)
