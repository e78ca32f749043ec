"""vinpaint: deep video inpainting that a researcher sweeps and a person with a clip and a mask simply uses.

>>> from vinpaint import inpaint_video
>>> inpaint_video("clip.mp4", "masks/", "completed.mp4", dilation=4)  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vinpaint._version import __version__

if TYPE_CHECKING:
    from vinpaint.api import inpaint_frames, inpaint_video, load_inpainter, load_model
    from vinpaint.inference.flow_guided import FlowGuidedInpainter
    from vinpaint.inference.inpainter import Inpainter, MaskedClip
    from vinpaint.inference.recurrent import RecurrentInpainter
    from vinpaint.inference.two_pass import TwoPassInpainter
    from vinpaint.inference.window import WindowInpainter
    from vinpaint.masks import open_masks
    from vinpaint.models.cpnet import CPNet
    from vinpaint.models.hifill_discriminator import HiFillDiscriminator
    from vinpaint.models.stra_net import STRANet
    from vinpaint.models.sttn import STTN
    from vinpaint.models.t_patch_gan import TPatchGAN
    from vinpaint.video import open_clip, open_writer

__all__ = [
    "STTN",
    "CPNet",
    "FlowGuidedInpainter",
    "HiFillDiscriminator",
    "Inpainter",
    "MaskedClip",
    "RecurrentInpainter",
    "STRANet",
    "TPatchGAN",
    "TwoPassInpainter",
    "WindowInpainter",
    "__version__",
    "inpaint_frames",
    "inpaint_video",
    "load_inpainter",
    "load_model",
    "open_clip",
    "open_masks",
    "open_writer",
]

# Loaded when first asked for: `import vinpaint` stays light, and no video, training or configuration library is needed
# for a part that does not use it.
_HOMES = {
    "CPNet": "vinpaint.models.cpnet",
    "FlowGuidedInpainter": "vinpaint.inference.flow_guided",
    "HiFillDiscriminator": "vinpaint.models.hifill_discriminator",
    "Inpainter": "vinpaint.inference.inpainter",
    "MaskedClip": "vinpaint.inference.inpainter",
    "RecurrentInpainter": "vinpaint.inference.recurrent",
    "STRANet": "vinpaint.models.stra_net",
    "STTN": "vinpaint.models.sttn",
    "TPatchGAN": "vinpaint.models.t_patch_gan",
    "TwoPassInpainter": "vinpaint.inference.two_pass",
    "WindowInpainter": "vinpaint.inference.window",
    "inpaint_frames": "vinpaint.api",
    "inpaint_video": "vinpaint.api",
    "load_inpainter": "vinpaint.api",
    "load_model": "vinpaint.api",
    "open_clip": "vinpaint.video",
    "open_masks": "vinpaint.masks",
    "open_writer": "vinpaint.video",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vinpaint' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
