"""The public names: each is there, and loads what it needs only when asked for."""

from __future__ import annotations

import vinpaint


def test_every_public_name_is_there() -> None:
    for name in vinpaint.__all__:
        assert getattr(vinpaint, name) is not None


def test_dir_lists_the_public_names() -> None:
    assert dir(vinpaint) == sorted(vinpaint.__all__)
