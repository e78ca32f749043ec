"""Weights in and out: released folders, training checkpoints and the checkpoints of public repositories."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import pickle
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from huggingface_hub import ModelHubMixin, hf_hub_download
from torch import Tensor, nn

from vinpaint.errors import UserError

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
DIGEST_KEY = "sha256"
"""Key of a ``config.json`` under which the digest of its weights stands, where they are released."""

ARCHITECTURES = {
    "CPNet": "vinpaint.models.cpnet",
    "FusionNetwork": "vinpaint.models.fusion",
    "IRRPWCNetwork": "vinpaint.models.flow.irr_pwc",
    "STRANet": "vinpaint.models.stra_net",
    "STTN": "vinpaint.models.sttn",
}
"""Class names a ``config.json`` may ask for, and the module that holds each. Nothing else is ever imported for it."""

State = dict[str, Tensor]
Part = Literal["generator", "discriminator"]
M = TypeVar("M", bound="PretrainedModel")
N = TypeVar("N", bound=nn.Module)

_CARD_FILE = "README.md"
_PARTIAL = ".partial"
_PUBLIC_WRAPPERS = {"generator": "netG", "discriminator": "netD"}


class CheckpointError(UserError):
    """Weights that cannot be read or do not fit their model; the message is one line a user can act on."""


# ---------------------------------------------------------------- released folders


class PretrainedModel(
    nn.Module,
    ModelHubMixin,
    library_name="vinpaint",
    tags=["video-inpainting"],
    license="mit",
    model_card_template="---\n{{ card_data }}\n---\n\nA video inpainting model of vinpaint.\n",
):
    """A model that is released as a folder of ``config.json`` and ``model.safetensors``.

    ``save_pretrained(folder)`` writes one, ``from_pretrained(folder)`` reads it without touching a network; a name like
    ``owner/model`` that is no folder is looked up on the Hugging Face hub. The configuration is the constructor's
    arguments, so they must be plain numbers, strings and lists.
    """

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> str | None:
        """Save the model into a folder; one that is there keeps its card, and its model until the new one is written.

        Args:
            save_directory: the folder, made if it is missing.
            **options: those of the hub mixin (``push_to_hub``, ``repo_id`` …).

        Returns:
            The address of the commit if the model was pushed to the hub.

        Raises:
            CheckpointError: if the weights cannot be written.
        """
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        options.setdefault("repo_id", folder.name)
        for abandoned in folder.glob(f".*{_PARTIAL}"):  # by a process that was killed
            shutil.rmtree(abandoned, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".", suffix=_PARTIAL, dir=folder) as partial:
            address: str | None = super().save_pretrained(partial, **options)
            for written in sorted(Path(partial).iterdir()):  # the configuration before the weights
                if written.name != _CARD_FILE or not (folder / _CARD_FILE).exists():
                    os.replace(written, folder / written.name)
        return address

    def _save_pretrained(self, save_directory: Path) -> None:
        write_config(save_directory, self)
        write_weights(save_directory / WEIGHTS_FILE, self.state_dict())

    @classmethod
    def from_pretrained(cls: type[M], pretrained_model_name_or_path: str | Path, **options: Any) -> M:
        """Build the model that a folder describes and load its weights.

        Args:
            pretrained_model_name_or_path: a folder that :meth:`save_pretrained` wrote, or ``owner/model`` on the hub.
            **options: constructor arguments that differ from the saved ones, and those of the hub mixin (``revision``,
                ``cache_dir``, ``local_files_only`` …).

        Returns:
            The model in evaluation mode, on the CPU.

        Raises:
            CheckpointError: if the folder holds no model, or another one.
        """
        folder = Path(pretrained_model_name_or_path).expanduser()
        if folder.is_dir():
            found = read_config(folder).get("architecture", cls.__name__)
            if found != cls.__name__:
                raise CheckpointError(
                    f"{folder} holds a {found}, not a {cls.__name__}: use load_pretrained('{folder}')"
                )
            return super().from_pretrained(str(folder), **options)
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(pretrained_model_name_or_path)):
            raise CheckpointError(
                f"{pretrained_model_name_or_path}: no such folder; give one that save_pretrained wrote, or owner/model "
                "on the hub"
            )
        return super().from_pretrained(str(pretrained_model_name_or_path), **options)

    @classmethod
    def _from_pretrained(
        cls: type[M],
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        **model_kwargs: Any,
    ) -> M:
        weights = Path(model_id) / WEIGHTS_FILE
        if not Path(model_id).is_dir():
            weights = Path(
                hf_hub_download(
                    repo_id=model_id,
                    filename=WEIGHTS_FILE,
                    revision=revision,
                    cache_dir=cache_dir,
                    force_download=force_download,
                    token=token,
                    local_files_only=local_files_only,
                )
            )
        # Without memory first: sizes that a strange configuration asks for are compared before they are allocated.
        with torch.device("meta"), _one_line(cls, model_id):
            check_state(cls(**model_kwargs), read_state(weights), weights)
        with _one_line(cls, model_id):
            model = cls(**model_kwargs)
        return load_weights(model, weights).eval()


@contextmanager
def _one_line(cls: type[nn.Module], where: str) -> Iterator[None]:
    """Tell that the arguments of a configuration make no model."""
    try:
        yield
    except (TypeError, RuntimeError, MemoryError, OverflowError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{where}: its {CONFIG_FILE} describes no {cls.__name__} ({reason})") from error


def read_config(folder: Path) -> dict[str, Any]:
    """Read the ``config.json`` of a released model.

    Raises:
        CheckpointError: if there is none, or it is no JSON object.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {CONFIG_FILE}: expected a folder that save_pretrained wrote")
    try:
        config = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not JSON ({error}): save the model again") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} holds a {type(config).__name__}: expected the constructor's arguments by name")
    return config


def write_config(folder: Path, network: nn.Module, **facts: Any) -> None:
    """Write the ``config.json`` of a network: its class, its constructor's arguments and further facts."""
    arguments = network._hub_mixin_config if isinstance(network, PretrainedModel) else {}
    config = {"architecture": type(network).__name__, **(arguments if isinstance(arguments, dict) else {}), **facts}
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def write_weights(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write named tensors as safetensors.

    Raises:
        CheckpointError: if there is no room, or they cannot be written for another reason.
    """
    from safetensors.torch import save

    try:
        path.write_bytes(save({k: v.detach().contiguous() for k, v in state.items()}, metadata={"format": "pt"}))
    except OSError as error:
        raise CheckpointError(
            f"weights {path}: cannot be written ({error.strerror}); make room or choose another place"
        ) from error


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_digest(path: Path) -> None:
    """Check that weights are those that were released, where their ``config.json`` says what that is.

    Raises:
        CheckpointError: if they are others.
    """
    if path.name != WEIGHTS_FILE or not (path.parent / CONFIG_FILE).is_file():
        return
    wanted = read_config(path.parent).get(DIGEST_KEY)
    if wanted is not None and (found := file_digest(path)) != wanted:
        raise CheckpointError(
            f"weights {path} are not the released ones (sha256 {found[:12]}…, expected {str(wanted)[:12]}…): "
            "install the library again, or convert or save them again"
        )


def load_pretrained(folder: str | Path) -> PretrainedModel:
    """Load the model a folder holds, whichever it is.

    Args:
        folder: a folder that ``save_pretrained`` wrote.

    Returns:
        The model in evaluation mode, on the CPU.

    Raises:
        CheckpointError: if the folder holds no model that this library knows.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; give one that save_pretrained wrote")
    name = read_config(folder).get("architecture")
    if name not in ARCHITECTURES:
        raise CheckpointError(f"{folder} holds a {name}: expected one of {', '.join(sorted(ARCHITECTURES))}")
    cls: type[PretrainedModel] = getattr(importlib.import_module(ARCHITECTURES[name]), name)
    return cls.from_pretrained(folder)


# ---------------------------------------------------------------- checkpoints


def _same_keys(state: State) -> State:
    return state


def _irr_pwc_keys(state: State) -> State:
    """Take off the name under which a training wrapper of visinf/irr or ptlflow held the network."""
    return {key.removeprefix("_model.").removeprefix("model."): value for key, value in state.items()}


CONVERTERS: dict[str, Callable[[State], State]] = {"cpnet": _same_keys, "irr_pwc": _irr_pwc_keys, "sttn": _same_keys}
"""Per public repository, how its keys become ours. STTN's are the same; its wrappers are taken off by all."""


def load_weights(model: N, path: str | Path, *, source: str | None = None, part: Part = "generator") -> N:
    """Load weights of any kind this library reads into a model.

    Args:
        model: the model they are meant for; changed in place.
        path: a ``.safetensors``, a training ``.ckpt`` (averaged weights if it has them), a checkpoint of the public
            code (``.pth``: ``netG``/``netD``, a bare state dict, ``module.`` prefixes), or a folder that
            ``save_pretrained`` wrote.
        source: public repository the file comes from, a key of :data:`CONVERTERS`; None takes the keys as they are.
        part: which network of the file is meant, where it holds two.

    Returns:
        The same model.

    Raises:
        CheckpointError: if the file is missing, is none of these, holds pickled code, or does not fit the model.
    """
    path = Path(path).expanduser()
    state = read_state(path, part=part)
    if source is not None:
        if source not in CONVERTERS:
            raise CheckpointError(f"source={source!r}: expected one of {', '.join(sorted(CONVERTERS))}")
        state = CONVERTERS[source](state)
    check_state(model, state, path)
    # files older than the counters of batch norm lack them; nothing that is computed depends on them
    model.load_state_dict(state, strict=False)
    return model


def read_state(path: str | Path, *, part: Part = "generator") -> State:
    """Read the tensors of one network from a file, under the names it gives them.

    Args:
        path: see :func:`load_weights`.
        part: see :func:`load_weights`.

    Returns:
        Tensors on the CPU by name, without wrappers and prefixes.

    Raises:
        CheckpointError: if the file is missing, is no checkpoint or holds pickled code.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        path = path / WEIGHTS_FILE
    if not path.is_file():
        raise CheckpointError(f"weights {path}: no such file")
    check_digest(path)
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    state = _unwrap(content, part)
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"weights {path} hold no {part}: expected tensors by name")
    if all(key.startswith("module.") for key in state):  # saved from a parallel wrapper
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return state


def check_state(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Check that a state dict is the model's, key by key.

    Raises:
        CheckpointError: naming the first key that is missing, is too many or has another shape.
    """
    wanted = model.state_dict()
    name = type(model).__name__
    missing = [key for key in wanted if key not in state and not key.endswith("num_batches_tracked")]
    extra = [key for key in state if key not in wanted]
    if missing or extra:
        example = f"lack {missing[0]}" if missing else f"have {extra[0]}"
        raise CheckpointError(
            f"weights {path} are not those of this {name}: they {example} ({len(missing)} keys missing, {len(extra)} "
            "unknown); build the model they were saved from"
        )
    for key, value in state.items():
        if value.shape != wanted[key].shape:
            raise CheckpointError(
                f"weights {path} do not fit this {name}: {key} is {tuple(value.shape)}, expected "
                f"{tuple(wanted[key].shape)}; build the model with the sizes it was trained with"
            )


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"weights {path} are no safetensors file ({error}): download or save them again"
        ) from error


def _read_pickle(path: Path) -> Mapping[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"weights {path} hold pickled code or are no checkpoint, and are not run: save them as tensors "
            "(torch.save(model.state_dict(), ...)) or as .safetensors"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"weights {path} cannot be read ({str(error).splitlines()[0] if str(error) else type(error).__name__}): "
            "the file is truncated or no checkpoint"
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"weights {path} hold a {type(content).__name__}: expected tensors by name")
    return content


def _unwrap(content: Mapping[str, Any], part: Part) -> State:
    """Find the named tensors of ``part`` in what a file holds; empty if they are not there."""
    if isinstance(content.get("state_dict"), Mapping):  # Lightning; with EMA these already are the averaged weights
        state = content["state_dict"]
        if not any(key.startswith(f"{other}.") for key in state for other in _PUBLIC_WRAPPERS):
            return dict(state)  # another library's: the network is the whole of it
        prefix = f"{part}."
        return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    wrapped = content.get(_PUBLIC_WRAPPERS[part])
    if isinstance(wrapped, Mapping):
        return dict(wrapped)
    if any(isinstance(content.get(key), Mapping) for key in _PUBLIC_WRAPPERS.values()):
        return {}
    return dict(content)
