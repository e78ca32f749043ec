"""vinpaint: deep video inpainting that a researcher sweeps and a person with a clip and a mask simply uses."""

from __future__ import annotations

from vinpaint._version import __version__

__all__ = ["__version__"]
