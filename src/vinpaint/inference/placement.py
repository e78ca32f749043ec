"""Where a network runs, and in which precision."""

from __future__ import annotations

import copy
from typing import Literal, TypeVar

import torch
from torch import nn

from vinpaint.errors import UserError

Precision = Literal["fp32", "bf16", "fp16"]
N = TypeVar("N", bound=nn.Module)

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(device: str, network: nn.Module) -> torch.device:
    """Find the device a setting means.

    Args:
        device: ``auto`` is a GPU if there is one; ``keep`` is where the network is; or a device's name.
        network: the network that is to run there.

    Raises:
        UserError: if there is no such device.
    """
    if device == "keep":
        return next((value.device for value in network.parameters()), torch.device("cpu"))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise UserError(f"device={device}: expected auto, keep, cpu or cuda:0") from error
    if found.type != "cuda":
        return found
    if not torch.cuda.is_available():
        raise UserError(f"device={device}: no GPU is available; use device=cpu")
    return torch.device("cuda", torch.cuda.current_device() if found.index is None else found.index)


def resolve_precision(precision: Precision) -> torch.dtype:
    """Find the type of numbers a setting means.

    Raises:
        UserError: if it is none of ``fp32``, ``bf16`` and ``fp16``.
    """
    if precision not in _DTYPES:
        raise UserError(f"precision={precision}: expected {', '.join(_DTYPES)}")
    return _DTYPES[precision]


def place(network: N, device: torch.device, precision: Precision) -> N:
    """Bring a network to a device and a precision: a copy, unless it already is there.

    Args:
        network: never changed.
        device: where to.
        precision: ``fp32``, ``bf16`` or ``fp16``, of weights and features.

    Raises:
        UserError: if the precision is none of these.
    """
    dtype = resolve_precision(precision)
    if all(value.device == device and value.dtype == dtype for value in network.parameters()):
        return network
    return copy.deepcopy(network).to(device=device, dtype=dtype)
