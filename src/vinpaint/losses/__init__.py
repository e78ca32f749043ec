"""What training minimises: pure functions of clips and scores."""

from vinpaint.losses.adversarial import AdversarialLoss, GANLoss, gradient_penalty
from vinpaint.losses.perceptual import gram_matrix, perceptual_and_style
from vinpaint.losses.reconstruction import hole_l1, masked_l1, valid_l1

__all__ = [
    "AdversarialLoss",
    "GANLoss",
    "gradient_penalty",
    "gram_matrix",
    "hole_l1",
    "masked_l1",
    "perceptual_and_style",
    "valid_l1",
]
