"""Images on the grid and with the intensities of a network, and its predictions back."""

from __future__ import annotations

from spatial_duck.learning._augmentation import augment, random_affine, random_elastic
from spatial_duck.learning._conform import Conformed, conform, restore
from spatial_duck.learning._nnunet import (
    resample_data_or_seg_to_shape,
    resample_data_or_seg_to_spacing,
    resample_logits_to_labels,
)
from spatial_duck.learning._patches import Patches, patches

__all__ = [
    "Conformed",
    "Patches",
    "augment",
    "conform",
    "patches",
    "random_affine",
    "random_elastic",
    "resample_data_or_seg_to_shape",
    "resample_data_or_seg_to_spacing",
    "resample_logits_to_labels",
    "restore",
]
