"""`resample`: what the user says, turned into a plan and given to an executor."""

from __future__ import annotations

import math
import numbers
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from spatial_duck import backends
from spatial_duck._optional import require
from spatial_duck.array import SpatialArray, as_image, asarray, library_of, on_grid
from spatial_duck.array._crs import check_crs
from spatial_duck.array._nodata import warn_of_nodata
from spatial_duck.errors import GeometryError, TooLargeError
from spatial_duck.geometry import Geometry
from spatial_duck.geometry._points import axis_units
from spatial_duck.geometry._quantity import has_unit, in_unit, is_sequence
from spatial_duck.geometry._rounding import count_voxels
from spatial_duck.geometry._validation import is_whole
from spatial_duck.geometry._world import SPACE_AXES
from spatial_duck.resampling import _chunked as chunked
from spatial_duck.resampling import _device as device
from spatial_duck.resampling import _engines as engines
from spatial_duck.resampling import _memory as memory
from spatial_duck.resampling._blocks import check_fill, choose
from spatial_duck.resampling._explain import describe
from spatial_duck.resampling._planning import make_plan
from spatial_duck.transforms import Transform

if TYPE_CHECKING:
    from spatial_duck.resampling._coupled import Box
    from spatial_duck.resampling._plan import Plan


__all__ = [
    "geometry_of",
    "per_axis",
    "resample",
    "resample_onto",
    "resample_stored",
    "target_grid",
    "voxels_per_axis",
]

PerAxis = float | Sequence[float | None] | Mapping[str, float]


@overload
def resample(
    image: SpatialArray,
    to: Any = None,
    *,
    spacing: PerAxis | None = None,
    shape: Sequence[int | None] | Mapping[str, int] | None = None,
    transform: Transform | None = None,
    interpolation: str | None = None,
    fill: Any = 0,
    antialias: bool = False,
    mask: Literal[False] = False,
    explain: Literal[False] = False,
) -> SpatialArray: ...
@overload
def resample(
    image: SpatialArray,
    to: Any = None,
    *,
    spacing: PerAxis | None = None,
    shape: Sequence[int | None] | Mapping[str, int] | None = None,
    transform: Transform | None = None,
    interpolation: str | None = None,
    fill: Any = 0,
    antialias: bool = False,
    mask: Literal[True],
    explain: Literal[False] = False,
) -> tuple[SpatialArray, SpatialArray]: ...
@overload
def resample(
    image: SpatialArray,
    to: Any = None,
    *,
    spacing: PerAxis | None = None,
    shape: Sequence[int | None] | Mapping[str, int] | None = None,
    transform: Transform | None = None,
    interpolation: str | None = None,
    fill: Any = 0,
    antialias: bool = False,
    mask: bool = False,
    explain: Literal[True],
) -> str: ...
def resample(
    image: SpatialArray,
    to: Any = None,
    *,
    spacing: PerAxis | None = None,
    shape: Sequence[int | None] | Mapping[str, int] | None = None,
    transform: Transform | None = None,
    interpolation: str | None = None,
    fill: Any = 0,
    antialias: bool = False,
    mask: bool = False,
    explain: bool = False,
) -> Any:
    """Resample an image onto another grid.

    The world axes that image and target have in common take part. Other axes of the image, plain
    ones and those that run along other world axes (time, where the target has none), are carried
    along where they are; other axes of the target are left out. The target's axes take the places
    of those that they replace.

    Parameters
    ----------
    image : SpatialArray
        On an array of any backend but sparse. What is computed on a GPU or through the array API
        stays there, and gradients of floating values go through it.
    to : SpatialArray, Geometry or object with shape, spacing, origin and direction, optional
        The grid wanted; with a transform alone the image's own. It may be in another
        frame, unit or order of world axes, and may have fewer sampled axes than the world has
        axes: a slice of a volume.
    spacing : float, sequence or mapping of str to float, optional
        Spacing wanted. One number stands for all space axes; a sequence has an entry for each
        sampled axis, or for each space axis, where None keeps what is there; a mapping goes by
        name. Orientation and centre are kept, and the grid is just long enough that no part of
        the extent is lost: ``shape = ceil(extent / spacing)``. Where the extent is a whole number
        of spacings it is kept from corner to corner.
    shape : sequence or mapping of str to int, optional
        Number of voxels wanted, given as `spacing` is. Without a spacing the extent is kept, and
        divided among the voxels.
    transform : Transform, optional
        Maps points of the output to points of the image.
    interpolation : {"linear", "nearest", "cubic", "quintic", "lanczos", "label"}, optional
        How values between voxels are made; by default linear, and nearest for bool. Integers are
        rounded to the nearest, halves to even.
        Cubic and quintic are B-splines through the values, mirrored at the outermost voxel
        centres; Lanczos has a radius of 5 voxels, and weights that sum to 1. Label takes the value
        that has most of the linear weight around a point, the smallest of several.
    fill : scalar or "edge"
        Value of voxels that lie outside the image: more than half a voxel from its outermost voxel
        centres. Nearer ones have the value at the edge (the mirrored one, for B-splines and
        Lanczos as in ITK), and all have the edge's with ``"edge"``.
    antialias : bool
        Smooth along axes where the output's voxels are larger, by a Gaussian of 0.7 times the root
        of the difference of the squared spacings. For labels the weights reach as far as the new
        spacing instead.
    mask : bool
        Return an image of bool beside the result: True where a voxel lies inside the image.
    explain : bool
        Return what would be done and read, as text, and do nothing.

    Returns
    -------
    SpatialArray
        Where no arithmetic is needed, on a view of the data; where the image is on a Dask or Zarr
        array, on a lazy Dask array; on the GPU where the image is. A tuple with ``mask=True``, a
        string with ``explain=True``.

    Raises
    ------
    GeometryLossError
        If positions that are needed were lost.
    GeometryError
        If image and target do not fit.
    GeometryMismatchError
        If no transform is given, and both are rasters whose ``attrs["crs"]`` have different codes
        of EPSG: their coordinates do not mean the same places.
    TypeError
        If the image's type or backend cannot be interpolated so.
    TooLargeError
        If the result is larger than any array, or has more chunks than can be planned.

    Examples
    --------
    >>> image = SpatialArray(np.arange(8.0).reshape(2, 4), spacing=(2.0, 1.0))
    >>> resample(image, spacing=1).data
    array([[0., 1., 2., 3.],
           [1., 2., 3., 4.],
           [3., 4., 5., 6.],
           [4., 5., 6., 7.]])
    """
    image = as_image(image, "resample")
    if transform is not None and to is None and spacing is None and shape is None:
        to = image.geometry
    if transform is None:  # which may be the one between two systems
        check_crs(image, to, "resample")
    target = target_grid(image.geometry, to, spacing=spacing, shape=shape)
    return resample_onto(
        image, target, transform=transform, interpolation=interpolation, fill=fill,
        antialias=antialias, mask=mask, explain=explain,
    )  # fmt: skip


def resample_onto(
    image: SpatialArray,
    target: Geometry,
    *,
    dtype: Any = None,
    transform: Transform | None = None,
    interpolation: str | None = None,
    fill: Any = 0,
    antialias: bool = False,
    mask: bool = False,
    explain: bool = False,
) -> Any:
    """Resample an image onto a grid, after conversion to another type.

    Parameters
    ----------
    image : SpatialArray
        The image.
    target : Geometry
        The grid.
    dtype : dtype, optional
        The type; that of the image by default. What is stored is converted as it is read, so that
        it is still read in the order of its chunks.
    transform, interpolation, fill, antialias, mask, explain
        As for `resample`.
    """
    later = None
    if dtype is not None and np.dtype(dtype) != image.dtype:
        if backends.is_stored(image.data):
            later = np.dtype(dtype)
        else:
            image = image.astype(dtype, copy=False)
    data = image.data
    kind = backends.host_type(data.dtype) if later is None else later
    interpolation = choose(interpolation, kind)
    if interpolation not in ("nearest", "label"):
        warn_of_nodata(image, "resample")
    if antialias and interpolation == "nearest":
        raise ValueError(
            "antialias smooths, and nearest makes no new values; use 'label' for labels, 'linear' "
            "for numbers"
        )
    edge = isinstance(fill, str) and fill == "edge"
    value = check_fill(0 if edge else fill, kind)
    if math.prod(target.shape) * kind.itemsize > sys.maxsize:
        raise TooLargeError(
            f"resample: a result of shape {target.shape} is larger than any array; is the spacing "
            "in the unit of the image's world?"
        )
    plan = make_plan(
        image.geometry, target, transform, interpolation, edge=edge, antialias=antialias
    )
    if explain:
        return describe(plan, image)
    result = on_grid(image, _execute(plan, data, value, later), plan.geometry)
    if not mask:
        return result
    inside = make_plan(image.geometry, target, transform, "nearest")
    met = SpatialArray(_execute(inside, _all_true(data), False), plan.geometry)
    return result, met


def _execute(plan: Plan, data: Any, fill: Any, dtype: Any = None) -> Any:
    """Run a plan by the executor of the array's kind; stored arrays are converted to `dtype`."""
    if engines.on_host(data):
        return memory.execute(plan, data, fill)
    if backends.is_lazy(data):
        return chunked.execute(plan, data, fill, dtype)
    if backends.has_namespace(data):
        return device.execute(plan, data, fill)
    backend = backends.backend_of(data)
    return backend.take(memory.execute(plan, backends.host_form(data, "resample"), fill))


def resample_stored(
    image: SpatialArray,
    target: Geometry,
    read: Callable[[Box], Any],
    *,
    transform: Transform | None = None,
    interpolation: str | None = None,
    fill: Any = 0,
) -> SpatialArray:
    """Resample a stored image at once, through a function that returns boxes of its data.

    Parameters
    ----------
    image : SpatialArray
        An image, whose data are not read.
    target : Geometry
        The grid wanted.
    read : callable
        Takes the first index and the one after the last along each axis.
    transform, interpolation, fill
        As for `resample`.
    """
    dtype = backends.host_type(image.dtype)
    value = check_fill(fill, dtype)
    plan = make_plan(image.geometry, target, transform, choose(interpolation, dtype))
    return on_grid(image, memory.execute_boxes(plan, read, dtype, value), plan.geometry)


def _all_true(data: Any) -> Any:
    """Return an array of the same kind and shape that is True everywhere, and takes no memory."""
    if backends.is_lazy(data):
        da = require("dask.array", "Resampling an array in chunks")
        lazy = backends.chunked(data, None)
        ones = da.ones(lazy.shape, chunks=lazy.chunks, dtype=bool)
        return ones if backends.is_on_host(data) else lazy.map_blocks(device.all_true, dtype=bool)
    if not backends.has_namespace(data):
        return np.broadcast_to(np.ones((), bool), data.shape)
    return device.all_true(data)


def target_grid(
    geometry: Geometry,
    to: Any = None,
    *,
    spacing: PerAxis | None = None,
    shape: Sequence[int | None] | Mapping[str, int] | None = None,
) -> Geometry:
    """Return the grid that is wanted.

    Parameters
    ----------
    geometry : Geometry
        That of the image.
    to, spacing, shape
        As for `resample`.
    """
    if to is None and spacing is None and shape is None:
        raise TypeError(
            "resample needs to know the grid wanted: give to=, spacing= or shape=, or "
            "a transform= to stay on the image's own"
        )
    grid = geometry if to is None else geometry_of(to)
    if spacing is None and shape is None:
        return grid
    spacings = per_axis("spacing", spacing, grid)
    lengths = voxels_per_axis("shape", shape, grid)
    new, sizes, moves = list(grid.spacing), list(grid.shape), []
    for k, axis in enumerate(grid.sampled_axes):
        extent = grid.shape[axis] * new[k]
        s, n = spacings[k], lengths[k]
        if s is not None and not 0 < s < math.inf:
            raise GeometryError(f"spacing must be positive and finite, got {spacing!r}")
        if n and s is None and not grid.shape[axis]:
            raise GeometryError(
                f"resample: the image is empty, of shape {grid.shape}, so that shape={shape!r} "
                "gives no spacing; give spacing= too, or an image with voxels"
            )
        if n is None:
            count = count_voxels(extent / (s or new[k]))
            n = sizes[axis] if s is None or s == new[k] else max(count, 1)
            n = n if grid.shape[axis] else 0
        elif s is None:
            s = extent / n if n != sizes[axis] else new[k]
        s = new[k] if s is None else float(s)
        moves.append(((grid.shape[axis] - 1) * new[k] - (n - 1) * s) / 2)
        new[k], sizes[axis] = s, n
    origin = grid.origin + grid.direction @ np.array(moves, dtype=np.float64)
    return grid.replace(shape=sizes, spacing=new, origin=origin.tolist())


def geometry_of(to: Any) -> Geometry:
    """Return the geometry of anything that has one."""
    if isinstance(to, Geometry):
        return to
    found = getattr(to, "geometry", None)
    if isinstance(found, Geometry):
        return found
    missing = [n for n in ("shape", "spacing", "origin", "direction") if not hasattr(to, n)]
    if library_of(to) is not None:
        return asarray(to).geometry
    if missing:
        hint = (
            "a new spacing is given by name: spacing=..."
            if isinstance(to, numbers.Real | list | tuple)
            else "asarray(...) makes an image of any that is supported"
        )
        raise TypeError(
            "to must be an image, a Geometry, or an object with shape, spacing, origin and "
            f"direction; {type(to).__name__} has no {', '.join(missing)}; {hint}"
        )
    extra = {name: getattr(to, name, None) for name in ("dims", "world", "frame", "unit")}
    if extra["world"] is not None:
        extra["frame"] = extra["unit"] = None
    return Geometry(to.shape, to.spacing, to.origin, to.direction, **extra)


def voxels_per_axis(field: str, given: Any, grid: Geometry, least: int = 1) -> list[int | None]:
    """Return one number of voxels, or None, for each sampled axis.

    Raises
    ------
    GeometryError
        If one is not a whole number or too small, or came with a unit of length.
    """
    if has_unit(given):
        raise GeometryError(f"{field} counts voxels, and takes no lengths, got {given!r}")
    found = per_axis(field, given, grid)
    for n in found:
        if n is not None and not is_whole(n, least):
            raise GeometryError(f"{field} must hold ints of {least} or more, got {given!r}")
    return [None if n is None else int(n) for n in found]


def per_axis(field: str, given: Any, grid: Geometry) -> list[float | None]:
    """Return one length in its unit, or None, for each sampled axis.

    Raises
    ------
    GeometryError
        If one is not a number, or in a unit that cannot be converted.
    """
    values: list[float | None] = []
    for entry, unit in zip(entries_per_axis(field, given, grid), axis_units(grid), strict=True):
        value = in_unit(entry, unit, field)
        try:
            values.append(value if value is None or isinstance(value, int) else float(value))
        except (TypeError, ValueError):
            raise GeometryError(
                f"{field} must be one number, one for each axis, or a mapping by axis name, got "
                f"{given!r}"
            ) from None
    return values


def entries_per_axis(field: str, given: Any, grid: Geometry) -> list[Any]:
    """Return what was given for each sampled axis, or None: with its unit, if it has one."""
    names = [grid.dims[i] for i in grid.sampled_axes]
    rows = [r for r, name in enumerate(grid.world.axes) if name in SPACE_AXES]
    space = [k for k, column in enumerate(grid.direction.T) if column[rows].any()]
    values: list[Any] = [None] * len(names)
    if given is None:
        return values
    if isinstance(given, Mapping):
        unknown = [name for name in given if name not in names]
        if unknown:
            raise GeometryError(f"{field}: {unknown!r} are not among the sampled axes {names!r}")
        return [given.get(name) for name in names]
    entries = list(given) if is_sequence(given) else [given] * len(space or names)
    if len(entries) == len(names):
        return entries
    if len(entries) != len(space):
        raise GeometryError(
            f"{field} must have an entry for each sampled axis {tuple(names)!r}, or for each of "
            f"the {len(space)} space axes among them, got {entries!r}"
        )
    for k, value in zip(space, entries, strict=True):
        values[k] = value
    return values
