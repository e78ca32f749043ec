"""Where configuration is found, composed and turned into objects: the one place that calls Hydra's ``instantiate``."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException, InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vinpaint.errors import UserError


class ConfigError(UserError):
    """A configuration that does not compose or does not fit what it configures."""


def _config_dir() -> Path:
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parents[1] / "conf"


CONFIG_DIR = _config_dir()
"""The configuration folder: ``vinpaint/conf`` inside a wheel, ``conf/`` at the top of a repository checkout."""


LIBRARIES = ("vinpaint", "torch", "lightning", "torchmetrics", "kornia")
"""Packages whose classes a configuration may name as ``_target_``."""

ALLOW_TARGETS = "VINPAINT_ALLOW_TARGETS"
"""Environment variable with further packages, separated by commas: all that is in them may be a ``_target_``.

It is no key of a configuration, so that no file can allow itself anything, and child processes inherit it.
"""

_FUNCTIONS = (
    "vinpaint.callbacks.wandb_logger",
    "vinpaint.data.davis.names_2016",
)  # of the libraries; else classes only


def compose(config_name: str, overrides: Sequence[str] = (), *, folders: Sequence[str] = ()) -> DictConfig:
    """Compose one of the commands' configurations as the command line would.

    Args:
        config_name: a file of ``conf/`` without suffix, such as ``inpaint``.
        overrides: Hydra overrides, such as ``["model=sttn", "dilation=4"]``.
        folders: further folders of configuration, a user's own.

    Returns:
        The composed configuration. It may be called inside a running Hydra application.

    Raises:
        ConfigError: if a key or an option does not exist; the message names the nearest ones.
    """
    active = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3", job_name=config_name):
            searched = [f"hydra.searchpath=[{','.join(f'file://{folder}' for folder in folders)}]"] if folders else []
            return hydra_compose(config_name, overrides=[*overrides, *searched])
    except HydraException as error:
        raise explain(error, config_name, overrides, folders=folders) from error
    finally:
        GlobalHydra.instance().clear()
        if active is not None:
            GlobalHydra.instance().initialize(active)


def allow_targets(packages: Iterable[str]) -> None:
    """Let configurations of this process and of those it starts name what is in further packages.

    Args:
        packages: their dotted names, such as ``["my_package"]``.

    Raises:
        ConfigError: if one is no name of a package.
    """
    wanted = list(packages)
    for package in wanted:
        if not all(part.isidentifier() for part in package.split(".")):
            raise ConfigError(f"allow_targets={package}: expected names of packages, as in allow_targets=[my_package]")
    os.environ[ALLOW_TARGETS] = ",".join(dict.fromkeys([*_allowed(), *wanted]))


def target_of(node: DictConfig) -> Any:
    """Look up what the ``_target_`` of a node names, without calling it.

    Returns:
        A class of the libraries or anything of a package that the user allowed.

    Raises:
        ConfigError: if it is neither, whatever name leads to it, or does not exist.
    """
    name, allowed = str(node["_target_"]), _allowed()
    package = name.partition(".")[0]
    if not _is_in(name, [*LIBRARIES, *allowed]):
        raise ConfigError(_not_allowed(name, package))
    try:
        found = _locate(name)
    except Exception as error:  # importing runs the code of the package
        raise ConfigError(f"{name}: {' '.join(str(error).split())}") from error
    origin = str(getattr(found, "__module__", None) or type(found).__module__)
    if not _is_in(origin, [*LIBRARIES, *allowed]):
        raise ConfigError(_not_allowed(f"{name} (of {origin})", origin.partition(".")[0]))
    if not _is_in(origin, allowed) and not inspect.isclass(found) and name not in _FUNCTIONS:
        raise ConfigError(_not_allowed(name, package))
    return found


def build(node: DictConfig | dict[str, Any], **arguments: Any) -> Any:
    """Turn a node with a ``_target_`` into the object it names.

    Args:
        node: the node; nested nodes are built first, lists and mappings become plain Python ones.
        **arguments: further keyword arguments of the target, such as a network built before.

    Returns:
        What the target returns.

    Raises:
        UserError: the one the target raised, unwrapped.
        ConfigError: if a target may not be named (see :func:`target_of`) or cannot be imported, or if the arguments
            do not fit its signature.
    """
    for targeted in _targeted(node):
        target_of(targeted)
    try:
        return instantiate(node, _convert_="all", **arguments)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError | OSError):
            raise cause from None
        if isinstance(cause, TypeError | ValueError | ImportError | AttributeError) or cause is None:
            target = node.get("_target_", "a node") if hasattr(node, "get") else "a node"
            reason = str(cause or error).strip().splitlines()[0]
            raise ConfigError(f"{target}: {reason}") from error
        raise cause from error


def _targeted(node: Any) -> Iterator[Any]:
    """Every node that names a target, at any depth, interpolations followed."""
    if isinstance(node, Mapping | DictConfig):
        if "_target_" in node:
            yield node
        children = [key for key in node if not (OmegaConf.is_config(node) and OmegaConf.is_missing(node, key))]
        for key in children:
            yield from _targeted(node[key])
    elif isinstance(node, list | tuple | ListConfig):
        for child in node:
            yield from _targeted(child)


def _allowed() -> list[str]:
    return [package for package in os.environ.get(ALLOW_TARGETS, "").split(",") if package]


def _is_in(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _not_allowed(name: str, package: str) -> str:
    return (
        f"_target_: {name} is no class of {', '.join(LIBRARIES)}: a configuration may run nothing else unless you "
        f"allow it; where you trust {package}, add allow_targets=[{','.join([*_allowed(), package])}]"
    )


def _locate(name: str) -> Any:
    """Find what a dotted name stands for in the order in which Hydra looks: an attribute before a module."""
    first, *rest = name.split(".")
    found, path = importlib.import_module(first), first
    for part in rest:
        path = f"{path}.{part}"
        found = getattr(found, part) if hasattr(found, part) else importlib.import_module(path)
    return found


def keys(node: Any, prefix: str = "") -> Iterator[str]:
    """List the dotted names of every key in a configuration, groups and leaves, in file order."""
    if OmegaConf.is_dict(node):
        for key in node:
            name = f"{prefix}.{key}" if prefix else str(key)
            yield name
            if not OmegaConf.is_missing(node, key) and OmegaConf.is_config(node._get_node(key)):
                yield from keys(node._get_node(key), name)


def options(group: str) -> list[str]:
    """List the options of a configuration group, such as ``["flow_guided", "sttn"]`` for ``model``."""
    return sorted(path.stem for path in (CONFIG_DIR / group).glob("*.yaml"))


def groups() -> list[str]:
    """List the configuration groups."""
    return sorted(path.name for path in CONFIG_DIR.iterdir() if path.is_dir() and any(path.glob("*.yaml")))


def explain(
    error: Exception, config_name: str, overrides: Sequence[str], *, folders: Sequence[str] = ()
) -> ConfigError:
    """Say in one line what is wrong with an override, which name was probably meant, and in which job of a sweep.

    Args:
        error: what Hydra raised.
        config_name: the configuration that was composed.
        overrides: the overrides it was composed with.
        folders: further folders of configuration.

    Returns:
        The error to raise instead.
    """
    for job, chosen in _jobs(overrides):
        try:
            compose(config_name, job, folders=folders)
        except ConfigError as its_own:
            return ConfigError(f"{its_own} (of the job {' '.join(chosen)})")
    message = str(error)
    if match := re.search(r"Could not (?:find|load) '([\w/]+)/([\w.-]+)'", message):
        group, option = match.groups()
        return ConfigError(f"{group}={option}: no such option{nearest(option, options(group))}")
    for table in (o.removeprefix("sweep=") for o in overrides if o.startswith("sweep=")):
        if (file := CONFIG_DIR / "sweep" / f"{table}.yaml").is_file():
            made_by = OmegaConf.load(file).sweep.command
            if made_by not in (None, config_name):
                return ConfigError(f"sweep={table} is a table of vinpaint-{made_by}, not of vinpaint-{config_name}")
    if match := re.search(r"Could not override '([\w./@-]+)'", message):
        key = match.group(1)
        valid = [o for o in overrides if re.split(r"[=@]", o.lstrip("+~"))[0] != key]
        try:
            known = list(keys(compose(config_name, valid, folders=folders))) if len(valid) < len(overrides) else []
        except ConfigError as other:
            return other
        return ConfigError(f"{key}: no such option of vinpaint-{config_name}{nearest(key, known + groups())}")
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    cause = error.__cause__
    if isinstance(cause, OmegaConfBaseException):
        lines.append(str(cause).splitlines()[0])
    return ConfigError("; ".join(lines) or type(error).__name__)


def _jobs(overrides: Sequence[str]) -> Iterator[tuple[list[str], list[str]]]:
    """The jobs of a sweep: the overrides of each, and those of them that differ from job to job."""
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException:  # which is the mistake to explain
        return
    swept = [override for override in parsed if override.is_sweep_override()]
    fixed = [str(override.input_line) for override in parsed if not override.is_sweep_override()]
    values = [[f"{override.get_key_element()}={value}" for value in _swept_values(override)] for override in swept]
    for chosen in product(*values) if swept else ():
        yield [*fixed, *chosen], list(chosen)


def _swept_values(override: Override) -> list[str]:
    value: Any = override.value()  # its annotation leaves out Glob
    if isinstance(value, Glob):  # the override itself asks the loader of a running sweep
        return list(value.filter(options(override.key_or_group)))
    return list(override.sweep_string_iterator())


def nearest(name: str, known: Sequence[str]) -> str:
    """Phrase which names were probably meant, as the end of a message.

    Args:
        name: what was given.
        known: the names there are; by the whole dotted name or by its last part.
    """
    last = name.rpartition(".")[2]
    by_last = {candidate.rpartition(".")[2]: candidate for candidate in reversed(known)}
    found = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    found += [by_last[match] for match in difflib.get_close_matches(last, list(by_last), n=2, cutoff=0.6)]
    unique = list(dict.fromkeys(found))
    if unique:
        return f"; did you mean {' or '.join(unique)}?"
    return f"; choose one of {', '.join(known)}" if len(known) <= 20 else "; see --help"
