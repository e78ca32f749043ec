from __future__ import annotations

import numpy as np
import pytest

from vinpaint.video.film_strip import film_strip, tint_hole


def frame(level: int) -> np.ndarray:
    return np.full((4, 6, 3), level, dtype=np.uint8)


def test_frames_stand_where_their_row_and_column_say() -> None:
    picture = film_strip([[frame(1), frame(2)], [frame(3), frame(4)]], gap=2)
    assert picture.shape == (10, 14, 3)
    assert [int(picture[y, x, 0]) for y in (0, 6) for x in (0, 8)] == [1, 2, 3, 4]
    assert (picture[4:6] == 255).all()


def test_rows_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rows of \[1, 2\] frames"):
        film_strip([[frame(0)], [frame(0), frame(0)]])


def test_only_the_hole_is_tinted_and_the_frame_is_kept() -> None:
    original, mask = frame(100), np.zeros((4, 6), dtype=bool)
    mask[1, 2] = True
    tinted = tint_hole(original, mask, opacity=1.0)
    assert (original == 100).all()
    assert tuple(tinted[1, 2]) == (255, 214, 0)
    assert (tinted[~mask] == 100).all()
