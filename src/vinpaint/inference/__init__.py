"""Engines: what completes a clip of any length and size, frame by frame."""

from vinpaint.inference.inpainter import Inpainter, MaskedClip
from vinpaint.inference.schedule import Window, window_schedule
from vinpaint.inference.window import WindowInpainter
from vinpaint.inference.window_model import WindowModel

__all__ = ["Inpainter", "MaskedClip", "Window", "WindowInpainter", "WindowModel", "window_schedule"]
