"""Folders of PNG images written: equal to the bit, and whole or not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vinpaint.video import ClipError, ClipWriter, open_clip, open_writer

_FRAMES = np.random.default_rng(0).integers(0, 256, (12, 21, 33, 3), dtype=np.uint8)


def _write(path: Path | str, frames: np.ndarray = _FRAMES, *, overwrite: bool = False) -> None:
    with open_writer(path, frame_rate=24, height=21, width=33, overwrite=overwrite) as writer:
        for frame in frames:
            writer.write(frame)


def _left_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_images_read_back_equal(tmp_path: Path) -> None:
    with open_writer(tmp_path / "deep" / "out", frame_rate=24, height=21, width=33) as writer:
        assert isinstance(writer, ClipWriter)
        for frame in _FRAMES:
            writer.write(frame)
        assert not (tmp_path / "deep" / "out").exists()
    assert _left_in(tmp_path / "deep") == ["out"]
    assert _left_in(tmp_path / "deep" / "out") == [f"{number:05d}.png" for number in range(12)]
    np.testing.assert_array_equal(open_clip(tmp_path / "deep" / "out").read(range(12)), _FRAMES)


def test_a_closing_slash_makes_any_name_a_folder(tmp_path: Path) -> None:
    _write(f"{tmp_path}/out.v2/")
    assert open_clip(tmp_path / "out.v2").num_frames == 12


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    _write(tmp_path / "out")
    assert open_clip(tmp_path / "out").num_frames == 12


def test_a_folder_of_frames_is_kept_unless_allowed(tmp_path: Path) -> None:
    _write(tmp_path / "out")
    with pytest.raises(ClipError, match=r"out: exists already.*overwrite=true"):
        _write(tmp_path / "out", _FRAMES[:2])
    assert open_clip(tmp_path / "out").num_frames == 12
    _write(tmp_path / "out", _FRAMES[:2], overwrite=True)
    assert open_clip(tmp_path / "out").num_frames == 2
    assert _left_in(tmp_path) == ["out"]


def test_a_folder_with_other_things_is_never_replaced(tmp_path: Path) -> None:
    _write(tmp_path / "out")
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(ClipError, match=r"holds other things \(thesis\.txt\)"):
        _write(tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "thesis.txt").exists()


def test_a_file_of_that_name_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ClipError, match="is a file, the output a folder"):
        _write(tmp_path / "out", overwrite=True)


def _interrupt(path: Path) -> None:
    with open_writer(path, frame_rate=24, height=21, width=33) as writer:
        writer.write(_FRAMES[0])
        raise KeyboardInterrupt


def test_leaving_with_an_exception_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _interrupt(tmp_path / "out")
    assert _left_in(tmp_path) == []


def test_no_frame_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="no frame was written"):
        _write(tmp_path / "out", _FRAMES[:0])
    assert _left_in(tmp_path) == []


def test_frames_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"frame is uint8 \(20, 33, 3\); give uint8 \(21, 33, 3\)"):
        _write(tmp_path / "out", _FRAMES[:, 1:])
    assert _left_in(tmp_path) == []
