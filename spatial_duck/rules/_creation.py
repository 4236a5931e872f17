"""Functions that make arrays from shapes, tables of numbers or a caller's function.

With ``like=image`` they make an array of the kind of the image's data. It lies nowhere, so that it
mixes with images everywhere; an image given as the object to convert stays where it is.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from spatial_duck.geometry import Geometry
from spatial_duck.rules._rule import geometries, only, rule, shape_of, together, unplaced

__all__: list[str] = []


@rule("plain", np.zeros, np.ones, np.empty)
def _zeros(
    shape: Any, dtype: Any = None, order: Any = "C", *, device: Any = None, like: Any = None
) -> None: ...


@rule("plain", np.full)
def _full(
    shape: Any,
    fill_value: Any,
    dtype: Any = None,
    order: Any = "C",
    *,
    device: Any = None,
    like: Any = None,
) -> None: ...


@rule("plain", np.eye)
def _eye(
    N: Any,
    M: Any = None,
    k: Any = 0,
    dtype: Any = float,
    order: Any = "C",
    *,
    device: Any = None,
    like: Any = None,
) -> None: ...


@rule("plain", np.identity)
def _identity(n: Any, dtype: Any = None, *, like: Any = None) -> None: ...


@rule("plain", np.tri)
def _tri(
    N: Any,
    M: Any = None,
    k: Any = 0,
    dtype: Any = float,
    *,
    like: Any = None,
) -> None: ...


@rule("plain", np.arange)
def _arange(
    start_or_stop: Any,
    /,
    stop: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    like: Any = None,
) -> None: ...


@rule("plain", np.array)
def _array(
    object: Any,
    dtype: Any = None,
    *,
    copy: Any = True,
    order: Any = "K",
    subok: Any = False,
    ndmin: Any = 0,
    ndmax: Any = 0,
    like: Any = None,
) -> Geometry | None:
    grid = only(object)
    if grid is None or grid.ndim >= ndmin:
        return grid
    return grid[(None,) * (ndmin - grid.ndim) + (...,)]


@rule("plain", np.asarray, np.asanyarray)
def _asarray(
    a: Any,
    dtype: Any = None,
    order: Any = None,
    *,
    device: Any = None,
    copy: Any = None,
    like: Any = None,
) -> Geometry | None:
    return only(a)


@rule("plain", np.ascontiguousarray, np.asfortranarray)
def _ascontiguousarray(a: Any, dtype: Any = None, *, like: Any = None) -> Geometry | None:
    grid = only(a)
    return grid if grid is None or grid.ndim else grid[None]


@rule("plain", np.require)
def _require(
    a: Any, dtype: Any = None, requirements: Any = None, *, like: Any = None
) -> Geometry | None:
    return only(a)


@rule("plain", np.frombuffer)
def _frombuffer(
    buffer: Any, dtype: Any = None, count: Any = -1, offset: Any = 0, *, like: Any = None
) -> None: ...


@rule("plain", np.fromfile)
def _fromfile(
    file: Any,
    dtype: Any = None,
    count: Any = -1,
    sep: Any = "",
    offset: Any = 0,
    *,
    like: Any = None,
) -> None: ...


@rule("plain", np.fromiter)
def _fromiter(iter: Any, dtype: Any, count: Any = -1, *, like: Any = None) -> None: ...


@rule("plain", np.fromstring)
def _fromstring(
    string: Any, dtype: Any = None, count: Any = -1, *, sep: Any, like: Any = None
) -> None: ...


@rule("plain", np.fromfunction)
def _fromfunction(
    function: Any, shape: Any, *, dtype: Any = float, like: Any = None, **kwargs: Any
) -> None: ...


@rule("plain", np.loadtxt)
def _loadtxt(
    fname: Any,
    dtype: Any = float,
    comments: Any = "#",
    delimiter: Any = None,
    converters: Any = None,
    skiprows: Any = 0,
    usecols: Any = None,
    unpack: Any = False,
    ndmin: Any = 0,
    encoding: Any = None,
    max_rows: Any = None,
    *,
    quotechar: Any = None,
    like: Any = None,
) -> None: ...


@rule("plain", np.genfromtxt)
def _genfromtxt(
    fname: Any,
    dtype: Any = float,
    comments: Any = "#",
    delimiter: Any = None,
    skip_header: Any = 0,
    skip_footer: Any = 0,
    converters: Any = None,
    missing_values: Any = None,
    filling_values: Any = None,
    usecols: Any = None,
    names: Any = None,
    excludelist: Any = None,
    deletechars: Any = " !#$%&'()*+,-./:;<=>?@[\\]^{|}~",
    replace_space: Any = "_",
    autostrip: Any = False,
    case_sensitive: Any = True,
    defaultfmt: Any = "f%i",
    unpack: Any = None,
    usemask: Any = False,
    loose: Any = True,
    invalid_raise: Any = True,
    max_rows: Any = None,
    encoding: Any = None,
    *,
    ndmin: Any = 0,
    like: Any = None,
) -> None: ...


# --- new arrays like another --------------------------------------------------------------


def _like(a: Geometry, shape: Any, function: str) -> Geometry:
    if shape is None:
        return a
    shape = tuple(shape) if hasattr(shape, "__len__") else (shape,)
    return a if shape == a.shape else unplaced(shape)


@rule("keeps", np.zeros_like, np.ones_like, deferrable=True)
def _zeros_like(
    a: Geometry,
    dtype: Any = None,
    order: Any = "K",
    subok: Any = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Geometry:
    return _like(a, shape, "zeros_like")


@rule("keeps", np.empty_like, deferrable=True)
def _empty_like(
    prototype: Geometry,
    /,
    dtype: Any = None,
    order: Any = "K",
    subok: Any = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Geometry:
    return _like(prototype, shape, "empty_like")


@rule("keeps", np.full_like, deferrable=True)
def _full_like(
    a: Geometry,
    fill_value: Any,
    dtype: Any = None,
    order: Any = "K",
    subok: Any = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Geometry | None:
    grid = only(a)
    if grid is None:
        return None
    result = _like(grid, shape, "full_like")
    return together("full_like", result, fill_value) if geometries(fill_value) else result


# --- between images -----------------------------------------------------------------------


def _spaced(function: str, start: Any, stop: Any, num: Any, axis: Any) -> Geometry:
    """Return the geometry of values from one image to another along a new axis."""
    grid = together(function, start, stop)
    count = operator.index(num)
    new = grid.expand_dims(axis)
    return new.resize_axis(axis, count)


@rule("derives", np.linspace)
def _linspace(
    start: Any,
    stop: Any,
    num: Any = 50,
    endpoint: Any = True,
    retstep: Any = False,
    dtype: Any = None,
    axis: Any = 0,
    *,
    device: Any = None,
) -> Any:
    new = _spaced("linspace", start, stop, num, axis)
    return (new, together("linspace", start, stop)) if retstep else new


@rule("derives", np.geomspace)
def _geomspace(
    start: Any, stop: Any, num: Any = 50, endpoint: Any = True, dtype: Any = None, axis: Any = 0
) -> Geometry:
    return _spaced("geomspace", start, stop, num, axis)


@rule("derives", np.logspace)
def _logspace(
    start: Any,
    stop: Any,
    num: Any = 50,
    endpoint: Any = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: Any = 0,
) -> Geometry:
    if np.ndim(base) or isinstance(base, Geometry):
        start = together("logspace", start, stop, base)
    return _spaced("logspace", start, stop, num, axis)


# --- axes of a grid -----------------------------------------------------------------------


@rule("derives", np.meshgrid)
def _meshgrid(
    *xi: Any, copy: Any = True, sparse: Any = False, indexing: Any = "xy"
) -> list[Geometry]:
    order = list(range(len(xi)))
    if indexing == "xy" and len(xi) > 1:
        order[:2] = 1, 0
    lengths = [1] * len(xi)
    for n, x in enumerate(xi):
        lengths[order[n]] = int(np.prod(shape_of(x)))
    return [_open(x, order[n], lengths, sparse, "meshgrid") for n, x in enumerate(xi)]


def _open(x: Any, place: int, lengths: list[int], sparse: bool, function: str) -> Geometry:
    if not isinstance(x, Geometry):
        own = [n if k == place else 1 for k, n in enumerate(lengths)]
        return unplaced(own if sparse else lengths)
    line = x if x.ndim == 1 else x.reshape((lengths[place],), function)
    grid = line[(None,) * place + (slice(None),) + (None,) * (len(lengths) - place - 1)]
    return grid if sparse else grid.broadcast_to(lengths)


@rule("plain", np.ix_)
def _ix_(*args: Any) -> list[Geometry]:
    found: list[Geometry] = []
    for n, a in enumerate(args):
        if not isinstance(a, Geometry):
            found.append(unplaced([float("nan") if k == n else 1 for k in range(len(args))]))  # type: ignore[misc]
            continue
        # Indices, not voxels: how many there are depends on the values of a mask.
        lost = a.lose(0, "ix_", shape=(float("nan"),))  # type: ignore[arg-type]
        found.append(lost.expand_dims([k for k in range(len(args)) if k != n]))
    return found


@rule("derives", np.vander)
def _vander(x: Geometry, N: Any = None, increasing: Any = False) -> Geometry:
    count = x.shape[0] if N is None else operator.index(N)
    return x[:, None].resize_axis(1, count)
