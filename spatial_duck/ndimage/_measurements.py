"""Labels, and where in the world objects and extreme values lie.

Points are world positions, in the order and unit of the image's world axes. Along axes that are not
measured (time, channels) there is a result for each index. On lazy images results are lazy: sums
and extremes of chunks, joined.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from spatial_duck import backends
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.ndimage._components import chunked_label, full_structure
from spatial_duck.ndimage._domain import Axes, find_domain
from spatial_duck.ndimage._morphology import joining_structure
from spatial_duck.ndimage._running import (
    check_image,
    data_on_same_grid,
    engine_of,
    lazy_data,
    measure_parts,
    with_same_chunks,
    wrap,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from spatial_duck.geometry import Geometry

__all__ = [
    "Measure",
    "center_of_mass",
    "extrema",
    "find_objects",
    "label",
    "maximum_position",
    "measure_frames",
    "minimum_position",
    "voxels_by_label",
]


def label(
    image: SpatialArray, structure: ArrayLike | None = None, *, axes: Axes = None
) -> tuple[SpatialArray, Any]:
    """Label the connected parts of the voxels that are not zero.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array.
    structure : array_like of bool, optional
        Which of the 3ⁿ neighbours are joined, symmetric; by default those that share a face.
    axes : str, int, or sequence of these, optional
        The axes along which voxels are joined; all space axes by default. Parts at different
        times or in different channels have different numbers.

    Returns
    -------
    labels : SpatialArray of int32
        On the same grid: 0 outside, and 1, 2, … in the order of the parts' first voxels.
    count : int
        How many there are. On a lazy image both are lazy: chunks are labelled and joined, and
        `count` is a 0-d Dask array.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> labels, count = label(sd.SpatialArray([1, 1, 0, 0, 1], spacing=0.5))
    >>> labels.data, count
    (array([1, 1, 0, 0, 2], dtype=int32), 2)
    """
    image = check_image(image, "label")
    domain = find_domain(image, axes, "label")
    joins = joining_structure(structure, domain, image.ndim, "label")
    lazy = lazy_data(image)
    if lazy is not None:
        labels, count = chunked_label(lazy, joins)
        return wrap(image, labels), count
    engine = engine_of(image.data)
    found, number = engine.nd.label(image.data != 0, engine.xp.asarray(full_structure(joins)))
    return wrap(image, found.astype(np.int32, copy=False)), int(number)


def find_objects(labels: SpatialArray, image: SpatialArray | None = None) -> list[Any]:
    """Cut out the box of each label.

    Parameters
    ----------
    labels : SpatialArray of int
        0 outside objects.
    image : SpatialArray, optional
        What is cut, on the same grid; `labels` itself by default.

    Returns
    -------
    list of SpatialArray or None
        The smallest part of the grid that holds label 1, 2, …: a view that knows where it lies.
        None where there is no such label.

    Raises
    ------
    TypeError
        If the labels are lazy: where objects lie is not known before they are computed.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> labels = sd.SpatialArray([0, 0, 1, 1, 0, 2], spacing=0.5)
    >>> [found.origin.tolist() for found in find_objects(labels)]
    [[1.0], [2.5]]
    """
    labels = check_image(labels, "find_objects", "iu")
    if lazy_data(labels) is not None:
        raise TypeError(
            "find_objects: where objects lie is known only when the labels are computed: use "
            "find_objects(labels.compute(), image), where image may be lazy"
        )
    source = labels if image is None else as_image(image, "find_objects")
    data_on_same_grid("find_objects", labels, source, "image")
    engine = engine_of(labels.data)
    native = labels.data.astype(np.dtype(labels.dtype).newbyteorder("="), copy=False)
    found = engine.nd.find_objects(native)
    return [None if key is None else source[key] for key in found]


# --- points -------------------------------------------------------------------------------


class Measure(NamedTuple):
    """How to measure chunks: ``part`` of one chunk, and ``join`` of parts into world units."""

    part: Callable[..., Any]
    join: Callable[..., Any]


def _sums(image: Any, labels: Any, start: Sequence[int], index: Any) -> Any:
    """Return sums of the values, and of values times indices, for each label."""
    engine = engine_of(image)
    xp = engine.xp
    rows = []
    values = image.astype("D" if image.dtype.kind == "c" else "d", copy=False)
    for chosen in voxels_by_label(labels, index):
        if chosen is None:
            lines = [
                values.sum(axis=tuple([k for k in range(values.ndim) if k != axis]))
                for axis in range(values.ndim)
            ]
            places = [xp.arange(len(line)) for line in lines]
            total = values.sum()
        else:
            places = xp.nonzero(chosen)
            lines = [values[places]] * values.ndim
            total = lines[0].sum()
        moments = [(line * (i + s)).sum() for line, i, s in zip(lines, places, start, strict=True)]
        rows.append(xp.stack([total, *moments]))
    return xp.stack(rows)


def voxels_by_label(labels: Any, index: Any) -> Iterator[Any]:
    """Yield a mask for each label of an index, made when it is asked for; None is all voxels."""
    if labels is None:
        yield None
    elif index is None:
        yield labels != 0
    else:
        for label in index:
            yield labels == label


def _extremes(image: Any, labels: Any, start: Sequence[int], index: Any) -> Any:
    """Return lowest and highest value, and their indices in the whole array, for each label.

    NaN is left out; infinite and index -1 where a label has no value.
    """
    xp = engine_of(image).xp
    rows = []
    values = image.astype(np.uint8) if image.dtype.kind == "b" else image
    for chosen in voxels_by_label(labels, index):
        inside = xp.ones(values.shape, bool) if chosen is None else chosen
        if values.dtype.kind == "f":
            inside = inside & ~xp.isnan(values)
        flat = xp.flatnonzero(inside)
        row: list[Any] = []
        for function in ("argmin", "argmax"):
            if not flat.size:
                row += [None, [-1] * values.ndim]
                continue
            at = int(flat[int(getattr(values.ravel()[flat], function)())])
            where = np.unravel_index(at, values.shape)
            index = [int(i) + s for i, s in zip(where, start, strict=True)]
            row += [values.ravel()[at].item(), index]
        rows.append(row)
    return rows


def _join_extremes(parts: Sequence[Any], shape: Sequence[int]) -> list[list[Any]]:
    """Join the extremes of chunks; of equal values the first in C order is taken."""
    rows = []
    for label_rows in zip(*parts, strict=True):
        row: list[Any] = []
        for column, sign in ((0, 1), (2, -1)):
            found = [
                (sign * r[column], int(np.ravel_multi_index(r[column + 1], shape)), r)
                for r in label_rows if r[column] is not None
            ]  # fmt: skip
            best = min(found, key=lambda f: f[:2])[2] if found else [None, [-1] * len(shape)] * 2
            row += [best[column], best[column + 1]]
        rows.append(row)
    return rows


def measure_frames(
    what: str,
    image: SpatialArray,
    labels: Any,
    index: Any,
    axes: Axes,
    kinds: str,
    measure: Measure,
    width: int,
) -> tuple[Any, tuple[int, ...]]:
    """Measure each frame of an image: columns of numbers, shape (*others, [k,] width)."""
    image = check_image(image, what, kinds)
    domain = find_domain(image, axes, what)
    marks = None if labels is None else data_on_same_grid(what, image, labels, "labels")
    if index is not None and marks is None:
        raise TypeError(f"{what}: index= chooses among labels, and no labels are given")
    wanted = None if index is None else np.atleast_1d(np.asarray(index)).tolist()
    others = [axis for axis in range(image.ndim) if axis not in domain.axes]
    outer = tuple([image.shape[axis] for axis in others])
    data, lazy = image.data, lazy_data(image)
    if lazy is not None or (marks is not None and backends.is_lazy(marks)):
        data, marks = with_same_chunks(data if lazy is None else lazy, marks)
    rows = []
    for position in product(*[range(n) for n in outer]):
        key: list[Any] = [slice(None)] * image.ndim
        for axis, i in zip(others, position, strict=True):
            key[axis] = i
        frame = data[tuple(key)]
        frame_marks = None if marks is None else marks[tuple(key)]
        join = partial(
            measure.join, key=tuple(key), shape=frame.shape, axes=domain.axes,
            geometry=image.geometry,
        )  # fmt: skip
        rows.append(measure_parts(partial(measure.part, index=wanted), join, frame, frame_marks))
    each = (1 if wanted is None else len(wanted), width)
    if rows and backends.is_dask(data):
        import dask.array as da

        stacked = da.stack([da.from_delayed(row, shape=each, dtype=np.float64) for row in rows])
    else:
        stacked = np.stack(rows) if rows else np.zeros((0, *each))
    shape = (*outer, *(() if wanted is None or np.ndim(index) == 0 else (len(wanted),)))
    return stacked.reshape((*shape, width)), shape


def _world_points(geometry: Geometry, key: Any, axes: Sequence[int], index: Any) -> Any:
    """Return the world positions of indices along the measured axes of a frame."""
    full = np.zeros((len(index), geometry.ndim))
    for axis, k in enumerate(key):
        full[:, axis] = 0 if isinstance(k, slice) else k
    full[:, list(axes)] = index
    with np.errstate(invalid="ignore"):
        return geometry.index_to_physical(full)


def _centers(parts: Sequence[Any], key: Any, shape: Any, axes: Any, geometry: Geometry) -> Any:
    del shape
    total = _to_host(sum(parts[1:], parts[0]))
    with np.errstate(invalid="ignore", divide="ignore"):
        return _world_points(geometry, key, axes, (total[:, 1:] / total[:, :1]).real)


def _to_host(values: Any) -> Any:
    """Return a small array in the host's memory."""
    return backends.to(values, "numpy")


def _extreme_points(
    parts: Sequence[Any], key: Any, shape: Any, axes: Any, geometry: Geometry
) -> Any:
    rows = _join_extremes(parts, shape)
    columns = []
    for column in (0, 2):
        values = [np.nan if row[column] is None else row[column] for row in rows]
        index = np.array([row[column + 1] for row in rows], dtype=np.float64)
        index[(index < 0).any(axis=1)] = np.nan
        columns += [np.array(values, float)[:, None], _world_points(geometry, key, axes, index)]
    return np.concatenate(columns, axis=1)


_MASS = Measure(_sums, _centers)
_EXTREMES = Measure(_extremes, _extreme_points)


def center_of_mass(
    image: SpatialArray, labels: Any = None, index: ArrayLike | None = None, *, axes: Axes = None
) -> Any:
    """Return the centre of mass, a point in the world.

    Parameters
    ----------
    image : SpatialArray
        The masses, on a NumPy, CuPy, Dask or Zarr array.
    labels : SpatialArray or array, optional
        On the same grid. Without an index, all that is not zero is one object.
    index : int or sequence of int, optional
        Labels whose centres are wanted.
    axes : str, int, or sequence of these, optional
        The axes to measure along, by name or number; all space axes by default.

    Returns
    -------
    array of float, shape ``(*other axes, [len(index),] n_world)``
        NumPy, or a Dask array where the image is lazy. NaN for a label without mass.

    Raises
    ------
    GeometryMismatchError
        If the labels lie elsewhere.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> center_of_mass(sd.SpatialArray([0, 1, 3, 0], spacing=2.0, origin=[10.0]))
    array([13.5])
    """
    n = len(image.geometry.world.axes) if hasattr(image, "geometry") else 0
    what = "center_of_mass"
    return measure_frames(what, image, labels, index, axes, "biufc", _MASS, n)[0]


def extrema(
    image: SpatialArray, labels: Any = None, index: ArrayLike | None = None, *, axes: Axes = None
) -> tuple[Any, Any, Any, Any]:
    """Return the lowest and the highest value, and where in the world they lie.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array, of real numbers; NaN is left out.
    labels, index, axes
        As for `center_of_mass`.

    Returns
    -------
    lowest, highest : array of float, shape ``(*other axes, [len(index)])``
    where_lowest, where_highest : array of float, shape ``(*other axes, [len(index),] n_world)``
        The first in C order where several voxels have the value. NaN for a label without voxels.
    """
    n = len(image.geometry.world.axes) if hasattr(image, "geometry") else 0
    found, _ = measure_frames("extrema", image, labels, index, axes, "biuf", _EXTREMES, 2 * n + 2)
    return found[..., 0][()], found[..., n + 1][()], found[..., 1 : n + 1], found[..., n + 2 :]


def maximum_position(
    image: SpatialArray, labels: Any = None, index: ArrayLike | None = None, *, axes: Axes = None
) -> Any:
    """Return where in the world the highest value lies.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array, of real numbers; NaN is left out.
    labels, index, axes
        As for `center_of_mass`.

    Returns
    -------
    array of float, shape ``(*other axes, [len(index),] n_world)``

    Examples
    --------
    >>> import spatial_duck as sd
    >>> maximum_position(sd.SpatialArray([[1, 2], [7, 3]], spacing=(2.0, 0.5), origin=(10, 20)))
    array([12., 20.])
    """
    image = check_image(image, "maximum_position", "biuf")
    return extrema(image, labels, index, axes=axes)[3]


def minimum_position(
    image: SpatialArray, labels: Any = None, index: ArrayLike | None = None, *, axes: Axes = None
) -> Any:
    """Return where in the world the lowest value lies.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array, of real numbers; NaN is left out.
    labels, index, axes
        As for `center_of_mass`.

    Returns
    -------
    array of float, shape ``(*other axes, [len(index),] n_world)``
    """
    image = check_image(image, "minimum_position", "biuf")
    return extrema(image, labels, index, axes=axes)[2]
