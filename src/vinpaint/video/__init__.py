"""Video in and out: clips are read lazily and exactly, and written beside and renamed at the end."""

from vinpaint.video.clip import ClipError, ClipReader
from vinpaint.video.images import ImageClip
from vinpaint.video.memory import ArrayClip, ResizedClip
from vinpaint.video.opening import open_clip

__all__ = ["ArrayClip", "ClipError", "ClipReader", "ImageClip", "ResizedClip", "open_clip"]
