"""Masks and label images: keep, remove, grow and renumber objects, with sizes in world units.

Volumes and distances are in world units, so that the same numbers hold on every grid. Bare masks
come from anywhere: a threshold, a network, a reader. Lazy images are worked on chunk by chunk.
"""

from __future__ import annotations

from spatial_duck.segmentation._objects import (
    expand_labels,
    keep_largest,
    relabel_sequential,
    remove_small_objects,
)

__all__ = ["expand_labels", "keep_largest", "relabel_sequential", "remove_small_objects"]
