"""Operations in physical space that move no value: `reorient`, `crop`, `pad_to`, and `sample`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spatial_duck import backends
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.errors import FrameError, GeometryError, GeometryLossError
from spatial_duck.geometry import Geometry
from spatial_duck.geometry._points import nearest_axes
from spatial_duck.geometry._quantity import in_unit, lengths_along
from spatial_duck.geometry._rounding import rounding_tolerance
from spatial_duck.geometry._world import OPPOSITE
from spatial_duck.resampling._api import voxels_per_axis
from spatial_duck.resampling._blocks import choose
from spatial_duck.resampling._device_values import place_of
from spatial_duck.resampling._sampling import values_at_points, zeros

if TYPE_CHECKING:
    Floats = NDArray[np.float64]

__all__ = ["crop", "pad_to", "reorient", "sample"]

Bounds = ArrayLike | Mapping[str, tuple[float, float]]


def reorient(
    image: SpatialArray, orientation: str | None = None, *, like: Any = None
) -> SpatialArray:
    """Permute and flip the space axes into the nearest anatomical orientation: a view.

    Parameters
    ----------
    image : SpatialArray
        With a frame.
    orientation : str
        Where each space axis of the array runs to, in array-axis order, one letter each of L/R,
        P/A and S/I: ``"RAS"`` makes the first one run to the right. As many letters as the image
        has space axes.
    like : SpatialArray or Geometry
        In place of an orientation: something whose space axes run as they are to run, and whose
        names they are to have.

    Returns
    -------
    SpatialArray
        Its space axes permuted among their places and flipped, nothing more. Oblique axes count
        as the nearest anatomical ones and stay oblique. Each is named after the world axis that
        it then runs nearest to, so that a file, which stores x, y and z by name, has axes that
        run to the letters asked for; or as those of `like`.

    Raises
    ------
    FrameError
        If the image has no frame, or the orientation is not a code that its axes can have.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> image = sd.SpatialArray(np.zeros((3, 4, 5)), frame="LPS")
    >>> image.geometry.orientation
    'SPL'
    >>> turned = reorient(image, "RAS")
    >>> turned.shape, turned.dims, turned.geometry.orientation
    ((5, 4, 3), ('x', 'y', 'z'), 'RAS')
    """
    image = as_image(image, "reorient", keeps_mask=True)
    if (orientation is None) == (like is None):
        raise TypeError("reorient needs either an orientation such as 'RAS', or like=")
    geometry = image.geometry
    now = geometry.orientation
    model = None
    if like is not None:
        model = (
            like
            if isinstance(like, Geometry)
            else as_image(like, "reorient (like=)", keeps_mask=True).geometry
        )
        orientation = model.orientation
    wanted = orientation.upper() if isinstance(orientation, str) else ""
    lines = [{letter, OPPOSITE[letter]} for letter in now]
    if (
        len(wanted) != len(now)
        or any(w not in OPPOSITE for w in wanted)
        or not all(any(w in line for w in wanted) for line in lines)
    ):
        geometry.require_positions("reorient")
        raise FrameError(
            f"orientation must have one letter for each space axis of the image, which runs to "
            f"{now!r}, each letter that or its opposite, in any order; got {orientation!r}"
        )
    places = [axis for axis, _, _ in nearest_axes(geometry)]
    order, flips = list(range(geometry.ndim)), [slice(None)] * geometry.ndim
    for place, letter in zip(places, wanted, strict=True):
        source = next(i for i, line in enumerate(lines) if letter in line)
        order[place] = places[source]
        if now[source] != letter:
            flips[place] = slice(None, None, -1)
    moved: Any = image if order == sorted(order) else np.transpose(image, order)
    turned: SpatialArray = moved[tuple(flips)] if slice(None, None, -1) in flips else moved
    names = dict(enumerate(turned.dims))
    names |= {axis: name for axis, name, _ in nearest_axes(turned.geometry)}
    if model is not None:
        of_model = [model.dims[axis] for axis, _, _ in nearest_axes(model)]
        names |= dict(zip(places, of_model, strict=True))
    dims = tuple(names.values())
    return turned if dims == turned.dims else turned.replace(dims=dims)


def _corners(geometry: Geometry, bounds: Bounds) -> Floats:
    """Return the lowest and the highest coordinates of a box of the world, shape (2, n_world)."""
    world = geometry.world.axes
    unknown = [n for n in bounds if n not in world] if isinstance(bounds, Mapping) else []
    if unknown:
        raise GeometryError(f"bounds: {unknown!r} are not among the world axes {world!r}")
    given = lengths_along(bounds, world, geometry.unit, "bounds")
    try:
        if isinstance(given, Mapping):
            ranges = [given.get(name, (-np.inf, np.inf)) for name in world]
            values = np.array(list(zip(*ranges, strict=True)), dtype=np.float64)
        else:
            values = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape != (2, len(world)) or np.isnan(values).any() or (values[0] > values[1]).any():
        raise GeometryError(
            f"bounds must have shape (2, {len(world)}): the lowest and the highest coordinates "
            f"along the world axes {world!r}, as image.bounds gives them, or map names of these to "
            f"(lowest, highest); got {bounds!r}"
        )
    return values


def _index_box(geometry: Geometry, bounds: Bounds, what: str) -> Floats:
    """Return the range of (fractional) indices along each array axis that bounds cover.

    Returns
    -------
    ndarray of float, shape (2, ndim)
        Infinite along plain axes and where the bounds are.
    """
    values = _corners(geometry, bounds)
    geometry.require_positions(what)
    inverse = np.linalg.pinv(geometry.direction * geometry.spacing)
    # What is aligned but for rounding must not run away with an infinite coordinate.
    low, high = geometry.bounds
    inverse[abs(inverse) * (high - low) < rounding_tolerance(0)] = 0.0
    box = np.tile([[-np.inf], [np.inf]], geometry.ndim)
    with np.errstate(invalid="ignore"):
        ends = np.nan_to_num(inverse * (values - geometry.origin)[:, None], posinf=np.inf,
                             neginf=-np.inf)  # fmt: skip
    box[:, list(geometry.sampled_axes)] = ends.min(axis=0).sum(-1), ends.max(axis=0).sum(-1)
    return box


def crop(image: SpatialArray, bounds: Bounds) -> SpatialArray:
    """Cut out the part of an image that lies in a box of the world: a view.

    Parameters
    ----------
    image : SpatialArray
        On any backend.
    bounds : array_like of float, shape (2, n_world), or mapping of str to (float, float)
        Lowest and highest coordinates, as `Geometry.bounds` gives them, or those along some of the
        world axes by name; infinite ones set no bound.

    Returns
    -------
    SpatialArray
        The smallest part of the grid that has all voxels whose centres lie in the box, its faces
        included. Where the axes are oblique to the world, corners of it lie outside the box.

    Raises
    ------
    GeometryError
        If no voxel's centre can lie in the box, or the bounds are not valid.
    GeometryLossError
        If positions were lost.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> image = sd.SpatialArray(np.arange(10.0), spacing=0.5)
    >>> crop(image, [[1.0], [2.2]]).data
    array([2., 3., 4.])
    >>> crop(image, {"x": (1.0, 2.2)}).origin
    array([1.])
    """
    image = as_image(image, "crop", keeps_mask=True)
    geometry = image.geometry
    corners = _corners(geometry, bounds)
    # Beyond the image there is nothing to keep: so the box stays near on oblique grids too.
    (first, last), (low, high) = corners, geometry.bounds
    near = np.where(np.isinf(first), np.minimum(low, last), first)
    far = np.where(np.isinf(last), np.maximum(high, first), last)
    box = _index_box(geometry, [near, far] if 0 not in geometry.shape else corners, "crop")
    key = []
    for axis, n in enumerate(geometry.shape):
        if axis not in geometry.sampled_axes:
            key.append(slice(None))
            continue
        start = math.ceil(max(box[0, axis] - rounding_tolerance(n), 0))
        stop = math.floor(min(box[1, axis] + rounding_tolerance(n), n - 1)) + 1
        if stop <= start:
            raise GeometryError(
                f"crop: the bounds {corners.tolist()} hold no voxel's centre "
                f"along axis {axis} ({geometry.dims[axis]!r}); the image reaches over "
                f"{geometry.bounds.tolist()}"
            )
        key.append(slice(start, stop))
    part: SpatialArray = image[tuple(key)]
    return part


def pad_to(
    image: SpatialArray,
    bounds: Bounds | None = None,
    *,
    shape: int | Sequence[int | None] | Mapping[str, int] | None = None,
    fill: Any = 0,
) -> SpatialArray:
    """Continue the grid of an image until it covers a box of the world, or has a shape.

    Parameters
    ----------
    image : SpatialArray
        On any backend.
    bounds : array_like of float, shape (2, n_world), or mapping of str to (float, float), optional
        Lowest and highest coordinates that the voxels, to their outer edges, are to cover, given
        as to `crop`; infinite ones ask for nothing.
    shape : int, sequence or mapping of str to int, optional
        Shape to reach, given as to `resample`: one for all space axes, an entry for each sampled
        axis or each space axis in array order, or by name. Voxels are added equally before and
        after, the odd one after.
    fill : scalar
        Value of the voxels that are added.

    Returns
    -------
    SpatialArray
        Nothing is cut away: where the image reaches further it stays as it is.

    Raises
    ------
    GeometryError
        If the bounds or the shape are not valid.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> pad_to(sd.SpatialArray(np.ones(3), spacing=2.0), [[-4.0], [4.0]]).data
    array([0., 0., 1., 1., 1.])
    """
    image = as_image(image, "pad_to")
    geometry = image.geometry
    if (bounds is None) == (shape is None):
        raise TypeError("pad_to needs either bounds or shape=")
    widths: list[tuple[int, ...]] = [(0, 0)] * geometry.ndim
    if bounds is not None:
        box = _index_box(geometry, bounds, "pad_to")
        for axis in geometry.sampled_axes:
            size = geometry.shape[axis]
            before, after = -0.5 - box[0, axis], box[1, axis] - (size - 0.5)
            near = rounding_tolerance(max([size, *filter(math.isfinite, (before, after))]))
            widths[axis] = tuple(
                [math.ceil(max(w - near, 0)) if math.isfinite(w) else 0 for w in (before, after)]
            )
    else:
        wanted = voxels_per_axis("shape", shape, geometry, least=0)
        for axis, n in zip(geometry.sampled_axes, wanted, strict=True):
            missing = max((n or 0) - geometry.shape[axis], 0)
            widths[axis] = (missing // 2, missing - missing // 2)
    if not any(map(any, widths)):
        return image
    pad: Any = np.pad
    padded: SpatialArray = pad(image, widths, constant_values=fill)
    return padded


def sample(
    image: SpatialArray,
    points: ArrayLike,
    *,
    interpolation: str | None = None,
    fill: Any = np.nan,
) -> Any:
    """Return the values of an image at points of the world.

    Parameters
    ----------
    image : SpatialArray
        On an array of any backend but sparse.
    points : array_like of float, shape (..., n_world)
        In the image's world: its axes, units and frame.
    interpolation : {"linear", "nearest", "cubic", "quintic", "lanczos", "label"}, optional
        How values between voxels are made, as by `resample`.
    fill : scalar
        Value at points outside: more than half a voxel from the outermost voxel centres, along
        every axis. Nearer ones have the value at the edge.

    Returns
    -------
    array, shape ``(*points.shape[:-1], *plain axes in array order)``
        Of the backend's kind; lazy, a Dask array, where the image is on a Dask or Zarr array, of
        which only the chunks near points are read. Values are floating and not rounded; nearest
        ones and labels have the type of the image, or one that can hold `fill` too: pass
        ``fill=0`` to keep integers.

    Raises
    ------
    GeometryLossError
        If positions were lost.
    GeometryError
        If the points do not fit the world, or the image has fewer sampled axes than the world has
        axes and a point lies off it.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> image = sd.SpatialArray(np.arange(5.0), spacing=2.0, origin=[10.0])
    >>> sample(image, [[11.0], [18.9], [100.0]])
    array([0.5, 4. , nan])
    """
    image = as_image(image, "sample")
    geometry = image.geometry
    interpolation = choose(interpolation, backends.host_type(image.dtype))
    sampled = geometry.sampled_axes
    if not sampled:
        raise GeometryLossError(f"sample needs a sampled axis, and the image has none: {geometry}")
    points = in_unit(points, geometry.unit, "points")
    index = geometry.physical_to_index(points)[..., list(sampled)]
    _check_on_grid(geometry, points)
    lengths = np.array([geometry.shape[axis] for axis in sampled])
    inside = ((index >= -0.5) & (index < lengths - 0.5)).all(axis=-1)
    order = [*sampled, *[axis for axis in range(image.ndim) if axis not in sampled]]
    moved: Any = np.transpose(image, order).data if order != sorted(order) else image.data
    shape = (*inside.shape, *moved.shape[len(sampled) :])
    if inside.any():
        # Where there is no value that of a point which is there is taken, so that no more is read.
        one = np.asarray(index[inside])[0]
        index = np.where(inside[..., None], index, one).reshape(-1, len(sampled))
        values = values_at_points(moved, np.ascontiguousarray(index.T), interpolation)
        values = backends.call(np.reshape, (values, shape), {})
    else:
        values = zeros(moved, shape, interpolation)
    return _filled(values, inside, fill)


def _filled(values: Any, inside: NDArray[np.bool_], fill: Any) -> Any:
    """Return values with a fill where points lie outside, in a type that can hold both."""
    dtype = backends.host_type(values.dtype)
    kind = np.result_type(dtype, np.min_scalar_type(fill)) if fill != 0 else dtype
    if kind == np.float16 != dtype:  # not every backend has it, and sums of it overflow
        kind = np.dtype(np.float32)
    if kind == dtype and bool(inside.all()):
        return values
    # Of one point this is a NumPy scalar, whose reshape takes one shape only.
    kept = inside.reshape((*inside.shape, *[1] * (values.ndim - inside.ndim)))
    if isinstance(values, np.ndarray) or backends.is_lazy(values):
        return np.where(kept, values.astype(kind), np.asarray(fill).astype(kind))
    place = place_of(values)
    values = values if kind == dtype else place.xp.astype(values, place.named(kind))
    return place.xp.where(place.put(kept), values, place.full((), fill, values.dtype))


def _check_on_grid(geometry: Geometry, points: ArrayLike) -> None:
    """Refuse points off the line or plane in which an image lies."""
    if len(geometry.sampled_axes) == len(geometry.world.axes):
        return
    given = np.asarray(points, dtype=np.float64)
    back = geometry.index_to_physical(geometry.physical_to_index(given))
    apart = float(np.abs(back - given).max(initial=0.0))
    if apart > 1e-3 * min(geometry.spacing):
        raise GeometryError(
            f"sample: the image has positions along {len(geometry.sampled_axes)} of "
            f"{len(geometry.world.axes)} world axes, and a point lies {apart:.6g} off it, where "
            "the image says nothing"
        )
