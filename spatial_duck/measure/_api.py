"""Measures of objects in world units: a table of regions, and surfaces with vertices in the world.

Moments are summed as whole numbers of voxels from each region's own corner, and brought to the
world at the end, so that the table of a chunked image is that of the image in memory, wherever a
region lies, on anisotropic, oblique and sheared grids.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import product
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spatial_duck._optional import require
from spatial_duck.array import SpatialArray
from spatial_duck.errors import GeometryError
from spatial_duck.measure._table import RegionTable
from spatial_duck.ndimage._domain import check_space_alone, find_domain
from spatial_duck.ndimage._running import (
    check_image,
    data_on_same_grid,
    exact_differences,
    measure_parts,
    require_host,
    round_to_float64,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spatial_duck.geometry import Geometry
    from spatial_duck.ndimage._domain import Domain


__all__ = ["Surface", "marching_cubes", "regionprops", "surface_area"]

Floats = NDArray[np.float64]


class _Sums(NamedTuple):
    """Sums over the voxels of each label.

    Attributes
    ----------
    labels : ndarray of int, shape (k,)
        The labels, in order.
    voxels : ndarray of float, shape (k,)
        Number of voxels.
    corner : ndarray of int, shape (k, n)
        Lowest index of the label's voxels along each axis of the whole array.
    first, second : ndarray of float, shape (k, n), (k, n, n)
        Sums of indices, counted from the corner, and of their products: whole numbers.
    low, high : ndarray of float, shape (k, n_world)
        Lowest and highest world coordinates of voxel centres, without the origin.
    values : ndarray of float, shape (k, 3)
        One of the intensities, their mean less that one, and the sum of their squared differences
        from the mean.
    extremes : ndarray, shape (k, 2)
        Lowest and highest intensity, in their own type.
    """

    labels: NDArray[Any]
    voxels: Floats
    corner: NDArray[np.int64]
    first: Floats
    second: Floats
    low: Floats
    high: Floats
    values: Floats
    extremes: NDArray[Any]


def regionprops(labels: SpatialArray, intensity: Any = None) -> Any:
    """Measure the regions of a label image in world units.

    Parameters
    ----------
    labels : SpatialArray of int
        0 outside regions; on a NumPy, Dask or Zarr array. All axes must be space axes:
        index axes of time and channels with an integer first.
    intensity : SpatialArray or array, optional
        Image of real numbers, on the same grid.

    Returns
    -------
    RegionTable, a dict of str to ndarray
        A row for each label that is there, in order. ``pandas.DataFrame(table)`` takes it: a
        property of several numbers has a column for each, named by the world's axes, such as
        ``centroid_z``, ``bounds_low_z``, ``axis_lengths_0``, ``principal_axes_0_z``, and
        ``table["centroid"]`` puts them together. ``table.units`` has the unit of each column.
        Where `labels` are lazy, a `dask.delayed.Delayed` of that, which works chunk by chunk.

        ``label``; ``n_voxels``; ``volume`` in cubic world units (for two axes an ``area``, for
        one a ``length``); ``centroid``, shape (k, n_world); ``bounds``, shape (k, 2, n_world): the
        box in the world that holds all voxels to their outer edges; ``equivalent_diameter``: of
        the ball of the same volume; ``axis_lengths``, shape (k, n): those of the ellipsoid with
        the same second moments, the longest first; ``principal_axes``, shape (k, n, n_world):
        unit vectors along them, as rows, of any sign; and with intensities ``mean_intensity``,
        ``std_intensity``, and in their own type ``min_intensity``, ``max_intensity``. NaN spreads
        in its region.

    Raises
    ------
    GeometryLossError
        If positions that are needed were lost.
    GeometryMismatchError
        If the intensities lie elsewhere.

    Notes
    -----
    A region is the union of its voxels: their own extent adds a twelfth of the squared spacing to
    each second moment, which scikit-image leaves out. The full axis of an ellipsoid in n
    dimensions is ``2 * sqrt((n + 2) * variance)``.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> labels = sd.SpatialArray([[0, 1, 1], [0, 1, 1], [2, 0, 0]], spacing=(2.0, 0.5))
    >>> table = regionprops(labels)
    >>> table["area"], table["centroid"]
    (array([4., 1.]), array([[1.  , 0.75], [4.  , 0.  ]]))
    """
    labels = check_image(labels, "regionprops", "biu", on_host=True)
    domain = find_domain(labels, None, "regionprops")
    check_space_alone(labels, domain, "regionprops")
    marks = None
    if intensity is not None:
        marks = data_on_same_grid("regionprops", labels, intensity, "intensity")
        require_host(marks, "regionprops")
        if np.dtype(marks.dtype).kind not in "biuf":
            raise TypeError(f"regionprops: intensities must be real numbers, got {marks.dtype}")
    table = partial(_table, geometry=labels.geometry, domain=domain, with_values=marks is not None)
    return measure_parts(partial(_sums, domain=domain), table, labels.data, marks)


def _sums(data: Any, marks: Any, start: Sequence[int], domain: Domain) -> _Sums:
    """Sum over the voxels of each label of a block."""
    inside = np.nonzero(data)
    n, rows = len(domain.axes), len(domain.rows)
    marked = data[inside]
    marked = marked.astype(marked.dtype.newbyteorder("="), copy=False)
    found, which = np.unique(marked, return_inverse=True)
    which = which.ravel()
    k = len(found)
    index = np.stack([i + s for i, s in zip(inside, start, strict=True)])
    corner = np.full((k, n), np.iinfo(np.int64).max)
    for axis, line in enumerate(index):
        np.minimum.at(corner[:, axis], which, line)
    offset = (index - corner[which].T).astype(np.float64)
    first = np.stack([np.bincount(which, i, k) for i in offset], axis=-1)
    second = np.empty((k, n, n))
    for i in range(n):
        for j in range(i, n):
            second[:, i, j] = second[:, j, i] = np.bincount(which, offset[i] * offset[j], k)
    low, high = np.full((k, rows), np.inf), np.full((k, rows), -np.inf)
    for row, step in enumerate(domain.steps):
        position = sum((s * i for s, i in zip(step, index, strict=True)), np.zeros(len(which)))
        np.minimum.at(low[:, row], which, position)
        np.maximum.at(high[:, row], which, position)
    voxels = np.bincount(which, minlength=k).astype(float)
    values, extremes = np.zeros((k, 3)), np.zeros((k, 2))
    if marks is not None:
        values, extremes = _intensities(marks[inside], which, voxels)
    return _Sums(found, voxels, corner, first, second, low, high, values, extremes)


def _intensities(
    marks: NDArray[Any], which: NDArray[np.intp], voxels: Floats
) -> tuple[Floats, NDArray[Any]]:
    """Return `_Sums.values` and `_Sums.extremes` of the voxels of each label.

    In two passes, since the difference of large sums of squares has no precision (Chan, Golub and
    LeVeque, Algorithms for computing the sample variance, The American Statistician 37, 1983).
    """
    k = len(voxels)
    one = np.zeros(k, marks.dtype)
    one[which] = marks  # any one of each label, so that large values do not round the mean
    one = round_to_float64(one)
    start = one.astype(np.float64)
    apart = exact_differences(marks, one[which])
    mean = np.bincount(which, apart, k) / voxels
    apart = apart - mean[which]
    squares = np.bincount(which, apart * apart, k) - np.bincount(which, apart, k) ** 2 / voxels
    native = marks.dtype.newbyteorder("=")
    low, high = np.zeros(k, native), np.zeros(k, native)
    low[which] = high[which] = marks
    np.minimum.at(low, which, marks)
    np.maximum.at(high, which, marks)
    return np.stack([start, mean, squares], axis=-1), np.stack([low, high], axis=-1)


def _join(parts: Sequence[_Sums]) -> _Sums:
    """Join the sums of blocks."""
    found, which = np.unique(np.concatenate([p.labels for p in parts]), return_inverse=True)
    which = which.ravel()

    k = len(found)

    def combine(values: Any, ufunc: np.ufunc, initial: float = 0.0) -> Any:
        pieces = np.asarray(values)
        out = np.full((k, *pieces.shape[1:]), initial, pieces.dtype)
        ufunc.at(out, which, pieces)
        return out

    def concatenate_field(field: str) -> Any:
        return np.concatenate([getattr(p, field) for p in parts])

    voxels, first, second, corners = map(concatenate_field, ("voxels", "first", "second", "corner"))
    corner = combine(corners, np.minimum, np.iinfo(np.int64).max)
    apart = (corners - corner[which]).astype(np.float64)
    crossed = apart[:, :, None] * first[:, None, :]
    second = second + crossed + np.swapaxes(crossed, 1, 2)
    second = second + voxels[:, None, None] * apart[:, :, None] * apart[:, None, :]
    total = combine(voxels, np.add)
    starts, means, squares = concatenate_field("values").T
    start = np.zeros(k)
    start[which] = starts
    means = starts - start[which] + means
    mean = combine(voxels * means, np.add) / total
    squares = combine(squares + voxels * (means - mean[which]) ** 2, np.add)
    extremes = concatenate_field("extremes")
    low, high = np.zeros((2, k), extremes.dtype)
    low[which], high[which] = extremes[:, 0], extremes[:, 1]
    np.minimum.at(low, which, extremes[:, 0])
    np.maximum.at(high, which, extremes[:, 1])
    return _Sums(
        found,
        total,
        corner,
        combine(first + voxels[:, None] * apart, np.add),
        combine(second, np.add),
        combine(concatenate_field("low"), np.minimum, np.inf),
        combine(concatenate_field("high"), np.maximum, -np.inf),
        np.stack([start, mean, squares], axis=-1),
        np.stack([low, high], axis=-1),
    )


def _table(
    parts: Sequence[_Sums], geometry: Geometry, domain: Domain, with_values: bool
) -> RegionTable:
    """Return the properties in world units that sums give."""
    sums = parts[0] if len(parts) == 1 else _join(parts)
    n, count = len(domain.axes), sums.voxels
    # From the steps: the metric treats nearly orthogonal axes as orthogonal.
    voxel = math.sqrt(float(np.linalg.det(domain.steps.T @ domain.steps)))
    volume = count * voxel
    mean = sums.first / count[:, None]
    spread = sums.second / count[:, None, None] - mean[:, :, None] * mean[:, None, :]
    spread = spread + np.eye(n) / 12
    covariance = np.einsum("ri,kij,sj->krs", domain.steps, spread, domain.steps)
    variances, vectors = np.linalg.eigh(covariance)
    largest = slice(None, -n - 1, -1)
    lengths = 2 * np.sqrt((n + 2) * np.maximum(variances[:, largest], 0.0))
    axes = np.zeros((len(count), n, len(geometry.world.axes)))
    axes[:, :, list(domain.rows)] = np.swapaxes(vectors, 1, 2)[:, largest]
    bounds = np.broadcast_to(geometry.origin, (len(count), 2, len(geometry.origin))).copy()
    half = abs(domain.steps).sum(axis=1) / 2
    bounds[:, 0, list(domain.rows)] += sums.low - half
    bounds[:, 1, list(domain.rows)] += sums.high + half
    unit_ball = math.pi ** (n / 2) / math.gamma(n / 2 + 1)
    table: dict[str, Any] = {
        "label": sums.labels,
        "n_voxels": count.astype(np.int64),
        {1: "length", 2: "area"}.get(n, "volume"): volume,
        "centroid": geometry.index_to_physical(sums.corner + mean),
        "bounds": bounds,
        "equivalent_diameter": 2 * (volume / unit_ball) ** (1 / n),
        "axis_lengths": lengths,
        "principal_axes": axes,
    }
    if with_values:
        start, average, squares = sums.values.T
        table |= {
            "mean_intensity": start + average,
            "std_intensity": np.sqrt(np.maximum(squares / count, 0.0)),
            "min_intensity": sums.extremes[:, 0],
            "max_intensity": sums.extremes[:, 1],
        }
    world = geometry.world.axes
    numbers = [str(i) for i in range(n)]
    names: dict[str, Sequence[Sequence[str]]] = {
        "centroid": [world], "bounds": [("low", "high"), world], "axis_lengths": [numbers],
        "principal_axes": [numbers, world],
    }  # fmt: skip
    return RegionTable(table, names, _units(geometry, domain, n))


def _units(geometry: Geometry, domain: Domain, n: int) -> dict[str, str | None]:
    """Return the unit of each property, where all axes of space have one and the same."""
    found = {geometry.unit[row] for row in domain.rows}
    unit = found.pop() if len(found) == 1 else None
    if unit is None:
        return {}
    lengths = ("centroid", "bounds", "equivalent_diameter", "axis_lengths", "length")
    return {**dict.fromkeys(lengths, unit), "area": f"{unit}^2", "volume": f"{unit}^{n}"}


# --- surfaces -----------------------------------------------------------------------------


class Surface(NamedTuple):
    """A surface of triangles in the world.

    Attributes
    ----------
    vertices : ndarray of float, shape (n_vertices, n_world)
        World points, in the order and unit of the image's world axes.
    faces : ndarray of int, shape (n_faces, 3)
        Vertices of each triangle. Seen from where values are lower they turn to the left, in
        coordinates as they are concatenate_field: the cross product of two edges points outwards.
    values : ndarray of float, shape (n_vertices,)
        Highest value of the image near each vertex.
    """

    vertices: Floats
    faces: NDArray[np.int64]
    values: Floats


def marching_cubes(
    image: SpatialArray, level: float | None = None, *, step_size: int = 1
) -> Surface:
    """Return the surface on which an image has a value.

    Parameters
    ----------
    image : SpatialArray
        With three axes, all of space, and values in memory.
    level : float, optional
        The value; by default halfway between the lowest and the highest that are finite.
    step_size : int, optional
        Voxels from one corner of a cube to the next: a coarser surface, sooner.

    Returns
    -------
    Surface
        With its vertices in the world, whatever the direction. Where values are not finite there
        is none.

    Raises
    ------
    TypeError
        If the image is lazy or on a GPU.
    GeometryError
        If it has not three space axes of 2 voxels at least, or no values on both sides of the
        level, or the steps are so large that none are found.
    ImportError
        If scikit-image is not installed.
    """
    image = check_image(image, "marching_cubes", "biuf", on_host=True)
    if not isinstance(step_size, Integral) or step_size < 1:
        raise ValueError(f"step_size must be a whole number of 1 or more, got {step_size!r}")
    if not isinstance(image.data, np.ndarray):
        raise TypeError(
            "marching_cubes works in the host's memory: use image.compute() of a lazy image, or "
            "image.to('numpy')"
        )
    domain = find_domain(image, None, "marching_cubes")
    if len(domain.axes) != 3 or image.ndim != 3 or min(image.shape) < 2:
        raise GeometryError(
            "marching_cubes needs three space axes of 2 voxels at least and no others, got dims "
            f"{image.dims!r} of shape {image.shape}; index other axes with an integer first"
        )
    march = require("skimage.measure", "marching_cubes").marching_cubes
    work = np.float32 if image.dtype.kind in "biu" and image.dtype.itemsize < 4 else np.float64
    data = image.data.astype(work)
    finite = np.isfinite(data)
    whole = bool(finite.all())
    known: Any = data if whole else data[finite]
    if not known.size:
        raise GeometryError("marching_cubes: the image has no finite value, and so no surface")
    low, high = float(np.min(known)), float(np.max(known))
    level = (low + high) / 2 if level is None else float(level)
    if not low < high or not low <= level <= high:
        raise GeometryError(
            f"marching_cubes: the image's values, {low:g} to {high:g}, do not lie on both sides of "
            f"the level {level:g}: there is no surface"
        )
    if not whole:
        data = np.where(finite, data, low)
    try:
        corners, faces, _, values = march(data, level, step_size=step_size, allow_degenerate=False)
    except RuntimeError:  # it finds no surface
        raise GeometryError(
            f"marching_cubes: no surface at the level {level:g} passes between corners that are "
            f"{step_size} voxels apart; take a smaller step_size"
        ) from None
    if not whole:
        corners, faces, values = _finite_faces(corners, faces, values, finite, step_size)
    # Left-handed steps reverse the orientation of the triangles.
    if np.linalg.det(domain.steps) > 0:
        faces = faces[:, ::-1]
    vertices = image.geometry.index_to_physical(corners.astype(np.float64))
    return Surface(vertices, np.ascontiguousarray(faces, dtype=np.int64), values.astype(np.float64))


def _finite_faces(
    corners: Floats, faces: NDArray[Any], values: Any, finite: NDArray[np.bool_], step: int
) -> tuple[Floats, NDArray[Any], Any]:
    """Return the surface without triangles in cubes with a corner that is not finite."""
    cube = np.floor(corners[faces].mean(axis=1) / step).astype(int) * step
    sound = np.ones(len(faces), dtype=bool)
    for corner in product((0, step), repeat=3):
        at = np.minimum(cube + corner, np.array(finite.shape) - 1)
        sound &= finite[tuple(at.T)]
    used, renumbered = np.unique(faces[sound], return_inverse=True)
    return corners[used], renumbered.reshape(-1, 3), values[used]


def surface_area(surface: Surface) -> float:
    """Return the area of a surface, in squared world units.

    Parameters
    ----------
    surface : Surface
        Surface of triangles.

    Examples
    --------
    >>> corners = np.array([[0.0, 0, 0], [2, 0, 0], [0, 3, 0]])
    >>> surface_area(Surface(corners, np.array([[0, 1, 2]]), np.zeros(3)))
    3.0
    """
    if not isinstance(surface, Surface):
        raise TypeError(
            f"surface_area needs a Surface, got {type(surface).__name__}; marching_cubes(image) "
            "makes one"
        )
    a, b, c = (surface.vertices[surface.faces[:, i]] for i in range(3))
    u, v = b - a, c - a
    squares = (u * u).sum(-1) * (v * v).sum(-1) - (u * v).sum(-1) ** 2
    return float(np.sqrt(np.maximum(squares, 0.0)).sum() / 2)
