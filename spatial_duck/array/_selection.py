"""Selection by name: `isel` by indices, `sel` by coordinates and positions in the world."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import GeometryError
from spatial_duck.geometry._quantity import in_unit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from spatial_duck.array._coordinates import Held
    from spatial_duck.array._state import ImageState
    from spatial_duck.geometry import Geometry

__all__ = ["isel", "sel"]


def isel(image: Any, indexers: Mapping[str, Any]) -> Any:
    """Return the voxels at indices along axes by name; each axis is indexed by itself."""
    dims = image.dims
    unknown = [name for name in indexers if name not in dims or name is None]
    if unknown:
        message = f"isel: there is no axis {unknown[0]!r} among dims {dims!r}"
        found = (image._coords or {}).get(unknown[0])
        if found is not None and found.axis is not None:
            axis = dims[found.axis]
            message += (
                f"; {unknown[0]!r} is a coordinate of axis {axis!r}: use isel({axis}=...) with an "
                f"index, or sel({unknown[0]}=...) with a value"
            )
        raise GeometryError(message)
    basic = [indexers.get(name, slice(None)) if name is not None else slice(None) for name in dims]
    arrays = {a: k for a, k in enumerate(basic) if not isinstance(k, slice) and np.ndim(k)}
    for axis, key in arrays.items():
        image = image[(slice(None),) * axis + (key,)]
        basic[axis] = slice(None)
    return image[tuple(basic)] if any(k != slice(None) for k in basic) else image


def sel(image: ImageState, labels: Mapping[str, Any]) -> Any:
    """Return the voxels at values of coordinates, or at positions along axes of the world."""
    geometry = image.geometry
    chosen: dict[int, Any] = {}
    for name, wanted in labels.items():
        h = (image._coords or {}).get(name)
        if h is not None:
            axis, key = _by_coordinate(name, h, wanted, geometry.dims, image._coords or {})
        elif name in geometry.world.axes:
            axis, key = _by_place(geometry, name, wanted)
        else:
            raise _unknown_name_error(image, name)
        if axis in chosen:
            raise GeometryError(f"sel: {name!r} is the second choice along axis {axis}; give one")
        chosen[axis] = key
    out: Any = image
    for axis in sorted(chosen, reverse=True):  # from the last axis on, since integers remove axes
        out = out[(slice(None),) * axis + (chosen[axis],)]
    return out


def _unknown_name_error(image: ImageState, name: str) -> GeometryError:
    geometry = image.geometry
    known = [*(image._coords or {}), *geometry.world.axes]
    hint = ""
    if name in geometry.dims:
        how = geometry.lost.get(geometry.dims.index(name))
        hint = f": its axis is plain{f' (lost by {how!r})' if how else ''}, use isel({name}=index)"
    return GeometryError(f"sel: {name!r} is not among the coordinates and world axes {known}{hint}")


# --- by coordinate ------------------------------------------------------------------------


def _by_coordinate(
    name: str, h: Held, wanted: Any, dims: tuple[str | None, ...], coords: Mapping[str, Held]
) -> tuple[int, Any]:
    """Return the axis of a coordinate and the index of some of its values."""
    if h.axis is None or h.values.ndim != 1:
        what = "is one value of the whole image" if h.axis is None else "holds vectors"
        raise GeometryError(f"sel: the coordinate {name!r} {what}, and selects nothing")
    nearest = name == dims[h.axis]  # it gives the positions of the indices
    if isinstance(wanted, str) and h.values.dtype.kind in "iuf" and not re.search(r"\d", wanted):
        raise _no_such_label(name, wanted, h, coords)
    if h.values.dtype.kind in "iuf":
        if isinstance(wanted, slice):
            start, stop = in_unit(wanted.start, h.unit, name), in_unit(wanted.stop, h.unit, name)
            wanted = slice(start, stop, wanted.step)
        else:
            wanted = in_unit(wanted, h.unit, name)
    if isinstance(wanted, slice):
        return h.axis, _between(name, h.values, wanted)
    if np.ndim(wanted):
        found = [np.atleast_1d(_at(name, h.values, w, nearest)) for w in np.asarray(wanted)]
        return h.axis, np.concatenate([np.zeros(0, int), *found])
    return h.axis, _at(name, h.values, wanted, nearest)


def _no_such_label(name: str, wanted: str, h: Held, coords: Mapping[str, Held]) -> GeometryError:
    """Return the error for a label where numbers stand; another coordinate may have it."""
    shown = np.array2string(h.values, threshold=8, separator=", ")
    others = [
        other
        for other, held in coords.items()
        if held.axis == h.axis and held.values.dtype.kind == "U" and wanted in held.values
    ]
    hint = f"; sel({others[0]}={wanted!r}) finds it" if others else ""
    return GeometryError(f"sel: {name!r} holds numbers, {shown}, got {wanted!r}{hint}")


def _at(name: str, values: NDArray[Any], wanted: Any, nearest: bool) -> Any:
    """Return the index of a value, or the indices where it stands several times."""
    if values.dtype.kind == "M":
        wanted = np.datetime64(wanted)
    if nearest and values.dtype.kind in "iufmM" and len(values):
        return int(np.argmin(abs(values - wanted)))
    if values.dtype.kind in "fc" and not isinstance(wanted, str):
        hit = np.isclose(values, wanted, rtol=1e-9, atol=0.0)
    else:
        hit = np.asarray(values == wanted)
    found = np.flatnonzero(hit)
    if not len(found):
        shown = np.array2string(values, threshold=8, separator=", ")
        raise GeometryError(f"sel: no {name!r} is {wanted!r}, among {shown}")
    return int(found[0]) if len(found) == 1 else found


def _between(name: str, values: NDArray[Any], wanted: slice) -> Any:
    """Return the indices of the values between the ends of a slice, both included."""
    ends: tuple[Any, Any] = (wanted.start, wanted.stop)
    if values.dtype.kind == "U":
        first, last = [
            default if end is None else int(np.atleast_1d(_at(name, values, end, False))[n])
            for end, default, n in zip(ends, (0, len(values) - 1), (0, -1), strict=True)
        ]
        return slice(first, last + 1, wanted.step)
    if values.dtype.kind == "M":
        start, stop = [None if e is None else np.datetime64(e) for e in ends]
        ends = (start, stop)
    inside = np.ones(len(values), bool)
    if None not in ends:
        ends = (min(ends), max(ends))
    if ends[0] is not None:
        inside &= values >= ends[0]
    if ends[1] is not None:
        inside &= values <= ends[1]
    found = np.flatnonzero(inside)[:: wanted.step]
    if len(found) and (np.diff(found) == 1).all():
        return slice(int(found[0]), int(found[-1]) + 1)
    return found if len(found) else slice(0, 0)


# --- by position --------------------------------------------------------------------------


def _by_place(geometry: Geometry, name: str, wanted: Any) -> tuple[int, Any]:
    """Return the array axis along a world axis, and the indices nearest to positions on it."""
    row = geometry.world.axes.index(name)
    steps = geometry.direction * geometry.spacing
    along = np.flatnonzero(steps[row])
    if len(along) != 1 or np.count_nonzero(steps[:, along[0]]) != 1:
        ways = "no array axis runs" if not len(along) else "the array's axes run obliquely"
        raise GeometryError(
            f"sel: {ways} along {name!r}, so that no index is at a position along it; use "
            "crop(image, bounds), sample(image, points), or resample onto a grid along the world"
        )
    axis = geometry.sampled_axes[along[0]]
    unit = geometry.world.units[row]
    n, step, origin = geometry.shape[axis], float(steps[row, along[0]]), float(geometry.origin[row])

    def index_of(place: Any) -> Any:
        return (np.asarray(in_unit(place, unit, name), dtype=np.float64) - origin) / step

    if isinstance(wanted, slice):
        ends = [index_of(e) for e in (wanted.start, wanted.stop) if e is not None]
        if len(ends) == 2:
            low, high = min(ends), max(ends)
        else:
            upward = (wanted.start is not None) == (step > 0)
            low, high = (ends[0], n - 1) if ends and upward else (0, ends[0] if ends else n - 1)
        tolerance = 1e-9 * max(abs(origin / step), n)
        start = max(int(np.ceil(low - tolerance)), 0)
        stop = min(int(np.floor(high + tolerance)), n - 1) + 1
        return axis, slice(start, max(stop, start), wanted.step)
    index = index_of(wanted)
    if not ((index > -0.5 - 1e-9) & (index < n - 0.5 + 1e-9)).all():
        ends = sorted((origin - step / 2, origin + step * (n - 0.5)))
        raise GeometryError(
            f"sel: {name}={wanted!r} lies outside the image, which reaches from {ends[0]:.10g} to "
            f"{ends[1]:.10g}"
        )
    nearest = np.clip(np.rint(index), 0, n - 1).astype(int)
    return axis, nearest if nearest.ndim else int(nearest)
