"""What all commands share: Hydra as the front end, help made from the configuration files, errors in one line."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import textwrap
import warnings
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vinpaint.allocator import keep_freed_memory
from vinpaint.config import CONFIG_DIR, ConfigError, allow_targets, explain, groups, options
from vinpaint.errors import UserError

Task = Callable[[DictConfig], Any]

_PERMISSION = "allow_targets"


def run_folder(resume: str | None, fresh: str) -> str:
    """Where a run writes: the folder it goes on with, or a fresh one."""
    return resume if resume is not None and Path(resume).is_dir() else fresh


OmegaConf.register_new_resolver("vinpaint_run_folder", run_folder, replace=True)


def command(config_name: str) -> Callable[[Task], Callable[[], None]]:
    """Turn a function of a configuration into a console command.

    A mistake of the user (an unknown key, a missing file, masks that do not fit) ends the command with one line and
    exit status 2; an interruption with 130; anything else is a fault of the library and shows its trace.

    Args:
        config_name: the file of ``conf/`` that holds the command's options.

    Returns:
        A decorator for ``task(config)``. The task's docstring is what ``--help`` prints above the options.
    """

    def decorate(task: Task) -> Callable[[], None]:
        @functools.wraps(task)
        def job(config: DictConfig) -> Any:
            try:
                return task(config)
            except (UserError, OSError) as error:
                if HydraConfig.get().mode == RunMode.MULTIRUN:
                    raise  # the other jobs go on; Hydra names this one's overrides
                _fail(config_name, _one_line(error))

        application = hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name=config_name)(job)

        @functools.wraps(task)
        def main() -> None:
            # Hydra's parser refuses a flag between two overrides; a person may put -m anywhere.
            flags = [argument for argument in sys.argv[1:] if argument in ("-m", "--multirun")]
            sys.argv[1:] = flags + [argument for argument in sys.argv[1:] if argument not in flags]
            _take_permissions(config_name)
            arguments = sys.argv[1:]
            if arguments in (["--help"], ["-h"]):
                print(help_text(config_name, inspect.getdoc(task) or ""))
                return
            # Without it Hydra prints errors itself, with a trace, and exits before they can be told apart.
            os.environ.setdefault("HYDRA_FULL_ERROR", "1")
            warnings.formatwarning = functools.partial(_format_warning, config_name)
            keep_freed_memory()
            try:
                application()
            except KeyboardInterrupt:
                _fail(config_name, "interrupted; what was finished is kept, what was not is removed", status=130)
            except HydraException as error:  # before OSError, which a missing option is too
                overrides = [a for a in arguments if a.startswith("~") or ("=" in a and not a.startswith("--"))]
                _fail(config_name, str(explain(error, config_name, overrides, folders=_folders(arguments))))
            except (UserError, OSError) as error:
                _fail(config_name, _one_line(error))
            except OmegaConfBaseException as error:
                _fail(config_name, str(error).splitlines()[0])

        return main

    return decorate


def _take_permissions(config_name: str) -> None:
    """Heed ``allow_targets=`` of the command line; Hydra never sees it, so that no file can hold it."""
    given = [argument for argument in sys.argv[1:] if argument.startswith(f"{_PERMISSION}=")]
    sys.argv[1:] = [argument for argument in sys.argv[1:] if argument not in given]
    for argument in given:
        names = argument.removeprefix(f"{_PERMISSION}=").strip("[]").split(",")
        try:
            allow_targets(name.strip() for name in names)
        except ConfigError as error:
            _fail(config_name, str(error))


def _folders(arguments: Sequence[str]) -> list[str]:
    """The folder of configuration that a command line adds."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument("--config-dir", "-cd")
    parser.add_argument("--cfg", "-c")  # else taken for the beginning of -cd
    folder = parser.parse_known_args(arguments)[0].config_dir
    return [str(Path(folder).absolute())] if folder else []


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _fail(config_name: str, message: str, *, status: int = 2) -> NoReturn:
    print(f"vinpaint-{config_name}: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(status)


def _format_warning(config_name: str, message: Warning | str, category: type[Warning], *where: Any) -> str:
    """A warning as a command shows it: what it says, without the line of code it came from."""
    return f"vinpaint-{config_name}: {message}\n"


def help_text(config_name: str, introduction: str) -> str:
    """Compose the text of ``--help``: what the command does, its options with their comments, its groups."""
    used = _used_groups(config_name)
    lines = [introduction, "", f"Options of vinpaint-{config_name} (key=value; these are the defaults):", ""]
    lines += [f"  {line}".rstrip() for line in _own_options(config_name)]
    lines += ["", "Groups (group=option; every key inside can be set too, as in model.engine.max_distance=20):", ""]
    for group in groups():
        if group in used:
            default = used[group]
            for option in options(group):
                mark = "*" if option == default else " "
                summary = _first_comment(group, option)
                head = f"  {mark} {group + '=' + option:<26} "
                lines += textwrap.wrap(summary, 120, initial_indent=head, subsequent_indent=" " * len(head)) or [head]
    lines += [
        "",
        "  * default. More:",
        f"    vinpaint-{config_name} … --cfg job            print the whole composed configuration and stop",
        f"    vinpaint-{config_name} -m key=a,b …           run once per value (Hydra multirun)",
        f"    vinpaint-{config_name} {_PERMISSION}=[my_package] …   let configurations name classes of your package",
        f'    eval "$(vinpaint-{config_name} -sc install=bash)"   completion of keys and options in this shell',
    ]
    return "\n".join(lines)


def _config_lines(config_name: str) -> list[str]:
    return (CONFIG_DIR / f"{config_name}.yaml").read_text(encoding="utf-8").splitlines()


def _used_groups(config_name: str) -> dict[str, str]:
    """Map each group of the defaults list to its default option."""
    used = {}
    for line in _config_lines(config_name):
        entry = line.split("#")[0].strip().removeprefix("- ").removeprefix("optional ").removeprefix("override ")
        if line.startswith("  - ") and ":" in entry:
            group, _, option = entry.partition(":")
            if "${" in option:  # follows another group
                continue
            used[group.strip().lstrip("/")] = option.strip()
    return used


def _own_options(config_name: str) -> list[str]:
    """The lines of the file below its defaults list, without Hydra's own node."""
    lines, inside = [], False
    for line in _config_lines(config_name):
        if line and not line.startswith((" ", "-", "#")):
            inside = not line.startswith(("defaults:", "hydra:"))
        if inside:
            lines.append(line)
    return lines


def _first_comment(group: str, option: str) -> str:
    """What the option's file says of itself in its first comment that is not a Hydra directive."""
    for line in (CONFIG_DIR / group / f"{option}.yaml").read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").strip()
    return ""
