"""A trained network in the place where ``flow_guided`` takes means of fixed weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from vinpaint.errors import UserError
from vinpaint.inference.flow_guided import FlowGuidedInpainter
from vinpaint.inference.flow_guided_fields import Floats, Levels
from vinpaint.inference.flow_guided_offer import Offer
from vinpaint.inference.inpainter import MaskedClip
from vinpaint.inference.placement import resolve_device
from vinpaint.models.fusion import Candidates, FusionNetwork
from vinpaint.ops.conversion import mask_to_tensor, to_tensor


class FusionInpainter:
    """``flow_guided`` with a network that mixes colours and corrects them, also what was never visible.

    Args:
        model: a trained network.
        base: the engine that carries and aligns; its ``fusion`` is replaced.
        device: ``auto`` is a GPU if there is one; ``keep`` is where the network is; or a device's name.

    Raises:
        UserError: if the network is none of this kind, or there is no such device.
    """

    def __init__(self, model: nn.Module, *, base: FlowGuidedInpainter, device: str = "auto") -> None:
        if not isinstance(model, FusionNetwork):
            raise UserError(
                f"model is a {type(model).__name__}: expected a FusionNetwork; choose another engine for it"
            )
        self.base = base
        self.base.fusion = NetworkFusion(model, device=device)

    def stream(self, clip: MaskedClip) -> Iterator[Tensor]:
        """Complete ``clip``; see :class:`vinpaint.inference.inpainter.Inpainter`."""
        return self.base.stream(clip)

    def stream_from(self, clip: MaskedClip, start: int, earlier: Callable[[int], Levels]) -> Iterator[Tensor]:
        """Go on with ``clip``; see :class:`vinpaint.inference.inpainter.ResumableInpainter`."""
        return self.base.stream_from(clip, start, earlier)


class NetworkFusion:
    """Judges by a :class:`vinpaint.models.fusion.FusionNetwork`.

    Args:
        network: trained; moved to the device, where it stays.
        device: ``auto`` is a GPU if there is one; ``keep`` is where the network is; or a device's name.

    Raises:
        UserError: if there is no such device.
    """

    def __init__(self, network: FusionNetwork, *, device: str = "auto") -> None:
        self._device = resolve_device(device, network)
        self.network = network.to(self._device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def __call__(self, offer: Offer) -> tuple[Floats, Floats]:
        """Judge the candidates of one frame, see :class:`vinpaint.inference.flow_guided_offer.Fusion`."""
        with torch.inference_mode():
            factors, residual = self.network.weigh(offer_tensors(offer, self._device))
        levels = residual[0].permute(1, 2, 0).float().mul(255).cpu().contiguous()
        return factors[0].float().cpu().contiguous().numpy(), levels.numpy()


def offer_tensors(offer: Offer, device: torch.device | None = None) -> Candidates:
    """Turn an offer into what a network reads, for one frame."""
    return Candidates(
        image=to_tensor(offer.image)[None].to(device),
        hole=mask_to_tensor(offer.hole)[None].to(device),
        missing=mask_to_tensor(offer.missing)[None].to(device),
        plain=to_tensor(offer.plain)[None].to(device),
        colours=to_tensor(offer.colours)[None].to(device),
        shares=torch.from_numpy(offer.shares).float()[None].to(device),
        offsets=torch.from_numpy(offer.offsets).float()[None].to(device),
    )
