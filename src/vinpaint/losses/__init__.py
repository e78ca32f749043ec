"""What training minimises: pure functions of clips and scores."""

from vinpaint.losses.adversarial import AdversarialLoss, GANLoss, gradient_penalty
from vinpaint.losses.alignment import alignment_l1
from vinpaint.losses.flow import LEVEL_WEIGHTS, end_point_error, multi_scale_end_point_error
from vinpaint.losses.perceptual import LayerReduction, gram_matrix, perceptual_and_style
from vinpaint.losses.reconstruction import Normalisation, hole_l1, masked_l1, region_l1, valid_l1
from vinpaint.losses.smoothness import total_variation

__all__ = [
    "LEVEL_WEIGHTS",
    "AdversarialLoss",
    "GANLoss",
    "LayerReduction",
    "Normalisation",
    "alignment_l1",
    "end_point_error",
    "gradient_penalty",
    "gram_matrix",
    "hole_l1",
    "masked_l1",
    "multi_scale_end_point_error",
    "perceptual_and_style",
    "region_l1",
    "total_variation",
    "valid_l1",
]
