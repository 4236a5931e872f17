"""The errors of spatial_duck: one family, each also the built-in error that a caller would expect.

Every message says what was expected, what came, and what to do.
"""

from __future__ import annotations

__all__ = [
    "BlockError",
    "FormatError",
    "FrameError",
    "GeometryError",
    "GeometryLossError",
    "GeometryMismatchError",
    "RegistrationError",
    "SpatialDuckError",
    "TooLargeError",
    "UnsafeInputError",
]


class SpatialDuckError(Exception):
    """Base class of all errors that spatial_duck raises on purpose."""


class GeometryError(SpatialDuckError, ValueError):
    """A geometry is not valid; the message names the field, the value and what is wanted."""


class GeometryMismatchError(GeometryError):
    """Two images in one operation do not lie on the same grid."""


class GeometryLossError(GeometryError):
    """An operation needs a position that was lost, or a format cannot hold the geometry."""


class FrameError(GeometryError):
    """An anatomical frame is unknown, or one is needed and not specified."""


class FormatError(SpatialDuckError, ValueError):
    """A file or foreign object does not hold what its format says."""


class TooLargeError(SpatialDuckError, MemoryError):
    """An array is larger than what may be read into memory at once, or than what can be made."""


class UnsafeInputError(FormatError):
    """An input asks for something unsafe: a path outside its folder, or memory beyond bounds."""


class BlockError(SpatialDuckError, RuntimeError):
    """A function that is run block by block raised; the message says where in the world.

    Attributes
    ----------
    number : tuple of int
        Which block, along each axis of the grid.
    window : tuple of (start, stop)
        Voxels of the block on the grid, with its halo.
    bounds : list of list of float, or None
        Lowest and highest world coordinates of the part that it answers for.
    """

    number: tuple[int, ...] = ()
    window: tuple[tuple[int, int], ...] = ()
    bounds: list[list[float]] | None = None


class RegistrationError(SpatialDuckError, RuntimeError):
    """Two images cannot be brought onto each other; the message says what was tried."""
