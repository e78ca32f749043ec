"""Build hook: carry the top-level ``conf/`` into the wheel as ``vinpaint/conf``.

An editable install reads ``conf/`` from the repository, so a copy there would go stale: the hook leaves it alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConfigFolderHook(BuildHookInterface):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
            build_data["force_include"][str(Path(self.root) / "conf")] = "vinpaint/conf"
