"""The rows of a paper's table that a sweep file names, and which of them a job stands beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vinpaint.config import ConfigError

_ROW = {"name", "group", "when", "values"}


def published(sweep: Mapping[str, Any], choices: Mapping[str, str], config: Mapping[str, Any]) -> dict[str, Any]:
    """Find the row of a published table that a job stands beside.

    Args:
        sweep: the node of a file in ``conf/sweep``: ``name``, ``title``, ``source``, ``columns``, ``rows`` and
            ``remarks``. A row has ``name``, ``group`` (the part of the table, or none), ``values`` by metric and
            ``when``: the options of groups, or values of dotted keys, that make it; none if it is only printed.
        choices: option by configuration group.
        config: the composed configuration, plain values.

    Returns:
        The table, with ``row`` and ``group`` of this job (none where it has no counterpart).

    Raises:
        ConfigError: if a row of the file is malformed, or two of them fit.
    """
    for row in sweep["rows"]:
        if set(row) != _ROW:
            raise ConfigError(f"sweep={sweep['name']}: a row has {', '.join(row)}; expected {', '.join(sorted(_ROW))}")
    fitting = [
        row
        for row in sweep["rows"]
        if row["when"] is not None and all(_value(key, choices, config) == want for key, want in row["when"].items())
    ]
    if len(fitting) > 1:
        names = ", ".join(str(row["name"]) for row in fitting)
        raise ConfigError(f"sweep={sweep['name']}: the rows {names} name the same job; tell them apart by when")
    own = fitting[0] if fitting else {"name": None, "group": None}
    table = {key: sweep[key] for key in ("name", "title", "source", "columns", "rows", "remarks")}
    return {**table, "row": own["name"], "group": own["group"]}


def _value(key: str, choices: Mapping[str, str], config: Mapping[str, Any]) -> Any:
    if key in choices:
        return choices[key]
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value
