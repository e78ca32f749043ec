"""The command ``vinpaint-weights``: what weights there are, and checkpoints of public codes made safe to load."""

from __future__ import annotations

import hashlib
import http.client
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from omegaconf import DictConfig

from vinpaint.command import command
from vinpaint.config import ConfigError, nearest
from vinpaint.errors import UserError
from vinpaint.models.pretrained import DIGEST_KEY, WEIGHTS_FILE, file_digest, load_pretrained, read_config
from vinpaint.models.public import PUBLIC_CHECKPOINTS, PublicCheckpoint, convert
from vinpaint.models.released import RELEASED_DIR, released_names
from vinpaint.video.partial import PartialOutput

_BLOCK = 1 << 20  # bytes
_LARGEST = 2 << 30  # bytes; no published checkpoint is nearly as large
_PATIENCE = 60  # seconds without a byte


@command("weights")
def main(config: DictConfig) -> None:
    """List the weights that come with the library and the public checkpoints it knows, or turn one into a folder.

    vinpaint-weights                                               what there is, and where to get the rest
    vinpaint-weights convert=sttn.pth source=sttn output=sttn      config.json and model.safetensors, checked
    vinpaint-weights convert=sttn.pth source=sttn half=true        the same in half the bytes
    vinpaint-weights fetch=sttn                                    download it first: nothing else uses a network

    A folder is given to commands as weights=<folder>; the digest of its weights is checked whenever they are loaded.
    Checkpoints that hold pickled code are refused, not run.
    """
    if config.fetch is not None and config.convert is not None:
        raise ConfigError("convert and fetch: give one of them; what is fetched is converted by a second call")
    if config.fetch is not None:
        _fetch(config)
    elif config.convert is not None:
        _convert(config)
    else:
        _list()


def _list() -> None:
    print("Weights that come with the library:")
    for name in released_names():
        file = RELEASED_DIR / name / WEIGHTS_FILE
        digest, size = file_digest(file), f"{file.stat().st_size / 2**20:.2f} MiB"
        if read_config(file.parent).get(DIGEST_KEY) != digest:
            print(f"  {name}: {size}, sha256 {digest} WRONG: not the released weights, install the library again")
            continue
        parameters = sum(parameter.numel() for parameter in load_pretrained(file.parent).parameters())
        print(f"  {name}: {parameters:,} parameters, {size}, sha256 {digest} ok")
    print("\nPublic checkpoints, by source (nothing is fetched unless you ask with fetch=<source>):")
    for name, known in PUBLIC_CHECKPOINTS.items():
        print(f"  {name}: {known.parameters:,} parameters, {known.serves.format('<folder>')}\n    {known.fetch}")


def _convert(config: DictConfig) -> None:
    if config.source is None:
        raise ConfigError(f"convert={config.convert} of which source? add source={'|'.join(PUBLIC_CHECKPOINTS)}")
    source = str(config.source)
    known = _known("source", source)
    file = Path(str(config.convert)).expanduser()
    if not file.is_file():
        raise UserError(f"convert={file}: no such file; {known.fetch}")
    folder = Path(str(config.output)).expanduser() if config.output is not None else Path(file.stem)
    convert(file, source, folder, half=config.half)
    weights = folder / WEIGHTS_FILE
    print(f"{folder}: {weights.stat().st_size / 2**20:.2f} MiB, sha256 {file_digest(weights)}")
    print(f"use it: {known.serves.format(folder)}")


def _fetch(config: DictConfig) -> None:
    source = str(config.fetch)
    known = _known("fetch", source)
    url = str(config.url) if config.url is not None else known.url
    output = PartialOutput(Path(str(config.output)).expanduser() if config.output is not None else known.file)
    print(url)
    try:
        size, digest = _download(url, output.partial, known)
        if config.url is None and not digest.startswith(known.sha256):
            raise UserError(f"{url}: sha256 {digest}, published as {known.sha256}…: not kept; {known.fetch}")
        output.commit()
    finally:
        output.discard()
    print(f"{output.path}: {size / 2**20:.2f} MiB, sha256 {digest}")
    print(f"next: vinpaint-weights convert={output.path} source={source}")


def _download(url: str, file: Path, known: PublicCheckpoint) -> tuple[int, str]:
    """Write what a URL holds; its bytes and its SHA-256."""
    if urlsplit(url).scheme not in ("https", "http", "file"):
        raise ConfigError(f"url={url}: expected one that begins with https://, http:// or file://")
    digest, size = hashlib.sha256(), 0
    try:
        with urllib.request.urlopen(url, timeout=_PATIENCE) as answer, file.open("wb") as out:
            while block := answer.read(_BLOCK):
                if not size and block.lstrip().startswith(b"<"):
                    raise UserError(f"{url}: answers with a page, not with a checkpoint; {known.fetch}")
                size += len(block)
                if size > _LARGEST:
                    raise UserError(f"{url}: more than {_LARGEST >> 30} GiB, no checkpoint; {known.fetch}")
                digest.update(block)
                out.write(block)
    except (OSError, http.client.HTTPException) as error:
        raise UserError(f"{url}: cannot be fetched ({error}); {known.fetch}") from error
    if not size:
        raise UserError(f"{url}: is empty; {known.fetch}")
    return size, digest.hexdigest()


def _known(option: str, source: str) -> PublicCheckpoint:
    if source not in PUBLIC_CHECKPOINTS:
        hint = nearest(source, list(PUBLIC_CHECKPOINTS))
        raise ConfigError(f"{option}={source}: no public checkpoint of that name{hint}")
    return PUBLIC_CHECKPOINTS[source]


if __name__ == "__main__":
    main()
