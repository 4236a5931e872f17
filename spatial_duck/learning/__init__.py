"""To the grid and intensities that a network wants, and back."""

from __future__ import annotations

from spatial_duck.learning._augmentation import augment, random_affine, random_elastic
from spatial_duck.learning._conform import Conformed, conform, restore

__all__ = ["Conformed", "augment", "conform", "random_affine", "random_elastic", "restore"]
