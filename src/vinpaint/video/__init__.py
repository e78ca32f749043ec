"""Video in and out: clips are read lazily and exactly, and written beside and renamed at the end."""

from vinpaint.video.clip import ClipError, ClipReader, ClipWriter
from vinpaint.video.images import ImageClip
from vinpaint.video.memory import ArrayClip, ResizedClip
from vinpaint.video.opening import open_clip, open_writer

__all__ = ["ArrayClip", "ClipError", "ClipReader", "ClipWriter", "ImageClip", "ResizedClip", "open_clip", "open_writer"]
