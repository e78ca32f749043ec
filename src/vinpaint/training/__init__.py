"""Lightning modules: how a network is trained, apart from what it is."""

from vinpaint.training.cpnet_module import CPNetModule
from vinpaint.training.flow_module import FlowModule
from vinpaint.training.fusion_data import FusionDataModule
from vinpaint.training.fusion_module import FusionModule
from vinpaint.training.gan_module import Completion, DivergedError, GANModule
from vinpaint.training.recipe import Game, Optimization
from vinpaint.training.stra_net_module import STRANetModule
from vinpaint.training.sttn_module import STTNModule

__all__ = [
    "CPNetModule",
    "Completion",
    "DivergedError",
    "FlowModule",
    "FusionDataModule",
    "FusionModule",
    "GANModule",
    "Game",
    "Optimization",
    "STRANetModule",
    "STTNModule",
]
