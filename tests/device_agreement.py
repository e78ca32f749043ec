"""How near a device comes to float64 on the CPU, precision by precision."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

PRECISIONS = ("float32", "tf32", "bf16")


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Let float32 products and convolutions round their factors to TF32, or forbid it."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def cast(values: Any, device: torch.device | str, dtype: torch.dtype) -> Any:
    """Tensors, also in a dict, on a device; floating ones in a type."""
    if isinstance(values, dict):
        return {key: cast(value, device, dtype) for key, value in values.items()}
    return values.to(device, dtype if values.is_floating_point() else values.dtype)


def relative_error(outputs: Sequence[Tensor], references: Sequence[Tensor]) -> float:
    """The largest of ``||output - reference|| / ||reference||``; NaN if any number is."""
    errors = []
    for output, reference in zip(outputs, references, strict=True):
        assert output.shape == reference.shape
        exact = reference.double()
        assert exact.norm() > 0, "a reference of zeros tells nothing"
        errors.append((output.detach().cpu().double() - exact).norm() / exact.norm())
    return float(torch.stack(errors).max())  # max of torch keeps NaN


@dataclass(frozen=True)
class Case:
    """A network and what it is given.

    Attributes:
        name: for the table.
        build: makes the network.
        inputs: draws its inputs, float64 on the CPU.
        run: gives the outputs to compare.
        half_weights: ``bf16`` is the type of the weights, as in the engines; otherwise autocast's, as in training.
        limits: relative error allowed, by precision; a precision that is absent is not tried.
    """

    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[], tuple[Any, ...]]
    run: Callable[..., Sequence[Tensor]]
    half_weights: bool = False
    limits: dict[str, float] = field(default_factory=lambda: {"float32": 1e-4, "tf32": 1e-2, "bf16": 6e-2})

    def error(self, device: torch.device, precision: str) -> float:
        """Relative error on ``device``, on inputs drawn for this call."""
        network = self.build().eval().requires_grad_(False)
        inputs = self.inputs()
        reference = self._outputs(copy.deepcopy(network), inputs, torch.device("cpu"), torch.float64)
        half = precision == "bf16"
        dtype = torch.bfloat16 if half and self.half_weights else torch.float32
        autocast = torch.autocast(device.type, torch.bfloat16, enabled=half and not self.half_weights)
        with tf32(precision == "tf32"), autocast:
            outputs = self._outputs(network, inputs, device, dtype)
        return relative_error(outputs, reference)

    @torch.no_grad()
    def _outputs(
        self, network: nn.Module, inputs: tuple[Any, ...], device: torch.device, dtype: torch.dtype
    ) -> Sequence[Tensor]:
        # inputs stay float32 where weights are halved: that is how the engines call networks
        wide = torch.float32 if dtype is torch.bfloat16 else dtype
        return self.run(network.to(device, dtype), *(cast(value, device, wide) for value in inputs))
