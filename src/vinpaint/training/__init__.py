"""Lightning modules: how a network is trained, apart from what it is."""

from vinpaint.training.gan_module import Completion, DivergedError, GANModule
from vinpaint.training.recipe import Game, Optimization
from vinpaint.training.sttn_module import STTNModule

__all__ = ["Completion", "DivergedError", "GANModule", "Game", "Optimization", "STTNModule"]
