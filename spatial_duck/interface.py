"""The duck interface of images that know where they are: a specification.

An image is an array that says where its voxels lie. A library that writes for this interface
accepts any class that has it, and imports none of them; `spatial_duck.testing.check` reports
whether a class implements it correctly.

The three attributes
--------------------
For the vector ``i`` of (fractional) indices along the n sampled axes of an array::

    world = origin + direction @ (spacing * i)

``spacing``, shape (n,)
    Distance between the centres of neighbouring voxels along each sampled axis: finite and above
    zero, in the order of the array's axes.
``origin``, shape (w,)
    Place of the *centre* of the voxel at index 0, in the order of the world's axes.
``direction``, shape (w, n)
    One column for each sampled axis, in the order of the array's axes, and one row for each world
    axis: the unit vector along which the axis runs. It need not be at right angles, and it is not
    square where the array has fewer axes than the world: a slice of a volume has w = 3 and n = 2.
    A type without it runs along the world's axes: its direction is the identity.

They are attributes, not methods, of any type that ``numpy.asarray`` takes. ``numpy.asarray(image)``
gives the array, whose axes are those that the attributes speak of; its ``shape`` is the image's.
Without further words the world's axes are named as the sampled axes, in the same order. Nothing is
reversed without its name moving with it.

Optional parts
--------------
``dims``
    A name for each array axis; ``x``, ``y``, ``z`` are axes of space and ``t`` of time.
``sampled_axes``
    The array axes that have positions, as integers, where not all of them have: a channel has none,
    and an axis whose positions were lost has none either.
``frame``, ``unit``
    Which way the anatomical x, y, z point, such as ``"LPS"``; the unit of each world axis.
``spacing_xyz``, ``spacing_zyx``, ``origin_xyz``, ...
    The same numbers in an order that the name says, as ITK offers them.
``index_to_physical(index)``, ``physical_to_index(point)``
    The equation above and its inverse, for one index or point.
``__array_ufunc__`` (NEP 13), ``__array_function__`` (NEP 18)
    A class that has NumPy's protocols says that NumPy's functions give images whose voxels are
    where they were.
``__array_namespace__``
    The same for the functions of the array API standard.

Levels of conformance
---------------------
A class may stop at any level, and may leave out parts of one by raising an error. What it offers
must be right.

``attributes``
    What was given comes back. NaN, infinite and zero spacing are refused.
``indexing``
    ``image[key]`` is an image in which every voxel is where it was: the first voxel that is left
    gives the origin; a step of 2 doubles the spacing; a negative step turns the direction; an
    integer takes a plane, which still lies in the whole world; a new axis has no position.
``functions``
    NumPy's functions give the values that they give for the array, to the bit, and the place that
    follows: flip, rot90, transpose, pad, split, concatenate, stack and repeat move it, elementwise
    functions keep it, reductions take an axis out of it. An axis that cannot keep its positions has
    none in the result; it never has false ones. Images on different grids do not mix.
``lazy``
    None of this computes, reads or copies to the host what the array has not been asked for.
``exchange``
    Copies and pickles are the same image; the array API's functions and DLPack work.

A bare array instead of an image is an honest answer of a class that has neither of NumPy's
protocols; from one that has, it is a silent loss of the geometry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

__all__ = ["SpatialImage"]


@runtime_checkable
class SpatialImage(Protocol):
    """The duck interface: an array that says where its voxels lie.

    ``spacing`` has a number for each sampled axis in array-axis order, ``origin`` the world
    position of the centre of the voxel at index 0, ``direction`` a column for each sampled axis.
    ``dims``, ``frame`` and ``unit`` are read where they are there. `spatial_duck.interface` is the
    specification.
    """

    @property
    def spacing(self) -> Sequence[float]:
        """Distance between voxel centres along each sampled axis."""

    @property
    def origin(self) -> Sequence[float]:
        """World position of the first voxel's centre."""

    @property
    def direction(self) -> Any:
        """Unit vectors of the sampled axes, as columns."""
