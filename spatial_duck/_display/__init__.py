"""What geometries, transforms and images show of themselves, as text and in notebooks.

`_describe` has the words, and `_drawing` the grids where they lie in the world, as SVG. `_image`
shows an image, with the thumbnails of `_pictures` in the colours of `_colors`; `_transform` shows
what a transform does to a grid. Nothing here computes, reads a store or copies from a device.
"""

from __future__ import annotations

__all__: list[str] = []
