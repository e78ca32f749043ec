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
    """``flow_guided`` with a network that mixes what frames show and corrects it; what none shows it leaves alone.

    Args:
        model: a trained network.
        base: the engine that carries and aligns; its ``fusion`` is replaced.
        strength: share of the network's correction that is applied, in [0, 1]. A network that minimises squared errors
            blurs what it doubts; less than all of it keeps frames sharper.
        device: ``auto`` is a GPU if there is one; ``keep`` is where the network is; or a device's name.

    Raises:
        UserError: if the network is none of this kind, the strength is out of its range, or there is no such device.
    """

    def __init__(
        self, model: nn.Module, *, base: FlowGuidedInpainter, strength: float = 0.7, device: str = "auto"
    ) -> None:
        if not isinstance(model, FusionNetwork):
            raise UserError(
                f"model is a {type(model).__name__}: expected a FusionNetwork; choose another engine for it"
            )
        self.base = base
        self.base.fusion = NetworkFusion(model, strength=strength, device=device)

    def stream(self, clip: MaskedClip) -> Iterator[Tensor]:
        """Complete ``clip``; see :class:`vinpaint.inference.inpainter.Inpainter`."""
        return self.base.stream(clip)

    def stream_from(self, clip: MaskedClip, start: int, earlier: Callable[[int], Levels]) -> Iterator[Tensor]:
        """Go on with ``clip``; see :class:`vinpaint.inference.inpainter.ResumableInpainter`."""
        return self.base.stream_from(clip, start, earlier)

    def stream_carrying(
        self, clip: MaskedClip, start: int, carried: Callable[[int], Levels]
    ) -> Iterator[tuple[Tensor, Levels]]:
        """Go on with ``clip``; see :class:`vinpaint.inference.inpainter.CarryingInpainter`."""
        return self.base.stream_carrying(clip, start, carried)

    def stream_with_gaps(self, clip: MaskedClip) -> Iterator[tuple[Tensor, Tensor]]:
        """Complete ``clip``; see :class:`vinpaint.inference.inpainter.GapTellingInpainter`."""
        return self.base.stream_with_gaps(clip)


class NetworkFusion:
    """Judges by a :class:`vinpaint.models.fusion.FusionNetwork`.

    Args:
        network: trained; moved to the device, where it stays.
        strength: share of the network's correction that is applied, in [0, 1].
        device: ``auto`` is a GPU if there is one; ``keep`` is where the network is; or a device's name.

    Raises:
        UserError: if the strength is out of its range, or there is no such device.
    """

    def __init__(self, network: FusionNetwork, *, strength: float = 1.0, device: str = "auto") -> None:
        if not 0 <= strength <= 1:
            raise UserError(f"strength={strength}: expected a share in [0, 1]")
        self.strength = strength
        self._device = resolve_device(device, network)
        self.network = network.to(self._device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def __call__(self, offer: Offer) -> tuple[Floats, Floats]:
        """Judge the candidates of one frame, see :class:`vinpaint.inference.flow_guided_offer.Fusion`."""
        with torch.inference_mode():
            coefficients, residual = self.network.weigh(offer_tensors(offer, self._device))
        shares = coefficients[0].float().mul(self.strength).cpu().contiguous()
        levels = residual[0].permute(1, 2, 0).float().mul(255 * self.strength).cpu().contiguous()
        return shares.numpy(), levels.numpy()


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
