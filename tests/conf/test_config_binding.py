"""Every option of every group composes, and every node fits the signature of what it names."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from omegaconf import DictConfig, ListConfig, OmegaConf

from vinpaint.command import _used_groups
from vinpaint.config import CONFIG_DIR, ConfigError, build, compose, keys, options, target_of

COMMANDS = sorted(path.stem for path in CONFIG_DIR.glob("*.yaml"))

# Arguments that the code passes because no YAML can: built networks, and the parameters of an optimiser.
PASSED_BY_CODE = {"model", "generator", "discriminator", "params", "optimizer", "network", "weights_dir", "engine"}

CHOICES = [
    pytest.param(command, group, option, id=f"{command}-{group}={option}")
    for command in COMMANDS
    for group in _used_groups(command)
    if (CONFIG_DIR / group).is_dir()
    for option in options(group)
    if group != "sweep" or OmegaConf.load(CONFIG_DIR / "sweep" / f"{option}.yaml").sweep.command in (None, command)
]


def nodes(config: Any, path: str = "") -> Iterator[tuple[str, DictConfig]]:
    """Every node with a target, with its dotted name."""
    if isinstance(config, DictConfig):
        if "_target_" in config:
            yield path, config
        for key in config:
            if not OmegaConf.is_missing(config, key) and OmegaConf.is_config(config._get_node(key)):
                yield from nodes(config._get_node(key), f"{path}.{key}" if path else str(key))
    elif isinstance(config, ListConfig):
        for index in range(len(config)):
            yield from nodes(config._get_node(index), f"{path}[{index}]")


def assert_binds(path: str, node: DictConfig) -> None:
    target = target_of(node)
    parameters = inspect.signature(target).parameters
    given = {str(key) for key in node if not str(key).startswith("_")}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    unknown = given - set(parameters)
    assert takes_any or not unknown, f"{path}: {node._target_} takes no {sorted(unknown)}"
    if node.get("_partial_"):
        return
    required = {
        n for n, p in parameters.items() if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }
    missing = required - given - PASSED_BY_CODE - {"self"}
    assert not missing, f"{path}: {node._target_} needs {sorted(missing)}"
    if str(node._target_).startswith("vinpaint."):
        hidden = set(parameters) - given - PASSED_BY_CODE
        assert not hidden, f"{path}: knobs of {node._target_} that the file does not show: {sorted(hidden)}"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_defaults_compose_and_bind(command: str) -> None:
    for path, node in nodes(compose(command)):
        assert_binds(path, node)


@pytest.mark.parametrize(("command", "group", "option"), CHOICES)
def test_every_option_composes_and_binds(command: str, group: str, option: str) -> None:
    # What an ablation takes away is of one model; its file is named for it.
    model = {"sttn": "sttn", "stra": "stra_net"}.get(option.partition("_")[0]) if group == "ablation" else None
    for path, node in nodes(compose(command, [f"{group}={option}", *([f"model={model}"] if model else [])])):
        assert_binds(path, node)


@pytest.mark.parametrize("path", sorted(CONFIG_DIR.rglob("*.yaml")), ids=lambda p: str(p.relative_to(CONFIG_DIR)))
def test_every_file_says_in_its_first_lines_what_it_selects(path: Any) -> None:
    first = [line for line in path.read_text(encoding="utf-8").splitlines()[:3] if line.startswith("#")]
    assert any("@package" not in line and len(line) > 10 for line in first)


def test_a_misspelt_key_names_the_nearest_right_one() -> None:
    with pytest.raises(ConfigError, match=r"dilaton: no such option of vinpaint-inpaint; did you mean dilation"):
        compose("inpaint", ["dilaton=4"])


def test_a_misspelt_nested_key_names_the_nearest_right_one() -> None:
    with pytest.raises(ConfigError, match=r"did you mean model\.engine\.\w+"):
        compose("inpaint", ["model=sttn", "model.engine.reference_strid=4"])


def test_a_misspelt_option_names_the_nearest_right_one() -> None:
    with pytest.raises(ConfigError, match="model=flow_gided: no such option; did you mean flow_guided"):
        compose("inpaint", ["model=flow_gided"])


def test_a_wrong_argument_is_one_line() -> None:
    with pytest.raises(ConfigError, match="MovingMask"):
        build({"_target_": "vinpaint.masks.MovingMask", "sped": 3})


def test_keys_lists_groups_and_leaves() -> None:
    config = OmegaConf.create({"a": {"b": 1, "c": {"d": None}}})
    assert list(keys(config)) == ["a", "a.b", "a.c", "a.c.d"]
