"""What is no clip is told in one line that says what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from video.conftest import GOP, numbered_video
from vinpaint.video import ClipError, open_clip, open_writer


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"\A[^\n]*gone\.mp4: no such file or folder; check the path\Z"):
        open_clip(tmp_path / "gone.mp4")


def test_an_empty_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(ClipError, match=r"\A[^\n]*empty\.mp4: the file is empty[^\n]*\Z"):
        open_clip(tmp_path / "empty.mp4")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("noise.mp4", np.random.default_rng(0).bytes(5000)),
        ("text.txt", b"this is not a video\n" * 200),
        ("text.mp4", b"this is not a video\n" * 200),
        ("page.html", b"<html><body>no</body></html>" * 50),
        ("zeros.mkv", bytes(4096)),
    ],
)
def test_what_is_no_video_is_told(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ClipError, match=rf"\A[^\n]*{name}: [^\n]*; [^\n]*\Z"):
        open_clip(tmp_path / name)


def test_a_recording_that_was_never_finished_is_told(tmp_path: Path) -> None:
    whole = numbered_video(tmp_path / "whole.mp4", options=GOP).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ClipError, match=r"\A[^\n]*cut\.mp4: not a video that can be read[^\n]*cut short[^\n]*\Z"):
        open_clip(tmp_path / "cut.mp4")


def test_an_unknown_suffix_for_writing_is_told(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"cannot write \.avi; end the name in \.mkv, \.mov, \.mp4, or in /"):
        open_writer(tmp_path / "out.avi", frame_rate=24, height=32, width=32)


def test_importing_opens_no_video_library() -> None:
    code = (
        "import sys, vinpaint.video; print([name for name in ('av', 'decord', 'cv2', 'torch') if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"av", "decord", "cv2"} & set(eval(loaded))
